"""A client on bare h11 and wsproto, for tests of the testing server over HTTP/1.1. It uses nothing of trio_h2ws.

It runs no tasks: a call that waits for something reads the connection until that has arrived. `send` only writes,
so a test can see what a server does to a client that does not read.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import h11
import trio
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, TextMessage
from wsproto.extensions import Extension

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""The example of RFC 6455, section 1.3."""


@dataclass
class Answer:
    """What has arrived of one answer so far."""

    status: int = 0
    http_version: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    informational: list[int] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False


def fields(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode(): value.decode("latin-1") for name, value in headers}


class PlainHTTP1:
    def __init__(self, transport: trio.abc.Stream) -> None:
        self.transport = transport
        self.h11 = h11.Connection(h11.CLIENT)
        self._answer = Answer()

    async def say(self, event: h11.Event) -> None:
        data = self.h11.send(event)
        if data:
            await self.transport.send_all(data)

    async def start(self, path: str, method: str = "GET", **headers: str) -> Answer:
        """Send the head of a request. An underscore in a name is sent as a hyphen."""
        if self.h11.our_state is h11.DONE:
            self.h11.start_next_cycle()
        names = {b"host": b"localhost"}
        names |= {name.replace("_", "-").encode(): value.encode("latin-1") for name, value in headers.items()}
        self._answer = Answer()
        await self.say(h11.Request(method=method, target=path, headers=list(names.items())))
        return self._answer

    async def send(self, data: bytes) -> None:
        await self.say(h11.Data(data=data))

    async def end(self, **trailers: str) -> None:
        await self.say(h11.EndOfMessage(headers=[(name.replace("_", "-"), v) for name, v in trailers.items()]))

    async def step(self) -> h11.Event | type[h11.PAUSED]:
        """Read one event of the answer and record it. At the end of the connection it is ConnectionClosed."""
        while (event := self.h11.next_event()) is h11.NEED_DATA:
            self.h11.receive_data(bytes(await self.transport.receive_some(65536)))
        answer = self._answer
        match event:
            case h11.InformationalResponse():
                answer.informational.append(event.status_code)
                answer.headers = fields(event.headers)
            case h11.Response():
                answer.status, answer.headers = event.status_code, fields(event.headers)
                answer.http_version = event.http_version.decode()
            case h11.Data():
                answer.body += event.data
            case h11.EndOfMessage():
                answer.trailers, answer.ended = fields(event.headers), True
        assert not isinstance(event, type) or event is h11.PAUSED
        return event

    async def answer(self) -> Answer:
        """The whole answer."""
        answer = self._answer
        while not answer.ended:
            event = await self.step()
            assert not isinstance(event, h11.ConnectionClosed), "the server closed the connection"
        return answer

    async def request(self, path: str, method: str = "GET", body: bytes = b"", **headers: str) -> Answer:
        if body:
            headers["content_length"] = str(len(body))
        await self.start(path, method, **headers)
        if body:
            await self.send(body)
        await self.end()
        return await self.answer()

    async def closed(self) -> bytes:
        """Wait for the end of the connection; returns what arrived before it."""
        data = b"" if self.h11.our_state is h11.SWITCHED_PROTOCOL else self.h11.trailing_data[0]
        while piece := await self.transport.receive_some(65536):
            data += piece
        return data

    async def websocket(
        self, path: str, extensions: list[Extension] | None = None, **headers: str
    ) -> PlainSocket | Answer:
        """An Upgrade: returns a WebSocket, or the answer that refused it."""
        offer = {"upgrade": "websocket", "connection": "Upgrade", "sec_websocket_key": KEY}
        answer = await self.start(path, **{**offer, "sec_websocket_version": "13", **headers})
        await self.end()
        while not answer.status:
            event = await self.step()
            if isinstance(event, h11.InformationalResponse) and event.status_code == 101:
                for extension in extensions or ():  # wsproto ignores extensions that are not enabled by now
                    extension.finalize(answer.headers["sec-websocket-extensions"])
                return PlainSocket(self, answer, extensions)
        return await self.answer()

    async def accepted(self, path: str, extensions: list[Extension] | None = None, **headers: str) -> PlainSocket:
        """An Upgrade that must be accepted."""
        socket = await self.websocket(path, extensions, **headers)
        assert isinstance(socket, PlainSocket), socket
        return socket


class PlainSocket:
    def __init__(self, client: PlainHTTP1, answer: Answer, extensions: list[Extension] | None) -> None:
        self.transport = client.transport
        self.answer = answer
        self.protocol = Connection(ConnectionType.CLIENT, extensions)
        self.events: list[Event] = []
        self._parts: list[str | bytes] = []
        self._parse(client.h11.trailing_data[0])

    def _parse(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        self.events.extend(self.protocol.events())

    async def say(self, event: Event) -> None:
        await self.transport.send_all(self.protocol.send(event))

    async def send(self, message: str | bytes) -> None:
        await self.say(TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message))

    async def event(self) -> Event:
        while not self.events:
            data = await self.transport.receive_some(65536)
            assert data, "the server closed the connection"
            self._parse(bytes(data))
        return self.events.pop(0)

    async def receive(self) -> str | bytes:
        while True:
            event = await self.event()
            assert isinstance(event, Message), event
            self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
            if event.message_finished:
                parts, self._parts = self._parts, []
                return type(parts[0])().join(parts)  # type: ignore[arg-type]

    async def closing(self) -> CloseConnection:
        event = await self.event()
        assert isinstance(event, CloseConnection), event
        return event


@asynccontextmanager
async def open_plain_http1(
    server: object, *, alpn: Sequence[str] = ("http/1.1",), clean: bool = False
) -> AsyncIterator[PlainHTTP1]:
    """A client of a `trio_h2ws.testing.Server`, over the kind of transport that the server uses. With `clean`, an end
    of TLS without close_notify is an error."""
    transport = await server.open_stream()  # type: ignore[attr-defined]
    context: ssl.SSLContext | None = server.ssl_context  # type: ignore[attr-defined]
    if context is not None:
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # some versions of Python set it
        if alpn:
            context.set_alpn_protocols(list(alpn))
        transport = trio.SSLStream(transport, context, server_hostname="localhost", https_compatible=not clean)
    try:
        yield PlainHTTP1(transport)
    finally:
        await trio.aclose_forcefully(transport)
