"""Parse the arguments, run one command, and turn a failure into one line on stderr and an exit code.

| code | meaning                                                              |
|------|----------------------------------------------------------------------|
| 0    | success (an HTTP status like 404 is a response, not an error)        |
| 1    | an error of the network, of the server, or in writing the output     |
| 2    | an error in the arguments: a bad option, URL or header               |
| 130  | Ctrl-C                                                               |
| 141  | the reader of stdout has closed the pipe; nothing is printed         |

Ctrl-C cancels the command instead of raising KeyboardInterrupt at an arbitrary point, so connections are closed in an
orderly way. A second Ctrl-C ends the process at once.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence

import trio

import trio_h2ws

from . import get
from .connect import command as connect
from .demo import command as demo
from .errors import CommandError, explain
from .options import Parser
from .probe import command as probe
from .stdout import abandon, standard_error, visible

FAILED, USAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="python -m trio_h2ws", description="Requests and WebSockets on one HTTP/2 connection, from a terminal."
    )
    top.add_argument("--version", action="version", version=f"trio_h2ws {trio_h2ws.__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, get, connect, probe):
        command.add_parser(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    try:
        args = parser().parse_args(arguments)
        return trio.run(_until_interrupted, args)
    except KeyboardInterrupt:  # before or after the event loop
        return INTERRUPTED


async def _until_interrupted(args: argparse.Namespace) -> int:
    interrupted = False
    code = FAILED
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                nonlocal interrupted
                async for _ in signals:
                    interrupted = True
                    signal.signal(signal.SIGINT, signal.SIG_DFL)
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            code = await _run(args)
            nursery.cancel_scope.cancel()
    return INTERRUPTED if interrupted else code


async def _run(args: argparse.Namespace) -> int:
    try:
        code: int = await args.run(args)
        return code
    except BrokenPipeError:
        abandon(sys.stdout)
        return BROKEN_PIPE
    except CommandError as error:
        return await _report(str(error), error.code)
    except trio_h2ws.H2WSError as error:
        return await _report(explain(error), FAILED)
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        return await _report(where + (error.strerror or str(error)), FAILED)
    except ValueError as error:  # the library raises it for a bad URL, header or option, before connecting
        return await _report(str(error), USAGE)


async def _report(message: str, code: int) -> int:
    stderr = standard_error()
    line = " ".join(visible(message).split())
    await stderr.write_line(f"{stderr.bad('error:')} {line}")
    return code
