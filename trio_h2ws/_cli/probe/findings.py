"""What a probe finds out: how a connection to an origin begins, and how its WebSocket is opened.

What was agreed in a TLS handshake is not among the library's public names. Python's `SSLContext.sslobject_class` is
there to be replaced, and that is how it is seen here, whoever made the context.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

import trio

import trio_h2ws

HTTP2 = Literal["auto", "require", "never"]

_PING_WAIT = 1.0
_NOT_SUPPORTED = 505  # HTTP Version Not Supported
_EXCERPT = 200

NOTHING = "nothing was answered"
OTHER_MODE = "in clear, --http2 auto takes HTTP/1.1, which was not answered; see --http2 require"


class Session(NamedTuple):
    """What a TLS handshake agreed on. Noted at its end: of a session that is over, Python tells nothing."""

    alpn: str | None
    version: str | None
    cipher: str | None


@contextmanager
def tapped() -> Iterator[list[Session]]:
    """Every TLS session that is begun meanwhile, once its handshake is over."""
    sessions: list[Session] = []

    class Tapped(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            cipher = self.cipher()
            sessions.append(Session(self.selected_alpn_protocol(), self.version(), cipher[0] if cipher else None))

    original = ssl.SSLContext.sslobject_class
    ssl.SSLContext.sslobject_class = Tapped
    try:
        yield sessions
    finally:
        ssl.SSLContext.sslobject_class = original


@dataclass
class Look:
    """What one connection showed."""

    offered: list[str]
    chosen: str | None = None
    tls: str | None = None
    cipher: str | None = None
    protocol: str | None = None
    status: int | None = None
    seconds: float | None = None
    round_trip: float | None = None
    streams_allowed: int | None = None
    extended_connect: bool = False
    settings: dict[str, int] = field(default_factory=dict)
    error: str | None = None

    @property
    def speaks(self) -> bool:
        return self.error is None and self.status != _NOT_SUPPORTED

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "speaks": self.speaks}

    def add_tls(self, session: Session) -> None:
        self.chosen, self.tls, self.cipher = session

    def add_connection(self, connection: trio_h2ws.ConnectionInfo) -> None:
        self.protocol = connection.protocol
        self.round_trip = connection.round_trip_time
        self.streams_allowed = connection.streams_allowed if connection.protocol == "HTTP/2" else None
        self.extended_connect = connection.extended_connect
        self.settings = dict(sorted(connection.settings.items()))


async def look(client: trio_h2ws.Client, tls: bool, http2: HTTP2, timeout: float) -> Look:
    """One HEAD request, and what there is to see around it. Raises ConnectFailed."""
    found = Look([] if not tls else ["http/1.1"] if http2 == "never" else ["h2", "http/1.1"])
    start = trio.current_time()
    with tapped() as sessions:
        try:
            # The connection has its own deadline (Timeouts.connect), of as many seconds.
            with trio.fail_after(2 * timeout):
                async with client.stream("HEAD", "", http2=http2, follow_redirects=False) as response:
                    found.status = response.status
                    found.seconds = trio.current_time() - start
                    found.add_connection(response.connection)
                    if found.protocol == "HTTP/2":
                        with trio.move_on_after(_PING_WAIT):
                            while response.connection.round_trip_time is None:  # noqa: ASYNC110  # no event for it
                                await trio.sleep(0.002)
                    found.add_connection(response.connection)
        except trio_h2ws.ConnectFailed:
            raise
        except trio.TooSlowError:
            found.error = f"no answer within {timeout:g} s"
        except trio_h2ws.H2WSError as error:
            found.error = str(error)
    if found.protocol is None and client.connections:
        found.add_connection(client.connections[-1])
    if sessions:
        found.add_tls(sessions[-1])  # the last one: a proxy's came before
    if found.status is None and found.protocol != "HTTP/2":
        # HTTP/2 begins with the server's SETTINGS. HTTP/1.1 is only what we began to speak, but for what ALPN says.
        found.protocol = "HTTP/1.1" if found.chosen == "http/1.1" else None
    return found


@dataclass
class Opening:
    """How a WebSocket would be opened, and how it was, if that was tried."""

    over: str | None
    why: str
    path: str | None = None
    opened: bool | None = None
    stream_id: int | None = None
    subprotocol: str | None = None
    extensions: str | None = None
    seconds: float | None = None
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def expected(found: Look, tls: bool, http2: HTTP2) -> Opening:
    """By which way, from what is known without trying it."""
    absent = "the server did not send ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441)"
    if http2 == "never":
        return Opening("HTTP/1.1", "--http2 never")
    if found.protocol is None:
        return Opening(None, NOTHING)
    if found.protocol == "HTTP/2" and found.extended_connect:
        return Opening("HTTP/2", "the server sent ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441): on the same connection")
    if http2 == "require":
        return Opening(None, f"{absent}, and --http2 is require")
    if not tls:
        return Opening("HTTP/1.1", "in clear there is no ALPN to agree on HTTP/2 with")
    if found.protocol == "HTTP/2":
        return Opening("HTTP/1.1", f"{absent}: on a connection of its own")
    return Opening("HTTP/1.1", "the server did not choose h2 in the TLS handshake")


async def open_websocket(
    client: trio_h2ws.Client, opening: Opening, path: str, subprotocols: list[str], tls: bool, http2: HTTP2
) -> None:
    """Really open it, and close it again. It fills `opening`."""
    opening.path, opening.opened = path, False
    start = trio.current_time()
    try:
        ws = await client.connect_websocket(path, subprotocols=subprotocols, http2=http2)
    except trio_h2ws.H2WSError as error:
        if opening.over == "HTTP/2" and http2 == "auto" and tls:
            # It was tried both ways, or once; the error alone does not tell which.
            await _try_each_way(client, opening, path, subprotocols)
        else:
            opening.refusals.append(_refusal(opening.over, error))
        return
    opening.opened = True
    opening.seconds = trio.current_time() - start
    if ws.http_version != opening.over:
        opening.why = _reason(client) if opening.over is not None else "nothing was known, so it was tried"
        opening.over = ws.http_version
    opening.stream_id = ws.stream_id
    opening.subprotocol = ws.subprotocol
    opening.extensions = ws.response.headers.get("sec-websocket-extensions")
    await ws.aclose()


async def _try_each_way(client: trio_h2ws.Client, opening: Opening, path: str, subprotocols: list[str]) -> None:
    ways: tuple[tuple[str, HTTP2], ...] = (("HTTP/2", "require"), ("HTTP/1.1", "never"))
    for over, http2 in ways:
        try:
            ws = await client.connect_websocket(path, subprotocols=subprotocols, http2=http2)
        except trio_h2ws.H2WSError as error:
            opening.refusals.append(_refusal(over, error))
        else:
            await ws.aclose()


def _refusal(over: str | None, error: trio_h2ws.H2WSError) -> dict[str, Any]:
    refusal: dict[str, Any] = {"over": over, "error": str(error), "status": None, "body": None}
    if isinstance(error, trio_h2ws.WebSocketRejected):
        refusal["status"] = error.status
        refusal["body"] = error.body[:_EXCERPT].decode(errors="replace")
    return refusal


def _reason(client: trio_h2ws.Client) -> str:
    """Why it went over HTTP/1.1 although HTTP/2 was expected: the client remembers."""
    for connection in client.connections:
        known = connection.websockets or ""
        if known.startswith("HTTP/1.1 ("):
            return f"the server sent ENABLE_CONNECT_PROTOCOL = 1 and does not do it: {known[len('HTTP/1.1 (') : -1]}"
    return "over HTTP/2 it did not work"
