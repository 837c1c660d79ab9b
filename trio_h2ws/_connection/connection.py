"""The life of one connection: an engine, a transport, a reader, a writer, and the streams they serve.

    app task ─ send / receive ─┐                                (never waits for the socket)
    app task ─ …               ├─ sync calls ─► Engine (sans-IO, owns the protocol)
    reader task ─ read ─ engine.receive ─ hooks ──────────┘      │
    writer task ◄─ wake ─ engine.produce ─ write ─ wait until the socket can take more

Invariants:
1. Only the reader reads the transport. Only the writer waits for it to take more.
2. The engine is used only in synchronous code, with no `await` between looking and acting: so there is no lock.
3. The reader awaits nothing but the transport: no application, no queue, no writer. A stalled stream stalls no other.
4. Every clean-up is synchronous. A cancelled call leaves whole frames, or none.
5. Code that makes outgoing bytes calls `flush`. The writer takes everything that is ready: control frames first, then
   DATA in turn (`writer.py`).
6. A stream's window is credited when the application takes the bytes, the connection's on receipt.
7. The two tasks never raise into the user's nursery: a failure is given to the streams, to each as a new exception.
   A bug in the handling of one stream ends that stream (`guard.py`), any other bug ends the connection.

States. A connection is ready when the server's first SETTINGS have come (HTTP/1.1: at once). Before that
it takes requests, up to the engine's `max_streams` (`first_flight.py`).

    state     new streams    reader, writer       left by
    OPEN      accepted       run                  retire -> DRAINING; abort, shut_down -> CLOSED
    DRAINING  refused        run                  its last stream has ended and no slot is reserved -> shut_down;
                                                  abort, shut_down -> CLOSED
    CLOSED    refused        write what is left   -

    retire     GOAWAY came; stream ids ran out; idle too long; writing failed; a used HTTP/1.1 connection has ended
    abort      the transport ended or broke; no answer to a PING; a connection error; the client was cancelled.
               Every stream gets its error in that step.
    shut_down  the client is closed, or draining is done: what is queued, GOAWAY and close_notify are still sent

`draining` begins on every way out of OPEN. After CLOSED the writer has a bounded time for its last bytes;
then the scope of both tasks is cancelled, and the transport is closed. After CLOSED the scope around the client ends
them as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from enum import Enum
from typing import Any

import trio

from .._config import Limits, Timeouts
from .._errors import (
    ConnectFailed,
    ConnectionLost,
    ErrorCode,
    H2WSError,
    LocalProtocolError,
    RequestNotProcessed,
    fresh,
    without_frames,
)
from .._network.transport import BROKEN, NotConnected, Transport
from .._protocols.engine import Engine, Observer, RequestHead
from .._protocols.guard import connection_bug, observed
from .._protocols.stream_state import StreamState
from .calm import Calm
from .departure import Departure
from .draining import Draining
from .ended_engine import EndedEngine
from .first_flight import not_started
from .goaways import Goaways
from .info import ConnectionInfo, describe
from .keepalive import Keepalive
from .reader import Reader
from .resets import Resets
from .stream import Stream
from .sweep import KeepaliveEntry, KeptAlive, Sweep
from .tasks import serve
from .timers import Timers
from .wakeups import Wakeups
from .writer import Writer

_LAST_BYTES_SECONDS = 1.0  # of silence, when our writes fail and the peer may still explain why
_GOAWAY_SECONDS = 1.0  # to send our GOAWAY when the peer has broken HTTP/2
_ids = itertools.count(1)


class State(Enum):
    OPEN = "open"
    DRAINING = "draining"
    CLOSED = "closed"


class _ControlQueue:
    """Control frames (`departure.Queue`)."""

    __slots__ = ("_engine",)
    credit = 0  # they need none

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def sent_size(self) -> int:
        return self._engine.bytes_sent


class Connection:
    """Made by the dial. `changed(connection)` is called when a slot, the settings or the state may have changed."""

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
        self.name = origin  # for errors: the dial adds the proxy
        self.limits = limits
        self.timeouts = timeouts
        self.state = State.OPEN
        self.engine: Engine = make_engine(self)
        self.peer: tuple[str, int] | None = None  # address and port, for coalescing
        self.certificate: dict[str, Any] | None = None  # the server's, if it was verified, for coalescing
        self.upgraded = False  # it carries one WebSocket over HTTP/1.1, and nothing else any more
        self.gone = False  # its socket is closed
        self.timers = Timers()
        self.wakeups = Wakeups()
        self.websockets = 0  # streams that are, or are to become, WebSockets: they may stay for ever
        self.calm = Calm(self, self._report_change)
        self._sweep: Sweep | None = None
        self._limited = False  # the system ends it soon if what we send is not acknowledged
        self.resets = Resets(self, self._report_change)
        self.reserved = 0  # slots that the pool has given out and that are not opened yet
        self.draining = Draining()
        self.error: H2WSError | None = None
        self.refusal: H2WSError | None = None  # the server does not speak HTTP, or refuses us: no other will do
        self._transport = transport
        self._writer = Writer(transport, self.engine, self._write_failed)
        self.flush = self._writer.flush
        self._changed = changed
        self._ready = trio.Event()  # the first SETTINGS came, or the connection is over
        self._goaways = Goaways()
        self.keepalive = Keepalive(self, self._report_change)
        self._reader = Reader(transport, self.engine, self._writer, self.timers, self.keepalive, self.wakeups)
        self._scope = trio.CancelScope(shield=True)

    # Called by the engine in the reader's dispatch.

    def on_settings(self) -> None:
        if not self._ready.is_set():
            self._ready.set()
            self.keepalive.start()
        self._report_change()

    def on_ping_ack(self, payload: bytes) -> None:
        if not self.resets.on_ping_ack(payload):
            self.keepalive.on_ping_ack(payload)

    def on_reset(self) -> None:
        self.resets.on_reset()

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self._goaways.add(code, debug)
        self.calm.on_goaway(last_stream_id, code)
        if self.engine.streams:
            self.keepalive.check()  # some servers have forgotten the connection already
        self.retire()

    def on_calm(self, stream: StreamState) -> None:
        self.calm.on_reset(stream)

    def on_slot_free(self, stream: StreamState) -> None:
        if self._limited:
            self.on_answer()
        self.websockets -= stream.is_connect
        self.calm.on_stream_end(stream)
        if self.engine.exhausted:
            self.retire()
        if not self.engine.streams:
            self.keepalive.begin_idle()
            if self.state is State.DRAINING:
                self.timers.add(0, self._close_if_unused)
        self._report_change()

    def on_unusable(self, error: H2WSError) -> None:
        self.abort(error, flush_seconds=_GOAWAY_SECONDS)

    def on_resume(self) -> None:
        self._reader.resume()

    # For the pool.

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
        if self.state is not State.OPEN:
            return 0
        if self.keepalive.doubted and self.keepalive.in_doubt():
            return 0
        return self.engine.max_streams - len(self.engine.streams) - self.reserved - self.resets.held

    @property
    def full_of_websockets(self) -> bool:
        """No slot will come free by itself: waiting for one could take for ever."""
        return self.engine.max_streams > 0 and self.websockets >= self.engine.max_streams

    async def wait_ready(self) -> None:
        """Until the server's first SETTINGS are here. Raises ConnectFailed if the connection has ended before."""
        await self._ready.wait()
        if not self.engine.settings_received:
            error = self.error or ConnectionLost("the connection was closed")
            if isinstance(error, ConnectFailed):
                raise fresh(error)
            raise ConnectFailed(f"{self.name}: {error}") from error

    def open(self, head: RequestHead, *, end_stream: bool, is_head: bool = False, is_connect: bool = False) -> Stream:
        """Queue a request's header list on a new stream, in a slot that the pool has reserved; `flush` sends it."""
        if self.state is not State.OPEN:
            self.release()
            raise self.unusable("the connection began to drain before the request could be sent")
        if len(self.engine.streams) >= self.engine.max_streams:
            # The slot was reserved under earlier SETTINGS than those that we have acknowledged since.
            self.release()
            raise RequestNotProcessed("the server lowered MAX_CONCURRENT_STREAMS before the request could be sent")
        used_http1 = not self.engine.can_ping and self.engine.bytes_sent
        if used_http1 and (self._transport.has_pending_input or self.keepalive.overdue):
            # HTTP/1.1 has no GOAWAY: a server simply ends an idle connection, and that end may have arrived already.
            # Bytes that arrived instead answer nothing that was asked, and must not be taken for the next response.
            self.retire()
            self.release()
            raise RequestNotProcessed("the server ended the idle connection")
        is_stale = self.keepalive.is_stale
        stream = Stream(self, is_head=is_head, is_connect=is_connect)
        try:
            self.engine.open(stream, head, end_stream)
        except BaseException as error:
            if self.engine.exhausted:
                self.retire()
            self.release()  # the next waiter may have the slot
            if isinstance(error, Exception) and not isinstance(error, H2WSError):
                self.end_with_bug(error)  # half a header block, perhaps: the state of HPACK is not known
                raise connection_bug(error) from error
            raise
        self.reserved -= 1
        if is_connect:
            self.websockets += 1
            self._report_change()  # it may hold the last slot that other callers wait for
        self.keepalive.idle_since = None
        if is_stale:
            self._doubt_silence()
        if self.engine.exhausted:
            self.retire()
        return stream

    def _doubt_silence(self) -> None:
        """A call was opened after a long silence."""
        if self.engine.can_ping:
            self.keepalive.probe()
        elif self.timeouts.probe_timeout is not None:
            self._transport.limit_unacknowledged(self.timeouts.probe_timeout)
            self._limited = True

    def on_silent(self, error: H2WSError) -> None:
        for stream in list(self.engine.streams.values()):
            if isinstance(stream, Stream) and stream.may_move and not stream.answered:
                stream.leave(error)

    def departure(self) -> Departure:
        """Of a PING that was just queued: control frames leave together, before all that waits in streams."""
        return Departure(self._transport, _ControlQueue(self.engine), int(self.engine.has_output))

    def on_answer(self) -> None:
        """An answer has come, so the connection works."""
        if self._limited:
            self._limited = False
            self._transport.limit_unacknowledged(None)

    def keep_alive(self, websocket: KeptAlive, interval: float, timeout: float | None) -> KeepaliveEntry:
        """Keep it alive: see `sweep.py`."""
        if self._sweep is None:
            self._sweep = Sweep(self.timers, self._transport)
        return self._sweep.keep_alive(websocket, interval, timeout)

    def unusable(self, message: str = "") -> H2WSError:
        """Why a call was not sent on it, although it should have been, when it takes no new streams."""
        if self.refusal is not None:
            return fresh(self.refusal)
        error = RequestNotProcessed(
            message or f"{self.name}: the server ended the connection before anything was sent"
        )
        error.__cause__ = self.error
        return error

    def release(self) -> None:
        """Give back a slot that the pool has reserved, unused."""
        self.reserved -= 1
        if self.state is State.DRAINING and not self.engine.streams:
            self.timers.add(0, self._close_if_unused)
        self._report_change()

    def retire(self) -> None:
        """No new streams. The connection closes when the last one has ended."""
        if self.state is State.OPEN:
            self.state = State.DRAINING
            self.draining.begin()
            if not self.engine.streams:
                self.timers.add(0, self._close_if_unused)
            self._report_change()

    def _close_if_unused(self) -> None:
        # While the writer is broken the reader goes on, and then reports what was wrong: see _write_failed.
        if self.state is State.DRAINING and not (self.engine.streams or self.reserved or self._writer.broken):
            self.shut_down()

    def info(self) -> ConnectionInfo:
        return describe(self)

    # The two tasks.

    def start(self, nursery: trio.Nursery) -> None:
        """Begin to serve. The tasks are shielded until `abort` or `shut_down`: when the scope around the client is
        cancelled, a user's own shielded clean-up can still use the client."""
        self.engine.start()
        nursery.start_soon(serve, self, self._read, self._write, self._scope, self._transport)
        if self.engine.settings_received:
            observed(self, self.on_settings)

    def on_gone(self) -> None:
        self.gone = True
        self._report_change()
        # A stream may be kept by a user for long, and keeps this.
        self.engine = self._writer.engine = self._reader.engine = EndedEngine(self.engine)
        self.timers.clear()
        self.certificate = None
        self._sweep = None
        self.keepalive.forget()
        self._changed = _nothing

    async def _read(self) -> None:
        await self._reader.run()
        if self.engine.fault is not None:
            without_frames(self.engine.fault)
            if not self.engine.fault.may_have_been_processed:
                self.refusal = self.engine.fault
            self.abort(self.engine.fault, flush_seconds=_GOAWAY_SECONDS)
        else:
            self.lost(None)

    async def _write(self) -> None:
        await self._writer.run()
        if not self._writer.broken or self.state is State.CLOSED:  # else the reader goes on: see _write_failed
            self._scope.cancel()

    # Ends.

    def lost(self, cause: BaseException | None) -> None:
        """The transport is at its end, or broken."""
        if isinstance(cause, NotConnected):
            without_frames(cause)
            error = self.refusal = ConnectFailed(str(cause))
            error.__cause__ = cause
            self.abort(error)
            return
        self.abort(self._goaways.error(cause, self.engine.end_hint + self.resets.explain_end()))

    def _write_failed(self, error: Exception) -> None:
        """Nothing can be sent any more, but the peer may have explained why (a response, GOAWAY) before it stopped
        reading: read that, to its end."""
        if not isinstance(error, BROKEN):
            self.end_with_bug(error)
            return
        self.retire()
        self._reader.when_silent(_LAST_BYTES_SECONDS, lambda: self.lost(error))

    def end_with_bug(self, bug: Exception) -> None:
        """The handling of the connection itself has raised. Every stream gets that as its error. Never raises."""
        if self.state is State.CLOSED:
            if self.error is not None:  # every call has its error already
                self.error.add_note(f"after the end of the connection: {bug!r}")
            self._scope.cancel()
        self.abort(connection_bug(bug))

    def _report_change(self) -> None:
        observed(self, self._changed, self)

    def abort(self, error: H2WSError, *, flush_seconds: float | None = None) -> None:
        """End it now; every stream gets `error`. Never waits. With `flush_seconds` the writer may still send what is
        queued (a GOAWAY) for that many seconds; 0 means what the socket takes at once."""
        if self.state is State.CLOSED:
            return
        if not self.engine.settings_received:
            error = not_started(error, self.name, in_clear=self.origin.startswith("http:"))
        self._close(error, error)
        if flush_seconds and not self._writer.broken:
            self._scope.deadline = trio.current_time() + flush_seconds
            self._writer.close()
        else:
            if flush_seconds is not None:
                self._writer.close_at_once()
            self._scope.cancel()
        self._report_change()

    def shut_down(self) -> None:
        """End it gracefully: what is queued, GOAWAY, close_notify. Streams that are open end at once; the writer has
        `Timeouts.close` seconds to send the last bytes. Never waits."""
        if self.state is State.CLOSED:
            return
        self._writer.keep_queued()
        self.engine.goaway(ErrorCode.NO_ERROR)
        self._close(LocalProtocolError("the client was closed"), ConnectionLost("the client was closed"))
        if self.timeouts.close is not None:
            self._scope.deadline = trio.current_time() + self.timeouts.close
        if self._writer.broken:
            self._scope.cancel()
        self._writer.close()
        self._report_change()

    def _close(self, error: H2WSError, of_streams: H2WSError) -> None:
        """No stream and no reader any more; the two ends above differ in what the writer may still do. From now on
        the scope around the client ends the tasks as well: a cancelled client does not wait for the last bytes."""
        self.state = State.CLOSED
        self.error = error
        self._scope.shield = False
        self._reader.stop()
        self.draining.begin()
        self._ready.set()
        self.calm.on_end()
        self.engine.abandon(of_streams)


def _nothing(connection: Connection) -> None: ...
