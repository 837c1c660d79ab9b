"""An HTTP/1.1 server for which the test writes every answer.

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\\r\\ncontent-length: 10\\r\\n\\r\\nfive!")      # and no more

    async with open_http1(serve) as server:
        ...

`peer.request()` reads one whole request, `peer.head()` only its head; `peer.piece()` then returns the body in pieces.
Requests are parsed by h11, but answers are written as they are, so they may be as wrong as a test wants.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

import h11
import trio
import wsproto
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from .listener import Listener, listening


class Request:
    def __init__(self, event: h11.Request) -> None:
        self.method = event.method.decode()
        self.target = event.target.decode()
        self.fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in event.headers]
        self.headers = dict(self.fields)
        self.raw_names = [name for name, _ in event.headers.raw_items()]
        self.body = b""
        self.trailers: dict[str, str] = {}


class Peer:
    """The server's end of one connection."""

    def __init__(self, stream: trio.abc.Stream, alpn: str | None = None) -> None:
        self.stream = stream
        self.alpn = alpn
        self._h11 = h11.Connection(h11.SERVER)
        self._rest = b""
        self._request: Request | None = None

    async def _event(self) -> Any:
        while True:
            event = self._h11.next_event()
            if event is not h11.NEED_DATA:
                return event
            data = bytes(await self.stream.receive_some(65536))
            self._h11.receive_data(data)
            if not data and self._h11.their_state is h11.SEND_BODY:
                raise trio.BrokenResourceError("the client closed the connection in the middle of its request")

    async def head(self) -> Request | None:
        """The head of the next request; None if the client has closed. The previous request must have been read."""
        # Answers bypass h11, so each request needs a new one; it takes over the bytes that came early.
        rest, _ = self._h11.trailing_data if self._request is not None else (b"", False)
        self._h11 = h11.Connection(h11.SERVER)
        if rest:
            self._h11.receive_data(rest)
        event = await self._event()
        if isinstance(event, h11.ConnectionClosed):
            return None
        self._request = Request(event)
        return self._request

    async def piece(self) -> bytes:
        """The next piece of the body of the request whose head was read last; b"" at its end."""
        assert self._request is not None
        event = await self._event()
        if isinstance(event, h11.EndOfMessage):
            self._request.trailers = {name.decode(): value.decode() for name, value in event.headers}
            return b""
        return bytes(event.data)

    async def request(self) -> Request | None:
        """The next request, whole; None if the client has closed."""
        request = await self.head()
        if request is not None:
            while piece := await self.piece():
                request.body += piece
        return request

    async def send(self, data: bytes) -> None:
        """Send these bytes as they are."""
        await self.stream.send_all(data)

    async def respond(
        self, status: int = 200, body: bytes = b"", headers: Sequence[tuple[str, str]] = (), *, length: bool = True
    ) -> None:
        """A plain answer. Without `length` it lacks a Content-Length: the end of the connection ends the body."""
        own = [("content-length", str(len(body)))] if length else []
        lines = "".join(f"{name}: {value}\r\n" for name, value in [*own, *headers])
        await self.send(f"HTTP/1.1 {status} Fine\r\n{lines}\r\n".encode() + body)

    async def gone(self) -> None:
        """Wait until the client has closed the connection; what it still sends is dropped."""
        while await self.stream.receive_some(65536):
            pass

    async def accept_websocket(self, request: Request, *, compression: bool = False, **answer: Any) -> ServerSocket:
        """Answer with 101. `answer` has fields of wsproto's AcceptConnection."""
        socket = ServerSocket(self, request)
        if compression:
            answer["extensions"] = [PerMessageDeflate()]
        await socket.say(AcceptConnection(**answer))
        return socket


class ServerSocket:
    """A WebSocket after 101, on wsproto."""

    def __init__(self, peer: Peer, request: Request) -> None:
        self._peer = peer
        self.ws = wsproto.WSConnection(wsproto.ConnectionType.SERVER)
        self.ws.initiate_upgrade_connection(
            [(name.encode(), value.encode()) for name, value in request.fields], request.target
        )
        self._events: Iterator[wsproto.events.Event] = self.ws.events()
        next(self._events)
        self._parts: list[Any] = []

    async def say(self, event: wsproto.events.Event) -> None:
        await self._peer.send(self.ws.send(event))

    async def event(self) -> wsproto.events.Event | None:
        """The next whole message, ping or Close; None if the client has closed the connection."""
        while True:
            for event in self._events:
                if not isinstance(event, TextMessage | BytesMessage):
                    return event
                self._parts.append(event.data)
                if event.message_finished:
                    parts, self._parts = self._parts, []
                    if isinstance(event, TextMessage):
                        return TextMessage(data="".join(parts))
                    return BytesMessage(data=b"".join(parts))
            arrived = await self._peer.stream.receive_some(65536)
            if not arrived:
                return None
            self.ws.receive_data(bytes(arrived))
            self._events = self.ws.events()

    async def echo(self) -> None:
        """Send back every message until the client closes, answer that, and close the connection."""
        while (event := await self.event()) is not None:
            if isinstance(event, CloseConnection | Ping):
                await self.say(event.response())
                if isinstance(event, CloseConnection):
                    return
            else:
                await self.say(event)


def open_http1(
    serve: Callable[[Peer], Awaitable[None]], **options: Any
) -> AbstractAsyncContextManager[Listener, bool | None]:
    """An HTTP/1.1 server. `options` are those of `listening`."""

    async def serve_one(stream: trio.abc.Stream, alpn: str | None) -> None:
        await serve(Peer(stream, alpn))

    options.setdefault("alpn", ["http/1.1"])
    return listening(serve_one, **options)
