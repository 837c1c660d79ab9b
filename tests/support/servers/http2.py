"""A server with HTTP/2 and HTTP/1.1 on one port, as ALPN chooses, and one answer for every extended CONNECT.

Over HTTP/1.1 it accepts WebSockets and echoes. Over HTTP/2 it answers requests, and treats CONNECT as the test says.
So a test sees which protocol a client used, and how often it tried.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings

from .http1 import Peer
from .listener import Listener, listening

Answer = Callable[[H2Connection, int], None]
"""What to do with the CONNECT on that stream."""


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Answer with this status."""

    def answer(h2: H2Connection, stream: int) -> None:
        h2.send_headers(stream, [(":status", str(code)), *headers.items()], end_stream=not body)
        if body:
            h2.send_data(stream, body, end_stream=True)

    return answer


def reset(code: int) -> Answer:
    """Answer with RST_STREAM."""
    return lambda h2, stream: h2.reset_stream(stream, code)


class HangUp(Exception):
    """Raised by an answer: what is queued is sent, and the connection ends."""


def hang_up(h2: H2Connection, stream: int) -> None:
    """End the connection without GOAWAY."""
    raise HangUp


def goaway(code: int, *, seen: bool) -> Answer:
    """End the connection with GOAWAY; with `seen`, this stream is the last one that was processed."""

    def answer(h2: H2Connection, stream: int) -> None:
        h2.close_connection(code, last_stream_id=stream if seen else 0)
        raise HangUp

    return answer


def silence(h2: H2Connection, stream: int) -> None:
    """Do not answer."""


class Both:
    """What the server saw over either protocol."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.connects = 0
        """Extended CONNECTs over HTTP/2."""
        self.upgrades = 0
        """Upgrades over HTTP/1.1."""
        self.requests: list[str] = []
        """Ordinary requests, as `HTTP/2 /path`."""
        self.asked: list[tuple[int, str]] = []
        """All requests over HTTP/2: the number of the connection (from 1) and the authority that was asked for."""

    @property
    def url(self) -> str:
        return self.listener.url

    @property
    def ws_url(self) -> str:
        return self.listener.ws_url


@asynccontextmanager
async def open_both(
    connect: Answer = silence,
    *,
    extended_connect: bool = True,
    over_http1: Callable[[Peer, Any], Awaitable[None]] | None = None,
    request: Answer | None = None,
    http1: bool = True,
    prior_knowledge: bool = False,
    **options: Any,
) -> AsyncIterator[Both]:
    """`connect` answers every extended CONNECT; `over_http1(peer, request)` every Upgrade, in place of an echo.
    Without `http1` the connection of a client that does not offer h2 is closed. With `prior_knowledge` the server
    speaks only HTTP/2, even without TLS, and closes a connection that begins with anything else."""
    both: Both

    async def serve_http2(stream: trio.abc.Stream) -> None:
        number = both.listener.accepted
        h2 = H2Connection(H2Configuration(client_side=False))
        first = {SettingCodes.MAX_CONCURRENT_STREAMS: 100, SettingCodes.INITIAL_WINDOW_SIZE: 65535}
        if extended_connect:
            first[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
        h2.local_settings = Settings(client=False, initial_values=first)
        h2.initiate_connection()
        await stream.send_all(h2.data_to_send())
        serving = True
        while serving and (data := await stream.receive_some(65536)):
            try:
                for event in h2.receive_data(bytes(data)):
                    if isinstance(event, RequestReceived):
                        answer(h2, number, event)
            except HangUp:
                serving = False
            except ProtocolError:
                if not prior_knowledge:
                    raise
                serving = False
            await stream.send_all(h2.data_to_send())

    def answer(h2: H2Connection, number: int, event: RequestReceived) -> None:
        fields = {name.decode(): value.decode() for name, value in event.headers or ()}
        both.asked.append((number, fields[":authority"]))
        if fields[":method"] == "CONNECT":
            both.connects += 1
            connect(h2, event.stream_id)
        else:
            both.requests.append(f"HTTP/2 {fields[':path']}")
            (request or status(200, b"over HTTP/2"))(h2, event.stream_id)

    async def serve_http1(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if request.headers.get("upgrade") != "websocket":
                both.requests.append(f"HTTP/1.1 {request.target}")
                await peer.respond(200, b"over HTTP/1.1")
                continue
            both.upgrades += 1
            if over_http1 is not None:
                await over_http1(peer, request)
            else:
                await (await peer.accept_websocket(request)).echo()
            return

    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        if alpn == "h2" or prior_knowledge:
            await serve_http2(stream)
        elif http1:
            await serve_http1(Peer(stream, alpn))

    async with listening(serve, **options) as listener:
        both = Both(listener)
        yield both
