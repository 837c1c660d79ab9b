"""The command line: `python -m trio_h2ws demo | get | connect | probe`.

It stands on the public names of trio_h2ws alone, so it is an example, too. `main` parses, runs one command and turns
what went wrong into one line and an exit code; `common` has the options that every command takes; `output` and
`lines` are stdout, stderr and stdin without ever blocking the event loop; each command has a room of its own.
"""
