"""`connect URL`: a WebSocket at a terminal or in a pipe. Lines of stdin are sent, messages are printed."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import trio

import trio_h2ws

from ..options import add_call, seconds, ssl_context, with_scheme
from ..stdin import lines
from ..text import describe, milliseconds, shown_value
from .screen import Screen

_PING_INTERVAL = 5.0
_DEFAULT_WAIT = 1.0
_NORMAL_CODES = (1000, 1001, 1005)  # 1005 means a Close without a code, a common normal close


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "connect", help="talk to a WebSocket server",
        description="Open a WebSocket. Each line of stdin is sent as a text message. Messages are written to stdout, "
        "binary ones as hex, and everything else to stderr. Ctrl-D closes the WebSocket with 1000, Ctrl-C with 1001.",
        epilog="Exit code 0 if either side closed it with 1000, with 1001, or without a code.",
    )  # fmt: skip
    parser.add_argument("url", metavar="URL", help="wss:// is added if the scheme is missing")
    parser.add_argument(
        "--subprotocol", dest="subprotocols", metavar="NAME", action="append", default=[],
        help="a subprotocol to offer; may be repeated, in order of preference",
    )  # fmt: skip
    parser.add_argument("--origin", metavar="ORIGIN", help="the Origin header, which browsers send")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=seconds,
        help="after the end of stdin, close once no message has arrived for this long: "
        f"{_DEFAULT_WAIT:g} by default, 0 at a terminal; inf never closes",
    )  # fmt: skip
    add_call(parser)
    parser.set_defaults(run=run)


async def run(args: argparse.Namespace) -> int:
    url = with_scheme(args.url, "wss")
    screen = Screen()
    async with trio_h2ws.open_client(ssl_context=ssl_context(args), http2=args.http2) as client:
        try:
            async with client.websocket(
                url,
                subprotocols=args.subprotocols,
                origin=args.origin,
                headers=args.headers,
                follow_redirects=args.follow,
            ) as ws:
                return await _Conversation(args, ws, screen).run()
        except trio_h2ws.WebSocketRejected as rejected:
            if args.verbose:
                for name, value in rejected.headers.items():
                    await screen.note(f"< {name}: {shown_value(name, value)}")
                await screen.note(rejected.body.decode(errors="replace"))
            raise


class _Conversation:
    """Copies stdin to the WebSocket and the WebSocket to stdout, until either ends or the user presses Ctrl-C."""

    def __init__(self, args: argparse.Namespace, ws: trio_h2ws.WebSocket, screen: Screen) -> None:
        self._ws = ws
        self._screen = screen
        self._verbose: bool = args.verbose
        at_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._wait: float = args.wait if args.wait is not None else 0.0 if at_terminal else _DEFAULT_WAIT
        self._sent = self._received = 0
        self._interrupted = False
        self._error: Exception | None = None
        self._over = trio.CancelScope()

    async def run(self) -> int:
        await self._show_opening()
        start = trio.current_time()
        # While the WebSocket is open, Ctrl-C closes it properly. During the closing, `main` handles Ctrl-C again.
        with trio.open_signal_receiver(signal.SIGINT) as signals:

            async def interrupted() -> None:
                await anext(signals)
                self._interrupted = True

            with self._over:
                async with trio.open_nursery() as nursery:
                    for job in (self._send, self._receive, interrupted):
                        nursery.start_soon(self._until_over, job)
                    if self._verbose:
                        nursery.start_soon(self._ping)
        error = self._error
        if error is not None and not isinstance(error, trio_h2ws.WebSocketClosed):
            raise error
        await self._ws.aclose(1001 if self._interrupted else 1000)
        return await self._show_closing(trio.current_time() - start)

    async def _until_over(self, job: Callable[[], Awaitable[None]]) -> None:
        """End the conversation when this job ends. An error is kept, and `run` raises it outside the nursery."""
        try:
            await job()
        except (OSError, trio_h2ws.H2WSError) as error:
            self._error = self._error or error
        self._over.cancel()

    async def _show_opening(self) -> None:
        ws, screen = self._ws, self._screen
        chosen = f", subprotocol {ws.subprotocol}" if ws.subprotocol is not None else ""
        stream = f" stream {ws.stream_id}" if ws.stream_id is not None else ""
        if screen.is_conversation or self._verbose:
            await screen.note(f"connected over {ws.http_version}{stream}{chosen}")
        if self._verbose:
            for name, value in ws.response.headers.items():
                await screen.note(f"< {name}: {shown_value(name, value)}")
            for line in describe(ws.connection):
                await screen.note(line)
        await screen.prompt()

    async def _send(self) -> None:
        async with aclosing(lines()) as typed_lines:
            async for line in typed_lines:
                await self._ws.send(line)
                self._sent += 1
                await self._screen.prompt()
        # Wait until no message has arrived during one whole interval.
        received = -1
        while received != self._received:
            received = self._received
            await trio.sleep(self._wait)

    async def _receive(self) -> None:
        while True:  # not `async for`: the exception at the end says which side closed
            message = await self._ws.receive()
            self._received += 1
            await self._screen.message(message)

    async def _ping(self) -> None:
        try:
            while True:
                await self._screen.note(f"ping {milliseconds(await self._ws.ping())}")
                await trio.sleep(_PING_INTERVAL)
        except (OSError, trio_h2ws.H2WSError):
            pass  # `_receive` gets the same error and reports it

    async def _show_closing(self, elapsed: float) -> int:
        ws, error = self._ws, self._error
        code = ws.close_code or 1006
        normal = code in _NORMAL_CODES
        if code == 1006:
            cause = error.__cause__ if error is not None else None
            how = f"ended without a closing handshake (1006){f': {cause}' if cause is not None else ''}"
        else:
            by = " by the server" if isinstance(error, trio_h2ws.WebSocketClosed) else ""
            how = f"closed{by} with {code}{f' {ws.close_reason!r}' if ws.close_reason else ''}"
        counts = f"{self._sent} sent, {self._received} received in {elapsed:.1f} s"
        await self._screen.final_line(f"{how}; {counts}", normal=normal)
        if self._interrupted:
            return 130
        return 0 if normal else 1
