"""`probe URL`: what an origin speaks, and how its WebSocket is opened.

The JSON object (its keys stay; new ones may come). Times are seconds; null: not known, or there is none.

| key          | value                                                                                         |
|--------------|-----------------------------------------------------------------------------------------------|
| `version`    | of trio_h2ws                                                                                  |
| `url`        | what was probed                                                                               |
| `ok`         | true: it is known what is spoken there, by an answer or by what was agreed before one, and    |
|              | the WebSocket, if one was asked for, was opened                                               |
| `error`      | why there was no connection, or none that was answered, or what is wrong with the call        |
| `connection` | the one that requests use:                                                                    |
|              | `offered`, `chosen`: ALPN; `tls`, `cipher`; `protocol`: "HTTP/2", "HTTP/1.1", or null if      |
|              | nothing told;                                                                                 |
|              | `status`, `seconds`: of the answer to HEAD, or `error`; `speaks`: there was one, and not 505; |
|              | `round_trip`: of a PING; `settings`: in force, so with the initial values of what was not     |
|              | sent; `streams_allowed`; `extended_connect`: RFC 8441                                         |
| `other`      | the same for the other protocol, with `--http2 auto` and if it may be there                   |
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
from .connection import HTTP2, ConnectionFindings, examine
from .text import render
from .websocket import ONLY_WITH_REQUIRE, WebSocketFindings, predict, try_websocket

_FAILED = 1
_CLOSE = 2.0
_HANDSHAKE = 5.0


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "probe", help="see what an origin speaks",
        description="Connect, make one HEAD request, and say what the origin speaks: ALPN, SETTINGS, RFC 8441 or "
        "not, and how its WebSocket is opened and why.",
        epilog="Exit code 0 if the origin showed what it speaks, and a WebSocket, if one was asked for, was opened.",
    )  # fmt: skip
    parser.add_argument("url", metavar="URL", help="https:// if it has no scheme")
    parser.add_argument("--websocket", metavar="PATH", help="really open a WebSocket there")
    parser.add_argument(
        "--subprotocol", dest="subprotocols", metavar="NAME", action="append", default=[],
        help="a subprotocol for it to offer; may come more than once, the most wanted first",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object, for machines")
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=seconds, default=10.0,
        help="for a connection, and for an answer: 10 by default",
    )  # fmt: skip
    add_connection(parser)
    parser.set_defaults(run=run)


class _Probe:
    """What was asked for, and what was found."""

    def __init__(self, args: argparse.Namespace) -> None:
        url = with_scheme(args.url, "https")
        # A WebSocket's URL names the same origin as that of its page.
        self.url = f"http{url[2:]}" if url[:2].lower() == "ws" else url
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
        """Whether it is known of anything that it is spoken there. A connection alone tells nothing."""
        looks = [look for look in (self.connection, self.other) if look is not None]
        opened = self.websocket is not None and self.websocket.opened is True
        return opened or any(look.protocol is not None for look in looks)

    @property
    def ok(self) -> bool:
        return self.known and (self.websocket is None or self.websocket.opened is not False)

    async def run(self) -> None:
        """Find out what there is. Raises what the command ends with, and `error` is why."""
        try:
            await self._run()
            if self.connection is not None and not self.known:
                raise CommandError(f"{self.url}: {self.connection.error}", _FAILED)
        except (CommandError, ValueError, trio_h2ws.H2WSError) as error:
            self.error = explain(error)
            raise

    async def _run(self) -> None:
        args = self._args
        if args.websocket is not None and not args.websocket.startswith("/"):
            raise CommandError(f"the path {args.websocket!r} does not begin with a slash")
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
            "url": self.url,
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
            await out.write(render(out, probe.url, probe.connection, probe.other, probe.websocket))
    return 0 if probe.ok else _FAILED
