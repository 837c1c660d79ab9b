"""One HTTP/2 connection of the server: a reader, a writer, and streams that are passive records.

    transport ─► reader ─► h2 ─► _on_… ─► the stream's hooks (synchronous)
                                               │ write, finish, credit, reset
    transport ◄─ writer ◄─ Outgoing ◄──────────┘

The reader awaits only the transport, so no stream can stall it. The writer takes from `Outgoing` what may be sent.
Connection credit is given back on receipt, stream credit when the route says so.

Whatever a client does wrong ends in `_receive`: h2's GOAWAY is flushed, and this connection is over. No exception
leaves `serve`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any

import trio
from h2 import events
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, ProtocolError
from h2.settings import SettingCodes

from . import _routes, _websockets
from ._exchange import Fields, Options, Request
from ._h2_protocol import H2Protocol, goaway_frame
from ._h2_sending import Outgoing
from ._h2_stream import H2Stream
from ._stats import Stats

log = logging.getLogger("trio_h2ws.testing")

READ_SIZE = 64 * 1024
MAX_OWED = 4 * 1024 * 1024
"""Unsent bytes of answers to PING, SETTINGS and the like. A client that lets more pile up is not reading at all."""
DISCARD_SECONDS = 0.5
MAX_STREAM_ID = 2**31 - 1


class H2ServerConnection:
    """One connection, as a test can look at it and play with it. `Server.connections` holds those that live."""

    def __init__(
        self, transport: trio.abc.Stream, settings: Mapping[int, int], window: int, stats: Stats, options: Options
    ) -> None:
        self.transport = transport
        self.stats = stats
        self.options = options
        self.h2 = H2Protocol(settings)
        self.out = Outgoing(self.h2)
        self.streams: dict[int, H2Stream] = {}
        self.highest_stream_id = 0
        self._window = window
        self._window_owed = 0
        self._closing = False
        self._last_stream_id = MAX_STREAM_ID  # of the GOAWAY that was sent: what comes above is ignored
        self._thawed: trio.Event | None = None
        self._idle: trio.Event | None = None
        self._nursery: trio.Nursery | None = None
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

    # The verbs of a test.

    @property
    def client_settings(self) -> dict[int, int]:
        """The client's SETTINGS as they hold now, h2's defaults filled in."""
        return {int(code): value for code, value in self.h2.remote_settings.items()}

    def goaway(self, last_stream_id: int | None = None, error_code: int = 0, debug_data: bytes = b"") -> None:
        """Send GOAWAY and live on. Streams above `last_stream_id` (default: the last one seen) are ignored from
        now on, in silence, as the RFC has it."""
        last = self.highest_stream_id if last_stream_id is None else last_stream_id
        self.out.inject(goaway_frame(last, error_code, debug_data))
        self._last_stream_id = min(self._last_stream_id, last)
        for stream in [stream for stream in self.streams.values() if stream.stream_id > last]:
            self.forget(stream)

    async def drain(self) -> None:
        """Go away gracefully: GOAWAY(2^31-1), GOAWAY(the last stream), and the end when the streams are done."""
        self.goaway(MAX_STREAM_ID)
        await trio.sleep(0.05)  # a request that crossed the first GOAWAY is still served
        self.goaway()
        while self.streams:
            self._idle = trio.Event()
            await self._idle.wait()
        self._closing = True
        self.out.wake()

    def update_settings(self, settings: Mapping[int, int]) -> None:
        """Send a SETTINGS frame."""
        self.h2.update_settings({SettingCodes(code): value for code, value in settings.items()})
        self.out.wake()

    def reset(self, stream_id: int, error_code: int = 0) -> None:
        """Send RST_STREAM for a stream that lives."""
        self.streams[stream_id].reset(error_code)

    def inject(self, data: bytes) -> None:
        """Send these bytes as they are, after everything that was made before."""
        self.out.inject(data)

    def freeze(self) -> None:
        """Read and write nothing more, like a host that hangs. What one read or write has begun is finished."""
        if self._thawed is None:
            self._thawed = trio.Event()

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    def abort(self) -> None:
        """End the transport without a word."""
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # Tasks.

    async def serve(self, first: bytes | bytearray = b"") -> None:
        """Run until the connection is over. `first` are bytes that were already read."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self.h2.initiate_connection()
                if self._window > 65535:
                    self.h2.increment_flow_control_window(self._window - 65535)
                nursery.start_soon(self._guard, self._write)
                await self._guard(self._read, first)
                nursery.cancel_scope.cancel()
        finally:
            for stream in list(self.streams.values()):
                self.forget(stream)
            await trio.aclose_forcefully(self.transport)

    def spawn(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task of this connection; it ends with it, and what it raises goes no further."""
        if self._nursery is not None:
            self._nursery.start_soon(self._guard, async_fn, *args)

    async def _guard(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await async_fn(*args)
            return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Exception as error:
            log.exception("the testing server has a bug")
            self.stats.errors.append(error)
        self.abort()

    async def _read(self, data: bytes | bytearray) -> None:
        data = data or await self.transport.receive_some(READ_SIZE)
        while data:
            self.stats.bytes_in += len(data)
            if not self._receive(data):
                # Closing with unread bytes makes the kernel destroy what was sent: the GOAWAY that explains.
                with trio.move_on_after(DISCARD_SECONDS):
                    while await self.transport.receive_some(READ_SIZE):
                        pass
                return
            if self._thawed is not None:
                await self._thawed.wait()
            data = await self.transport.receive_some(READ_SIZE)

    async def _write(self) -> None:
        await trio.sleep(self.options.settings_delay)
        while True:
            if self._thawed is not None:
                await self._thawed.wait()
            wakeup = self.out.listen()
            data = self.out.produce()
            if data:
                await self.transport.send_all(data)
                self.stats.bytes_out += len(data)
            elif self._closing:
                await self.transport.aclose()
                return
            else:
                await wakeup.wait()

    def forget(self, stream: H2Stream) -> None:
        """The stream is over: take it out of the books."""
        if self.streams.pop(stream.stream_id, None) is None:
            return
        self.out.drop(stream)
        self.h2.ended.append(stream.stream_id)
        self.stats.streams_open -= 1
        stream.over()
        if self._idle is not None and not self.streams:
            self._idle.set()

    # Receiving.

    def _receive(self, data: bytes | bytearray) -> bool:
        """False when the connection must end."""
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
        self.out.collect()
        if problem is None and self.out.owed > MAX_OWED:
            problem = "the client does not read what it makes us send"
        if problem is not None:
            self.stats.protocol_errors.append(problem)
            for stream in list(self.streams.values()):
                self.forget(stream)
        self.out.wake()
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
            stream.credit(65535)  # a window of 0 would be a lock for ever
        if request.method != "CONNECT":
            _routes.dispatch(stream)
        elif protocol is None:
            stream.respond(501, _routes.TEXT, b"not a proxy\n")
        else:
            self.stats.extended_connects += 1
            if self.h2.local_settings.get(SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1:
                _websockets.dispatch(stream)
            else:
                stream.reset(ErrorCodes.PROTOCOL_ERROR)

    def _on_data(self, event: events.DataReceived) -> None:
        self._window_owed += event.flow_controlled_length
        if self._window_owed >= self._window // 4:
            with suppress(ProtocolError):  # a bad frame further down this read has closed h2
                self.h2.increment_flow_control_window(self._window_owed)
            self._window_owed = 0
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
            stream.heard_end()

    def _on_stream_reset(self, event: events.StreamReset) -> None:
        if event.remote_reset:
            self.stats.resets.append((event.stream_id, int(event.error_code)))
        self.h2.ended.append(event.stream_id)
        stream = self.streams.get(event.stream_id)
        if stream is not None:
            self.forget(stream)

    def _on_window_updated(self, event: events.WindowUpdated) -> None:
        self.out.unblock(event.stream_id or None)

    def _on_settings(self, event: object) -> None:
        self.out.unblock()
        self.credit_step = max(1, min(self.h2.local_settings.initial_window_size // 2, 256 * 1024))

    def _on_goaway(self, event: events.ConnectionTerminated) -> None:
        self.stats.goaways.append(int(event.error_code or 0))
