"""`probe URL`: what an origin supports, and how its WebSockets are opened.

The keys of the JSON object are stable; new ones may be added. Times are in seconds; null means unknown, or absent.

| key          | value                                                                                         |
|--------------|-----------------------------------------------------------------------------------------------|
| `version`    | the version of trio_h2ws                                                                      |
| `url`        | the URL that was probed                                                                       |
| `ok`         | true if the origin's protocol is known, from a response or from ALPN or SETTINGS, and the     |
|              | WebSocket, if requested, was opened                                                           |
| `error`      | why there was no connection or no response, or what is wrong with the arguments               |
| `connection` | the connection that requests use:                                                             |
|              | `offered`, `chosen`: ALPN; `tls`, `cipher`; `protocol`: "HTTP/2", "HTTP/1.1", or null if      |
|              | unknown;                                                                                      |
|              | `status`, `seconds`: of the response to HEAD, or `error`; `speaks`: a response that is not    |
|              | a 505 was received; `round_trip`: of a PING; `settings`: those in force, including initial    |
|              | values that were not sent; `streams_allowed`; `extended_connect`: RFC 8441                    |
| `other`      | the same for the other protocol, with `--http2 auto`, if the origin may support it            |
| `websocket`  | `over`, `why`: how it is opened; with `--websocket` also `path`, `opened`, `stream_id`,       |
|              | `subprotocol`, `extensions`, `seconds`, or `refusals`: `over`, `error`, `status`, `body`      |
"""

from __future__ import annotations

import argparse
import json
import ssl
from typing import Any

import trio_h2ws

from ..errors import CommandError, explain
from ..options import add_connection, seconds, ssl_context, with_scheme
from ..stdout import standard_output
from ..text import without_login
from .connection import HTTP2, ConnectionFindings, examine
from .text import render
from .websocket import ONLY_WITH_REQUIRE, WebSocketFindings, predict, try_websocket

_FAILED = 1
_CLOSE = 2.0
_HANDSHAKE = 5.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "probe", help="show what an origin supports",
        description="Connect, make one HEAD request, and report what the origin supports: ALPN, SETTINGS, RFC 8441, "
        "and how its WebSockets are opened and why.",
        epilog="Exit code 0 if the origin's protocol is known and the WebSocket, if requested, was opened.",
    )  # fmt: skip
    parser.add_argument("url", metavar="URL", help="https:// is added if the scheme is missing")
    parser.add_argument("--websocket", metavar="PATH", help="also open a WebSocket at PATH")
    parser.add_argument(
        "--subprotocol", dest="subprotocols", metavar="NAME", action="append", default=[],
        help="a subprotocol to offer for it; may be repeated, in order of preference",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=10.0,
        help="for each connection and for its response: 10 by default",
    )  # fmt: skip
    add_connection(parser)
    parser.set_defaults(run=run)


class _Probe:
    """The arguments of the probe, and its findings."""

    def __init__(self, args: argparse.Namespace) -> None:
        url = with_scheme(args.url, "https")
        # A ws:// or wss:// URL names the same origin as http:// or https://.
        self.url = f"http{url[2:]}" if url[:2].lower() == "ws" else url
        self.shown = without_login(self.url)
        self.tls = self.url[:5].lower() == "https"
        self.http2: HTTP2 = args.http2
        self.error: str | None = None
        self.connection: ConnectionFindings | None = None
        self.other: ConnectionFindings | None = None
        self.websocket: WebSocketFindings | None = None
        self._args = args
        self._context: ssl.SSLContext | None = None

    @property
    def known(self) -> bool:
        """Whether a protocol of the origin is known. A connection alone shows nothing."""
        findings = [found for found in (self.connection, self.other) if found is not None]
        opened = self.websocket is not None and self.websocket.opened is True
        return opened or any(found.protocol is not None for found in findings)

    @property
    def ok(self) -> bool:
        return self.known and (self.websocket is None or self.websocket.opened is not False)

    async def run(self) -> None:
        """Probe the origin. Raises the error that ends the command, and keeps its message in `error`."""
        try:
            await self._run()
            if self.connection is not None and not self.known:
                raise CommandError(f"{self.shown}: {self.connection.error}", _FAILED)
        except (CommandError, ValueError, trio_h2ws.H2WSError) as error:
            self.error = explain(error)
            raise

    async def _run(self) -> None:
        args = self._args
        if args.websocket is not None and not args.websocket.startswith("/"):
            raise CommandError(f"--websocket: the path {args.websocket!r} does not begin with a slash")
        self._context = ssl_context(args)
        async with self._client() as client:
            found = self.connection = await examine(client, self.tls, self.http2, args.timeout)
            self.websocket = predict(found, self.tls, self.http2)
            if args.websocket is not None:
                await try_websocket(client, self.websocket, args.websocket, args.subprotocols, self.tls, self.http2)
        if self.http2 == "auto" and (not self.tls or found.protocol == "HTTP/2"):
            self.other = await self._examine_other()
            if found.protocol is None and self.other.protocol is not None and not self.websocket.opened:
                self.websocket.why = ONLY_WITH_REQUIRE

    async def _examine_other(self) -> ConnectionFindings:
        http2: HTTP2 = "never" if self.tls else "require"
        async with self._client() as client:
            try:
                return await examine(client, self.tls, http2, self._args.timeout)
            except trio_h2ws.ConnectFailed as error:
                return ConnectionFindings(["http/1.1"] if self.tls else [], error=str(error))

    def _client(self) -> Any:
        timeout: float = self._args.timeout
        timeouts = trio_h2ws.Timeouts(connect=timeout, handshake=min(timeout, _HANDSHAKE), close=_CLOSE)
        return trio_h2ws.open_client(base_url=self.url, ssl_context=self._context, timeouts=timeouts)

    def as_json(self) -> str:
        found = {
            "version": trio_h2ws.__version__,
            "url": self.shown,
            "ok": self.ok,
            "error": self.error,
            "connection": self.connection.as_dict() if self.connection is not None else None,
            "other": self.other.as_dict() if self.other is not None else None,
            "websocket": self.websocket.as_dict() if self.websocket is not None else None,
        }
        return json.dumps(found, indent=2) + "\n"


async def run(args: argparse.Namespace) -> int:
    probe = _Probe(args)
    out = standard_output()
    try:
        await probe.run()
    finally:
        if args.json:
            await out.write(probe.as_json())
        elif probe.connection is not None:
            await out.write(render(out, probe.shown, probe.connection, probe.other, probe.websocket))
    return 0 if probe.ok else _FAILED
