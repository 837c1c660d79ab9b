"""One HTTP/2 connection of the server: a reader, a writer, and passive streams.

    transport ─► reader ─► h2 ─► _on_… ─► the stream's hooks (synchronous)
                                               │ write, finish, credit, reset
    transport ◄─ writer ◄─ SendQueue ◄─────────┘

The reader awaits only the transport, so no stream can stall it. The writer takes what may be sent from `SendQueue`.
Connection credit is given back on receipt, stream credit when the route says so.

Every protocol error of a client is caught in `_receive`: h2's GOAWAY is sent, and the connection ends. No exception
leaves `serve`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import trio
from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes

from .._connection import DISCARD_SECONDS, READ_SIZE, ServerConnection
from .._exchange import LOWEST_STATUS, Fields, Options, Request
from .._routes import http, websocket
from .._routes.arguments import TEXT
from .._stats import Stats
from .protocol import H2Protocol, goaway_frame
from .send_queue import SendQueue
from .stream import H2Stream

MAX_OWED = 4 * 1024 * 1024
"""Unsent bytes of replies to PING, SETTINGS and the like. A client that lets more pile up is not reading at all."""
MAX_STREAM_ID = 2**31 - 1


class H2ServerConnection(ServerConnection):
    """One HTTP/2 connection, for tests to inspect and control. `Server.connections` lists the open ones."""

    def __init__(
        self, transport: trio.abc.Stream, settings: Mapping[int, int], window: int, stats: Stats, options: Options
    ) -> None:
        super().__init__(transport, stats, options)
        self.h2 = H2Protocol(settings)
        self.send_queue = SendQueue(self.h2)
        self.streams: dict[int, H2Stream] = {}
        self.highest_stream_id = 0
        self._window = window
        self._uncredited = 0
        self._closing = False
        self._last_stream_id = MAX_STREAM_ID  # of the GOAWAY that was sent: streams above are ignored
        self._drained: trio.Event | None = None
        self._handlers: dict[type[events.Event], Callable[[Any], None]] = {
            events.RequestReceived: self._on_request,
            events.DataReceived: self._on_data,
            events.TrailersReceived: self._on_trailers,
            events.StreamEnded: self._on_stream_ended,
            events.StreamReset: self._on_stream_reset,
            events.WindowUpdated: self._on_window_updated,
            events.RemoteSettingsChanged: self._on_settings,
            events.SettingsAcknowledged: self._on_settings,
            events.ConnectionTerminated: self._on_goaway,
        }
        self._on_settings(None)

    @property
    def exchanges(self) -> Sequence[H2Stream]:
        """The requests and WebSockets that have not ended."""
        return list(self.streams.values())

    # What a test calls.

    @property
    def client_settings(self) -> dict[int, int]:
        """The client's SETTINGS that are in force now, including h2's defaults."""
        return {int(code): value for code, value in self.h2.remote_settings.items()}

    def goaway(self, last_stream_id: int | None = None, error_code: int = 0, debug_data: bytes = b"") -> None:
        """Send GOAWAY, and leave the connection open. From now on, streams above `last_stream_id` (default: the last
        one seen) are silently ignored (RFC 9113, section 6.8)."""
        last = self.highest_stream_id if last_stream_id is None else last_stream_id
        self.send_queue.inject(goaway_frame(last, error_code, debug_data))
        self._last_stream_id = min(self._last_stream_id, last)
        for stream in [stream for stream in self.streams.values() if stream.stream_id > last]:
            self.forget(stream)

    async def drain(self) -> None:
        """Shut down gracefully: GOAWAY(2^31-1), GOAWAY(last stream), and the end once the streams have ended."""
        self.goaway(MAX_STREAM_ID)
        await trio.sleep(0.05)  # a request that crossed the first GOAWAY is still served
        self.goaway()
        while self.streams:
            self._drained = trio.Event()
            await self._drained.wait()
        self._closing = True
        self.send_queue.wake()

    def update_settings(self, settings: Mapping[int, int]) -> None:
        """Send a SETTINGS frame."""
        self.h2.update_settings({SettingCodes(code): value for code, value in settings.items()})
        self.send_queue.wake()

    def reset(self, stream_id: int, error_code: int = 0) -> None:
        """Send RST_STREAM for an open stream."""
        self.streams[stream_id].reset(error_code)

    def inject(self, data: bytes) -> None:
        """Send these bytes unchanged, after everything that is already queued."""
        self.send_queue.inject(data)

    # Tasks.

    async def _run(self, first: bytes | bytearray) -> None:
        self.h2.initiate_connection()
        if self._window > 65535:
            self.h2.increment_flow_control_window(self._window - 65535)
        self.spawn(self._write)
        await self._read(first)

    async def _read(self, data: bytes | bytearray) -> None:
        data = data or await self.transport.receive_some(READ_SIZE)
        while data:
            self.stats.bytes_in += len(data)
            if not self._receive(data):
                # Closing at once could destroy the GOAWAY that gives the reason.
                with trio.move_on_after(DISCARD_SECONDS):
                    while await self.transport.receive_some(READ_SIZE):
                        pass
                return
            await self._wait_while_frozen()
            data = await self.transport.receive_some(READ_SIZE)

    async def _write(self) -> None:
        await trio.sleep(self.options.settings_delay)
        while True:
            await self._wait_while_frozen()
            wakeup = self.send_queue.listen()
            data = self.send_queue.produce()
            if data:
                await self.transport.send_all(data)
                self.stats.bytes_out += len(data)
            elif self._closing:
                await self.transport.aclose()
                return
            else:
                await wakeup.wait()

    def _forget_all(self) -> None:
        for stream in self.exchanges:
            self.forget(stream)

    def forget(self, stream: H2Stream) -> None:
        """Remove a stream that has ended."""
        if self.streams.pop(stream.stream_id, None) is None:
            return
        self.send_queue.drop(stream)
        self.h2.ended.append(stream.stream_id)
        self.stats.streams_open -= 1
        stream.finalize()
        if self._drained is not None and not self.streams:
            self._drained.set()

    # Receiving.

    def _receive(self, data: bytes | bytearray) -> bool:
        """Process input; False if the connection must end."""
        problem: str | None = None
        try:
            self.h2.receive_data(bytes(data))
        except (H2Error, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
        arrived, self.h2.arrived = self.h2.arrived, []
        for event in arrived:
            handler = self._handlers.get(type(event))
            if handler is not None:
                handler(event)
        self.send_queue.collect()
        if problem is None and self.send_queue.owed > MAX_OWED:
            problem = "the client does not read the replies to its frames"
        if problem is not None:
            self.stats.protocol_errors.append(problem)
            self._forget_all()
        self.send_queue.wake()
        return problem is None

    def _on_request(self, event: events.RequestReceived) -> None:
        stream_id = event.stream_id
        if stream_id > self._last_stream_id:
            return
        self.highest_stream_id = max(self.highest_stream_id, stream_id)
        headers: Fields = [(bytes(name), bytes(value)) for name, value in event.headers]
        pseudo = dict(headers)
        protocol = pseudo.get(b":protocol")
        request = Request(
            method=pseudo[b":method"].decode("latin-1"),
            target=pseudo.get(b":path", b"").decode("latin-1"),
            headers=headers,
            protocol=protocol.decode("latin-1") if protocol is not None else None,
        )
        stream = self.streams[stream_id] = H2Stream(self, stream_id, request)
        self.stats.streams_opened += 1
        self.stats.streams_open += 1
        if self.h2.local_settings.initial_window_size == 0:
            stream.credit(65535)  # with a window of 0 the client could never send
        if protocol is not None and request.method == "CONNECT":
            self.stats.extended_connects += 1
            self._on_extended_connect(stream)
        else:
            self.stats.requests += 1
            http.dispatch(stream)

    def _on_extended_connect(self, stream: H2Stream) -> None:
        behaviour = self.options.websocket_over_http2
        if self.h2.local_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL) != 1:
            stream.reset(ErrorCodes.PROTOCOL_ERROR)
        elif behaviour == "works":
            websocket.dispatch(stream, self.websockets)
        elif behaviour != "silent":
            if behaviour < LOWEST_STATUS:
                stream.reset(behaviour)
            else:
                stream.respond(behaviour, TEXT, b"WebSockets over HTTP/2 are switched off\n")

    def _on_data(self, event: events.DataReceived) -> None:
        self._uncredited += event.flow_controlled_length
        if self._uncredited >= self._window // 4:
            with suppress(ProtocolError):  # a bad frame later in this read has closed h2
                self.h2.increment_flow_control_window(self._uncredited)
            self._uncredited = 0
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            padding = event.flow_controlled_length - len(event.data)
            if padding:
                stream.credit(padding)
            if event.data:
                stream.received(event.data)

    def _on_trailers(self, event: events.TrailersReceived) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            fields: Fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            stream.request_trailers = fields

    def _on_stream_ended(self, event: events.StreamEnded) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            stream.end_received()

    def _on_stream_reset(self, event: events.StreamReset) -> None:
        if event.remote_reset:
            self.stats.resets.append((event.stream_id, int(event.error_code)))
        self.h2.ended.append(event.stream_id)
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            self.forget(stream)

    def _on_window_updated(self, event: events.WindowUpdated) -> None:
        self.send_queue.unblock(event.stream_id or None)

    def _on_settings(self, event: object) -> None:
        self.send_queue.unblock()
        self.credit_step = max(1, min(self.h2.local_settings.initial_window_size // 2, 256 * 1024))

    def _on_goaway(self, event: events.ConnectionTerminated) -> None:
        self.stats.goaways.append(int(event.error_code or 0))
