"""One HTTP/2 connection: a reader, a writer, and the streams they serve.

    app task ─ send / receive ─┐                                (never waits for the socket)
    app task ─ …               ├─ sync calls ─► Engine (sans-IO, owns h2)
    reader task ─ read ─ engine.receive ─ hooks ──────────┘      │
    writer task ◄─ wake ─ engine.produce ─ write ─ wait until the socket can take more

Invariants:
1. Only the reader reads the transport. Only the writer waits for it to take more.
2. The engine is used only in synchronous code, with no `await` between looking and acting: so there is no lock.
3. The reader awaits nothing but the transport: no application, no queue, no writer. A stalled stream stalls nobody.
4. Every clean-up is synchronous. A cancelled call leaves whole frames, or none.
5. Whoever makes outgoing bytes calls `flush`. The writer takes all that is ready: control first, then DATA in turn.
   When they leave, `_writer.py` tells.
6. A stream's window is credited when the application takes the bytes, the connection's on receipt.
7. The two tasks never raise into the user's: a failure goes to the streams, each with an exception of its own.

Time. The reader sleeps until bytes or the next timer come: closing handshakes, keepalive PINGs and idle ends
(`_keepalive.py`) are timers (`_clock.py`), so they cost no task.

Ends. `abort` is the one sudden end: every stream gets its error in the same moment. `retire` is the graceful one: no
new streams, and the connection closes when the last of its streams has ended.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any

import trio

from .._config import Limits, Timeouts
from .._errors import (
    ConnectFailed,
    ConnectionLost,
    ConnectionTerminated,
    ConnectionTimedOut,
    ErrorCode,
    H2WSError,
    HTTP2NotAvailable,
    LocalProtocolError,
    RequestNotProcessed,
    fresh,
)
from .._network.transport import BROKEN, Transport
from .._protocols.engine import Engine, Observer, RequestHead
from .._protocols.stream_state import StreamState
from .info import ConnectionInfo
from .keepalive import Keepalive
from .stream import Stream
from .timers import Timers
from .writer import Writer

_LAST_BYTES = 1.0  # seconds to read what the peer still said after our writes began to fail
_GOAWAY_SECONDS = 1.0  # seconds for our GOAWAY to leave when the peer has broken HTTP/2
_ids = itertools.count(1)


class State(Enum):
    OPEN = "open"
    RETIRING = "retiring"  # no new streams; it closes when the last one ends
    CLOSED = "closed"


class Connection:
    """Made by the dial. `changed()` is called whenever a slot, the settings or the state may have changed."""

    def __init__(
        self,
        transport: Transport,
        make_engine: Callable[[Observer], Engine],
        origin: str,
        limits: Limits,
        timeouts: Timeouts,
        changed: Callable[[Connection], None],
    ) -> None:
        self.id = next(_ids)
        self.origin = origin
        self.limits = limits
        self.timeouts = timeouts
        self.state = State.OPEN
        self.engine: Engine = make_engine(self)
        self.peer: tuple[str, int] | None = None  # address and port, and
        self.certificate: dict[str, Any] | None = None  # what the server showed, verified: both for coalescing
        self.upgraded = False  # it carries one WebSocket, and nothing else any more
        self.timers = Timers()
        self.woken = 0  # tasks that this dispatch has rescheduled
        self.websockets = 0  # streams that are, or are to become, WebSockets: they may stay for ever
        self.reserved = 0  # slots promised by the pool and not opened yet
        self.draining = trio.Event()  # GOAWAY came, or we retire: see WebSocket.draining
        self._when_draining: dict[object, Callable[[], None]] = {}
        self.error: H2WSError | None = None
        self._transport = transport
        self._writer = Writer(transport, self.engine, self._write_failed)
        self.flush = self._writer.flush
        self._changed = changed
        self._ready = trio.Event()  # the first SETTINGS came, or the connection is over
        self._resumed: trio.Event | None = None
        self._goaway: tuple[int, bytes] | None = None
        self._keepalive = Keepalive(self, lambda message: self.abort(ConnectionTimedOut(message)))
        self._scope = trio.CancelScope(shield=True)

    # Observers of the engine, called in the reader's dispatch.

    def on_settings(self) -> None:
        if not self._ready.is_set():
            self._ready.set()
            self._keepalive.start()
        self._changed(self)

    def on_ping_ack(self, payload: bytes) -> None:
        self._keepalive.on_ping_ack(payload)

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self._goaway = (code, debug)
        self.retire()

    def on_slot_free(self, stream: StreamState) -> None:
        self.websockets -= stream.is_connect
        if self.engine.exhausted:
            self.retire()
        if not self.engine.streams:
            self._keepalive.idle_since = trio.current_time()
            if self.state is State.RETIRING:
                self.timers.add(0, self._close_if_unused)
        self._changed(self)

    def on_unusable(self, error: H2WSError) -> None:
        self.abort(error, flush_seconds=_GOAWAY_SECONDS)

    def on_resume(self) -> None:
        if self._resumed is not None:
            self._resumed.set()

    # What the pool asks.

    @property
    def is_open(self) -> bool:
        """It takes new streams."""
        return self.state is State.OPEN

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def free_slots(self) -> int:
        """Streams that may be opened now."""
        if self.state is not State.OPEN or not self.engine.settings_received:
            return 0
        return self.engine.max_streams - len(self.engine.streams) - self.reserved

    @property
    def full_of_websockets(self) -> bool:
        """No slot will come free by itself: waiting for one could take for ever."""
        return self.engine.max_streams > 0 and self.websockets >= self.engine.max_streams

    async def wait_ready(self) -> None:
        """Until the server's first SETTINGS is here. Raises what ended the connection before."""
        await self._ready.wait()
        if not self.engine.settings_received:
            error = self.error or ConnectionLost("the connection was closed")
            if isinstance(error, HTTP2NotAvailable):
                raise fresh(error)
            raise ConnectFailed(f"the server did not start HTTP/2: {error}") from error

    def open(self, head: RequestHead, *, end_stream: bool, is_head: bool = False, is_connect: bool = False) -> Stream:
        """Queue a request's header list on a new stream, in a slot that the pool has reserved; `flush` sends it."""
        if self.state is not State.OPEN:
            self.release()
            raise RequestNotProcessed("the connection went away before the request could be sent")
        if len(self.engine.streams) >= self.engine.max_streams:
            # The slot was promised under SETTINGS that we have replaced, and acknowledged, since.
            self.release()
            raise RequestNotProcessed("the server lowered MAX_CONCURRENT_STREAMS before the request could be sent")
        if self.engine.bytes_sent and not self.engine.can_ping and self._transport.has_pending_input:
            # HTTP/1.1 has no GOAWAY: a server that is tired of the connection just ends it, and the end may be here
            # already. What else it said was not asked for, and must not be taken for the answer to this.
            self.retire()
            self.release()
            raise RequestNotProcessed("the server ended the idle connection")
        stream = Stream(self, is_head=is_head, is_connect=is_connect)
        try:
            self.engine.open(stream, head, end_stream)
        except BaseException:
            if self.engine.exhausted:
                self.retire()
            self.release()  # whoever waits may have the slot
            raise
        self.reserved -= 1
        if is_connect:
            self.websockets += 1
            self._changed(self)  # it may hold the last slot that others wait for
        self._keepalive.idle_since = None
        if self.engine.exhausted:
            self.retire()
        return stream

    def release(self) -> None:
        """Give back a slot that the pool has reserved, unused."""
        self.reserved -= 1
        if self.state is State.RETIRING and not self.engine.streams:
            self.timers.add(0, self._close_if_unused)
        self._changed(self)

    def retire(self) -> None:
        """No new streams. The connection closes when the last one has ended."""
        if self.state is State.OPEN:
            self.state = State.RETIRING
            self._set_draining()
            if not self.engine.streams:
                self.timers.add(0, self._close_if_unused)
            self._changed(self)

    def when_draining(self, key: object, call: Callable[[], None]) -> None:
        """`call()` when the connection begins to drain, at once if it already does; see `forget_when_draining`."""
        if self.draining.is_set():
            call()
        else:
            self._when_draining[key] = call

    def forget_when_draining(self, key: object) -> None:
        self._when_draining.pop(key, None)

    def _set_draining(self) -> None:
        self.draining.set()
        calls, self._when_draining = self._when_draining, {}
        for call in calls.values():
            call()

    @property
    def round_trip(self) -> float:
        """Seconds; 0 when it is not known yet."""
        return self.engine.round_trip

    def _close_if_unused(self) -> None:
        if self._writer.broken:
            return  # the reader goes on for a moment, and then tells what was wrong: see _write_failed
        if self.state is State.RETIRING and not self.engine.streams and not self.reserved:
            self.shut_down()

    def info(self) -> ConnectionInfo:
        engine = self.engine
        return ConnectionInfo(
            id=self.id,
            origin=self.origin,
            protocol=engine.protocol,
            streams_in_use=len(engine.streams),
            streams_allowed=engine.max_streams,
            settings=engine.peer_settings(),
            round_trip_time=engine.round_trip or None,
            bytes_in=engine.bytes_received,
            bytes_out=engine.bytes_sent,
            draining=self.state is not State.OPEN,
            extended_connect=engine.can_connect,
            websockets="HTTP/2" if engine.can_connect else "HTTP/1.1" if self.upgraded else None,
        )

    # The two tasks.

    def start(self, nursery: trio.Nursery) -> None:
        """Begin to serve. The tasks are shielded: they end when `abort` or `shut_down` says so, not when the scope
        around the client is cancelled, so that a user's own shielded clean-up can still use the client."""
        self.engine.start()
        if self.engine.settings_received:
            self.on_settings()
        nursery.start_soon(self._serve)

    async def _serve(self) -> None:
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run, self._write)
                await self._run(self._read)
        with trio.CancelScope(shield=True):
            await self._transport.aclose()

    async def _run(self, loop: Callable[[], Awaitable[None]]) -> None:
        try:
            await loop()
        except BROKEN as error:
            self._lost(error)
        except Exception as error:  # a bug of ours: it must reach every waiter, and not the user's nursery
            self.abort(_lost_by(f"internal error: {error!r}", error))

    async def _read(self) -> None:
        transport, engine, timers, writer = self._transport, self.engine, self.timers, self._writer
        while self.state is not State.CLOSED:
            with timers.new_scope():
                while True:
                    if engine.paused:
                        self._resumed = trio.Event()
                        await self._resumed.wait()
                        self._resumed = None
                    data = await transport.receive()
                    if not data:
                        engine.receive_end(getattr(transport, "truncated", False))
                        self._lost(None)
                        return
                    self._keepalive.last_received = trio.current_time()
                    self.woken = 0
                    writer.hold()
                    engine.receive(data)
                    if engine.fault is not None:
                        self.abort(engine.fault, flush_seconds=_GOAWAY_SECONDS)
                        return
                    writer.resume(self.woken)
            timers.run_due()

    async def _write(self) -> None:
        await self._writer.run()
        if not self._writer.broken or self.state is State.CLOSED:  # else the reader goes on: see _write_failed
            self._scope.cancel()

    # Ends.

    def _lost(self, cause: BaseException | None) -> None:
        """The transport is at its end, or broken."""
        if self.state is State.CLOSED:
            return
        if self._goaway is not None:
            code, debug = self._goaway
            error: H2WSError = ConnectionTerminated("the server ended the connection with GOAWAY", code, debug)
            error.__cause__ = cause
        elif cause is None:
            error = ConnectionLost("the server closed the connection" + self.engine.end_hint)
        else:
            error = _lost_by(f"the connection broke: {cause}", cause)
        self.abort(error)

    def _write_failed(self, error: BaseException) -> None:
        """Nothing can be sent any more; what the peer had said before is still read, to its end."""
        self.retire()
        self.timers.add(_LAST_BYTES, lambda: self._lost(error))

    def abort(self, error: H2WSError, *, flush_seconds: float | None = None) -> None:
        """End it now; every stream gets `error`.

        With `flush_seconds` what is queued (a GOAWAY) leaves, too, if it can: 0 means at once or not at all, else the
        writer has so many seconds for it, and nobody waits for that.
        """
        if self.state is State.CLOSED:
            return
        self.state = State.CLOSED
        self.error = error
        self._set_draining()
        self._ready.set()
        self.engine.abandon(lambda stream: fresh(error))
        if flush_seconds and not self._writer.broken:
            self._scope.deadline = trio.current_time() + flush_seconds
            self._writer.close()
        else:
            if flush_seconds is not None:
                self._writer.close_at_once()
            self._scope.cancel()
        self._changed(self)

    def shut_down(self) -> None:
        """End it gracefully: what is queued, GOAWAY, close_notify. Streams still open end at once; the writer has
        `Timeouts.close` to send the last bytes."""
        if self.state is State.CLOSED:
            return
        self._writer.keep_queued()
        self.engine.goaway(ErrorCode.NO_ERROR)
        self.state = State.CLOSED
        self.error = LocalProtocolError("the client was closed")
        self._set_draining()
        self._ready.set()
        self.engine.abandon(lambda stream: ConnectionLost("the client was closed"))
        if self.timeouts.close is not None:
            self._scope.deadline = trio.current_time() + self.timeouts.close
        if self._writer.broken:
            self._scope.cancel()
        self._writer.close()
        self._changed(self)


def _lost_by(message: str, cause: BaseException) -> ConnectionLost:
    error = ConnectionLost(message)
    error.__cause__ = cause
    return error
