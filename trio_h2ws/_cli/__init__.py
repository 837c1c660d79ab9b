"""The command line: `python -m trio_h2ws demo | get | connect | probe`.

It uses only the public names of trio_h2ws, so it also serves as an example. `main` parses the arguments, runs one
command, and turns a failure into one line and an exit code. `options` has the options that commands share, `errors`
and `text` what they print. `stdin` and `stdout` read and write without blocking the event loop. `get` is one module,
and each of the other commands a folder.
"""
