"""One stream as a passive record that tasks can wait on.

The reader fills it (the `on_*` hooks, called by the engine while it handles a frame) and the application empties
it. There is no task in it. At most one task receives. Any number send, and take turns in the order in which they
came, so one message never ends up in the middle of another.

Cancel safety: `send` waits before it queues and never after, so a cancelled `send` has queued nothing. `receive`
takes from the inbox and never awaits afterwards, so nothing taken is lost. `close` is synchronous: it queues
RST_STREAM(CANCEL), frees the slot and drops what was not read; no clean-up needs a shield.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import trio

from .._config import Limits, Timeouts
from .._errors import ErrorCode, H2WSError, fresh
from .._http.headers import RawFields
from .._protocols.engine import Engine
from .._protocols.guard import end_with_bug
from .._protocols.pieces import SMALL, add_piece
from .._protocols.stream_state import StreamState
from .calm import Calm
from .draining import Draining
from .info import ConnectionInfo
from .keepalive import Keepalive
from .sweep import KeepaliveEntry, KeptAlive
from .timers import Timer, Timers
from .wakeups import ParkedTask, Wakeups


class Owner(Protocol):
    """What a stream, and what is built on it, needs of its connection."""

    origin: str
    engine: Engine
    limits: Limits
    timeouts: Timeouts
    timers: Timers
    wakeups: Wakeups
    keepalive: Keepalive
    draining: Draining
    websockets: int
    calm: Calm
    flush: Callable[[], None]

    @property
    def is_open(self) -> bool: ...
    def on_answer(self) -> None: ...
    def keep_alive(self, websocket: KeptAlive, interval: float, timeout: float | None) -> KeepaliveEntry: ...
    def info(self) -> ConnectionInfo: ...


class Consumer(Protocol):
    """Takes a stream's bytes in the reader's dispatch, instead of the inbox. It must not raise or await.

    If it raises, the stream ends with that bug as its error, and `on_end` is called, for the second time perhaps.
    """

    def feed(self, data: bytes) -> bool:
        """Take these bytes; or return False, and they stay in the inbox, held by the window, until `Stream.take`."""
        ...

    def on_end(self) -> None:
        """No more bytes will come: the peer ended the stream, or `Stream.error` says what did."""


class _Senders:
    """The tasks that wait to send: one for room, the others in the queue of the lock. Most streams never need it."""

    __slots__ = ("first", "lock")

    def __init__(self) -> None:
        self.lock = trio.Lock()
        self.first = ParkedTask()


_AT_ONCE = 64 * 1024
# Shared by all streams with an empty inbox, and never changed: an empty deque takes 0.7 KB (see stream_state.py).
_NOTHING: deque[bytes] = deque()
# The same: the garbage collector looks at every list, and most streams have no such responses.
_NO_RESPONSES: list[tuple[int, RawFields]] = []


class Stream(StreamState):
    """A request and its response, or the transport of one WebSocket. Made by `Connection.open`."""

    __slots__ = (
        "_consumer",
        "_inbox",
        "_reader",
        "_senders",
        "bounded",
        "connection",
        "error",
        "informational_responses",
        "may_move",
        "received_trailers",
        "response",
        "stopped",
        "unread",
        "upload",
        "user_error",
    )

    def __init__(self, connection: Owner, *, is_head: bool = False, is_connect: bool = False) -> None:
        super().__init__(is_head=is_head, is_connect=is_connect)
        self.connection = connection
        self.response: tuple[int, RawFields] | None = None
        self.informational_responses = _NO_RESPONSES
        self.received_trailers: RawFields | None = None
        self.error: H2WSError | None = None
        self.user_error: BaseException | None = None  # what the caller's own iterable raised
        self.stopped = False  # we closed it ourselves: nothing more is delivered
        self.unread = 0
        self.bounded = False  # sent while the server wants calm
        self.may_move = False  # the call may be sent again on another connection, if it has no answer yet
        self.upload: trio.CancelScope | None = None  # of the task that feeds this stream from an iterable
        self._inbox: deque[bytes] = _NOTHING
        self._consumer: Consumer | None = None
        # Both are made when a task first waits: a stream with a consumer has no reader, and most have room.
        self._reader: ParkedTask | None = None
        self._senders: _Senders | None = None

    # Called by the engine.

    def on_informational(self, status: int, fields: RawFields) -> None:
        if self.informational_responses is _NO_RESPONSES:
            self.informational_responses = []
        self.informational_responses.append((status, fields))

    def on_response(self, status: int, fields: RawFields) -> None:
        self.response = (status, fields)
        self._wake_reader()

    def on_data(self, data: bytes) -> None:
        inbox = self._inbox
        if not inbox:
            if self._consumer is not None and self._consumer.feed(data):
                self.connection.engine.consume(self, len(data))
                return
            if inbox is _NOTHING:
                self._inbox = inbox = deque()
            inbox.append(data)
        elif len(data) < SMALL:
            add_piece(inbox, data)
        else:
            inbox.append(data)
        self.unread += len(data)
        self._wake_reader()

    def on_end(self, trailers: RawFields | None) -> None:
        self.received_trailers = trailers
        self._ended()

    def on_error(self, error: H2WSError) -> None:
        self.error = error
        self._ended()

    def on_drained(self) -> None:
        senders = self._senders
        if self.closed:
            self._stop_sending()
        elif senders is not None and self.out_size < self.connection.limits.max_send_buffer:
            senders.first.wake()

    def wake_all(self, error: H2WSError) -> None:
        self.error = error
        self._ended()

    def _ended(self) -> None:
        try:
            if self._consumer is not None:
                self._consumer.on_end()
        finally:
            self._wake_reader()
            if self.closed:
                self._stop_sending()

    def _stop_sending(self) -> None:
        if self._senders is not None:
            self._senders.first.wake()
        if self.upload is not None:
            self.upload.cancel()

    def _wake_reader(self) -> None:
        if self._reader is not None:
            self.connection.wakeups.wake(self._reader)

    # Called by timers, callbacks and tasks that belong to this stream.

    def call_later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """A timer of the connection, on behalf of this stream: if `call` raises, the stream ends, and no other."""
        return self.connection.timers.add(seconds, call, self)

    def end_with_bug(self, bug: Exception) -> None:
        """Something that handles this stream has raised. Never raises."""
        end_with_bug(self.connection.engine, self, bug)
        self.connection.flush()

    # Called by the application.

    async def _wait(self) -> None:
        if self._reader is None:
            self._reader = ParkedTask()
        await self._reader.park("another task is receiving from this stream")

    def raise_error(self) -> None:
        """Raise what ended this stream, if something did. Every caller gets a new exception object."""
        if self.user_error is not None:
            raise self.user_error
        if self.error is not None:
            raise fresh(self.error)
        if self.stopped:
            raise trio.ClosedResourceError("this stream was closed")

    async def wait_response(self) -> tuple[int, RawFields]:
        """The status and fields of the final response."""
        while self.response is None:
            self.raise_error()
            await self._wait()
        return self.response

    @property
    def is_newest(self) -> bool:
        """No stream was opened after it on its connection."""
        return self.id == self.connection.engine.newest_id

    @property
    def in_body(self) -> bool:
        """A part of the response's body has come (over HTTP/1.1: of the response), and not all of it."""
        if not self.connection.engine.can_ping:
            return self.answered
        return self.content_left != 0 and not self.receive_window.untouched

    @property
    def has_ended(self) -> bool:
        """Nothing more will come, but for what is in the inbox."""
        return self.remote_ended or self.error is not None or self.stopped

    async def wait_data(self) -> None:
        """Until `peek` would give something, or nothing will come."""
        while not (self._inbox or self.has_ended):
            await self._wait()

    async def receive(self) -> bytes:
        """The next bytes of the body, all that have come, about 64 KiB at most; b"" at its end. Taking them gives
        their credit back to the peer."""
        if self._inbox or self.has_ended:
            await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self.remote_ended and not self.stopped:
                return b""
            self.raise_error()
            await self._wait()
        if len(self._inbox) == 1 or len(self._inbox[0]) >= _AT_ONCE // 2:
            return self.take()
        # A copy costs less than a scheduler pass for each frame that has come.
        pieces: list[bytes] = []
        size = 0
        while self._inbox and size < _AT_ONCE:
            pieces.append(self._inbox.popleft())
            size += len(pieces[-1])
        self._took(size)
        return b"".join(pieces)

    def consume_with(self, consumer: Consumer | None) -> None:
        """From now on `consumer` gets the bytes: first what is in the inbox already, as far as it takes it."""
        self._consumer = consumer
        if consumer is None:
            return
        try:
            while self._inbox and consumer.feed(self._inbox[0]):
                self.take()
            if self.remote_ended or self.error is not None:
                consumer.on_end()
        except Exception as bug:
            self.end_with_bug(bug)

    def take(self) -> bytes:
        """The next chunk of the inbox, b"" if there is none; its credit goes back to the peer."""
        if not self._inbox:
            return b""
        data = self._inbox.popleft()
        self._took(len(data))
        return data

    def _took(self, size: int) -> None:
        self.unread -= size
        if self.connection.engine.consume(self, size):
            self.connection.flush()

    def peek(self) -> bytes:
        """The next chunk of the inbox, left where it is."""
        return self._inbox[0] if self._inbox else b""

    async def wait_room(self) -> None:
        """Wait while `Limits.max_send_buffer` bytes or more wait to leave. Always a cancel point.

        First come, first served: a newcomer queues after all that wait, even when there is room at this instant.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        limit = self.connection.limits.max_send_buffer
        if self.out_size < limit and (self._senders is None or not self._senders.lock.locked()):
            return
        if self._senders is None:
            self._senders = _Senders()
        async with self._senders.lock:
            while not self.closed and self.out_size >= limit:
                await self._senders.first.park()

    async def send(self, data: bytes | memoryview) -> None:
        """Queue all of `data` when there is room. Cancelled, it has queued nothing."""
        await self.wait_room()
        self.send_nowait(data)
        await trio.lowlevel.cancel_shielded_checkpoint()

    def send_nowait(self, data: bytes | memoryview) -> None:
        """Queue all of `data` at once. Raises what ended the stream, or trio.ClosedResourceError after `end`."""
        if self.closed or self.local_ended or self.end_queued:
            self.raise_error()
            raise trio.ClosedResourceError("this side of the stream has ended already")
        self.connection.engine.send(self, data)
        self.connection.flush()

    def end(self, trailers: RawFields | None = None) -> None:
        """END_STREAM after what is queued."""
        if not (self.closed or self.local_ended or self.end_queued):
            self.connection.engine.end(self, trailers)
            self.connection.flush()

    def close(self, code: int = ErrorCode.CANCEL) -> None:
        """End it now, on both sides; idempotent. What was not read is dropped."""
        if self.stopped:
            return
        self.stopped = True
        self._inbox = _NOTHING
        self.unread = 0
        self._consumer = None
        if not self.closed:
            self.connection.engine.reset(self, code)
            self.connection.flush()
        self._ended()

    def give_up(self) -> None:
        """`close`, for a call that was cancelled before it had its answer: the connection may be dead."""
        if not (self.closed or self.remote_ended):
            self.connection.keepalive.doubt()
        self.close()

    def on_websocket_open(self) -> None:
        """The handshake is done."""
        self.connection.on_answer()
        if not self.closed:
            self.is_open_websocket = True
            self.connection.calm.on_websocket_open()

    def ends_soon(self) -> None:
        """A WebSocket has begun to close: its slot will come free by itself, so callers may wait for it."""
        if self.is_connect and not self.closed:
            self.is_connect = False
            self.connection.websockets -= 1

    def fail(self, error: BaseException) -> None:
        """The body that was to be sent raised `error`: reset the stream, and raise it from whatever waits here."""
        self.user_error = error
        self._close_with_error()

    def leave(self, error: H2WSError) -> None:
        """The call is to be sent again elsewhere: the same, with an error of the connection."""
        self.error = error
        self._close_with_error()

    def _close_with_error(self) -> None:
        consumer = self._consumer
        self.close()
        if consumer is not None:
            consumer.on_end()
