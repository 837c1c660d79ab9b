"""A client on bare h2 and wsproto, for tests of the testing server. It uses nothing of trio_h2ws.

It runs no tasks: a call that waits for something pumps the connection until that has arrived (`until`). All data that
arrives is credited at once, except on streams in `unread`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, TextMessage
from wsproto.extensions import Extension


@dataclass
class Answer:
    """What has arrived on one stream so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    informational: list[dict[str, str]] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    trailers: dict[str, str] = field(default_factory=dict)
    ended: bool = False
    reset: int | None = None

    @property
    def over(self) -> bool:
        return self.ended or self.reset is not None


class PlainClient:
    def __init__(self, transport: trio.abc.Stream) -> None:
        self.transport = transport
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.answers: dict[int, Answer] = {}
        self.unread: set[int] = set()
        self.settings: dict[int, int] = {}
        self.goaways: list[tuple[int, int]] = []
        self.eof = False
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(2**24)

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.transport.send_all(data)

    async def until(self, condition: Callable[[], object]) -> None:
        """Send and receive until the condition holds."""
        await self.flush()
        while not condition():
            assert not self.eof, "the server closed the connection"
            data = await self.transport.receive_some(65536)
            if not data:
                self.eof = True
                continue
            for event in self.h2.receive_data(bytes(data)):
                self.handle(event)
            await self.flush()

    def handle(self, event: events.Event) -> None:
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0)
        match event:
            case events.RemoteSettingsChanged():
                self.settings.update({int(code): change.new_value for code, change in event.changed_settings.items()})
            case events.ConnectionTerminated():
                self.goaways.append((event.last_stream_id or 0, int(event.error_code or 0)))
            case events.InformationalResponseReceived() if answer:
                answer.informational.append(dict(event.headers))
            case events.ResponseReceived() if answer:
                answer.headers = dict(event.headers)
                answer.status = int(answer.headers.pop(":status"))
            case events.DataReceived() if answer:
                answer.body += event.data
                if event.stream_id not in self.unread:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case events.TrailersReceived() if answer:
                answer.trailers = dict(event.headers)
            case events.StreamEnded() if answer:
                answer.ended = True
            case events.StreamReset() if answer:
                answer.reset = int(event.error_code)

    def start(
        self, path: str, method: str = "GET", *, end: bool = True, headers: dict[str, str] | None = None
    ) -> int:
        stream_id = self.h2.get_next_available_stream_id()
        pseudo = {":method": method, ":scheme": "https", ":authority": "localhost", ":path": path}
        self.answers[stream_id] = Answer()
        self.h2.send_headers(stream_id, [*pseudo.items(), *(headers or {}).items()], end_stream=end)
        return stream_id

    async def answer(self, stream_id: int) -> Answer:
        answer = self.answers[stream_id]
        await self.until(lambda: answer.over)
        return answer

    async def get(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Answer:
        return await self.answer(self.start(path, method, headers=headers))

    async def send(self, stream_id: int, data: bytes, *, end: bool = False) -> None:
        """Send a body as flow control allows."""
        answer, sent = self.answers[stream_id], 0

        def credit() -> int:
            return min(self.h2.local_flow_control_window(stream_id), self.h2.max_outbound_frame_size)

        while sent < len(data):
            await self.until(lambda: answer.over or credit() > 0)
            if answer.over:
                return
            piece = data[sent : sent + credit()]
            self.h2.send_data(stream_id, piece)
            sent += len(piece)
        if end:
            self.h2.end_stream(stream_id)
        await self.flush()

    async def websocket(
        self, path: str, headers: dict[str, str] | None = None, extensions: list[Extension] | None = None
    ) -> PlainSocket:
        fields = {":protocol": "websocket", "sec-websocket-version": "13", **(headers or {})}
        stream_id = self.h2.get_next_available_stream_id()
        pseudo = {":method": "CONNECT", ":scheme": "https", ":authority": "localhost", ":path": path}
        answer = self.answers[stream_id] = Answer()
        self.h2.send_headers(stream_id, [*pseudo.items(), *fields.items()])
        await self.until(lambda: answer.status or answer.over)
        for extension in extensions or ():  # wsproto ignores extensions that are not enabled by now
            extension.finalize(answer.headers["sec-websocket-extensions"])
        return PlainSocket(self, stream_id, extensions)


class PlainSocket:
    def __init__(self, client: PlainClient, stream_id: int, extensions: list[Extension] | None) -> None:
        self.client = client
        self.stream_id = stream_id
        self.answer = client.answers[stream_id]
        self.protocol = Connection(ConnectionType.CLIENT, extensions)
        self.events: list[Event] = []
        self._parts: list[str | bytes] = []

    async def say(self, event: Event) -> None:
        await self.client.send(self.stream_id, self.protocol.send(event))

    async def send(self, message: str | bytes) -> None:
        await self.say(TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message))

    def _parse(self) -> bool:
        if self.answer.body:
            self.protocol.receive_data(bytes(self.answer.body))
            self.answer.body.clear()
            self.events.extend(self.protocol.events())
        return bool(self.events)

    async def event(self) -> Event:
        await self.client.until(self._parse)
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

    def reset(self, error_code: int = 8) -> None:
        self.client.h2.reset_stream(self.stream_id, error_code)


@asynccontextmanager
async def open_plain_client(server: object, context: ssl.SSLContext | None = None) -> AsyncIterator[PlainClient]:
    """A client of a `trio_h2ws.testing.Server`, over the kind of transport that the server uses."""
    transport = await server.open_stream()  # type: ignore[attr-defined]
    context = context or server.ssl_context  # type: ignore[attr-defined]
    if context is not None:
        context.set_alpn_protocols(["h2"])
        transport = trio.SSLStream(transport, context, server_hostname="localhost", https_compatible=True)
    try:
        yield PlainClient(transport)
    finally:
        await trio.aclose_forcefully(transport)
