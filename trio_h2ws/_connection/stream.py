"""One stream as a passive record that tasks can wait on.

The reader fills it (the `on_*` hooks, called by the engine while it handles a frame) and the application empties
it. There is no task in it. At most one task receives and any number send: they take turns, first come first served,
so a message never stands in the middle of another one.

Cancel safety: `send` waits before it queues and never after, so a cancelled `send` has queued nothing. `receive`
takes from the inbox and never awaits afterwards, so nothing taken is lost. `close` is synchronous: it queues
RST_STREAM(CANCEL), frees the slot and drops what was not read; no clean-up needs a shield.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

import trio

from .._errors import ErrorCode, H2WSError, fresh
from .._http.headers import RawFields
from .._protocols.stream_state import StreamState

if TYPE_CHECKING:
    from .connection import Connection


class Consumer(Protocol):
    """Who takes a stream's bytes in the reader's own dispatch, instead of the inbox. Must not raise or await."""

    def feed(self, data: bytes) -> bool:
        """Take these bytes; or return False, and they stay in the inbox, held by the window, until `Stream.take`."""
        ...

    def on_end(self) -> None:
        """No more bytes will come: the peer ended the stream, or `Stream.error` tells what did."""


# Shared by all streams with an empty inbox, and never changed: see streamstate.
_NOTHING: deque[bytes] = deque()
_TINY, _SMALL = 256, 2048


class Stream(StreamState):
    """A request and its response, or one WebSocket's transport. Made by `Connection.open`."""

    __slots__ = (
        "_consumer",
        "_first",
        "_inbox",
        "_line",
        "_reader",
        "connection",
        "error",
        "informational_responses",
        "received_trailers",
        "response",
        "stopped",
        "unread",
        "upload",
        "user_error",
    )

    def __init__(self, connection: Connection, *, is_head: bool = False, is_connect: bool = False) -> None:
        super().__init__(is_head=is_head, is_connect=is_connect)
        self.connection = connection
        self.response: tuple[int, RawFields] | None = None
        self.informational_responses: list[tuple[int, RawFields]] = []
        self.received_trailers: RawFields | None = None
        self.error: H2WSError | None = None
        self.user_error: BaseException | None = None  # what the caller's own iterable raised
        self.stopped = False  # we closed it ourselves: nothing more is delivered
        self.unread = 0
        self.upload: trio.CancelScope | None = None  # of the task that feeds this stream from an iterable
        self._inbox: deque[bytes] = _NOTHING
        self._reader: trio.lowlevel.Task | None = None
        self._line: trio.Lock | None = None  # of those who wait to send, and
        self._first: trio.lowlevel.Task | None = None  # the first of them, who waits for room
        self._consumer: Consumer | None = None

    # Called by the engine.

    def on_informational(self, status: int, fields: RawFields) -> None:
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
        elif len(data) < _TINY and len(inbox[-1]) < _SMALL:
            inbox[-1] += data  # a peer that sends byte by byte must not cost an object for each
        else:
            inbox.append(data)
        self.unread += len(data)
        if self._reader is not None:
            self._wake_reader()

    def on_end(self, trailers: RawFields | None) -> None:
        self.received_trailers = trailers
        self._ended()

    def on_error(self, error: H2WSError) -> None:
        self.error = error
        self._ended()

    def on_drained(self) -> None:
        if self._first is not None and (self.closed or self.out_size < self.connection.limits.max_send_buffer):
            task, self._first = self._first, None
            trio.lowlevel.reschedule(task)

    def _ended(self) -> None:
        if self._consumer is not None:
            self._consumer.on_end()
        self._wake_reader()
        self.on_drained()
        if self.upload is not None and self.closed:
            self.upload.cancel()

    def _wake_reader(self) -> None:
        task = self._reader
        if task is not None:
            self._reader = None
            self.connection.woken += 1
            trio.lowlevel.reschedule(task)

    # Called by the application.

    async def _wait(self) -> None:
        if self._reader is not None:
            raise trio.BusyResourceError("another task is receiving from this stream")
        self._reader = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def raise_error(self) -> None:
        """Raise what ended this stream, if something did. Every caller gets an exception of its own."""
        if self.user_error is not None:
            raise self.user_error
        if self.error is not None:
            raise fresh(self.error)
        if self.stopped:
            raise trio.ClosedResourceError("this stream was closed")

    async def wait_response(self) -> tuple[int, RawFields]:
        """The final response's status and fields."""
        while self.response is None:
            self.raise_error()
            await self._wait()
        return self.response

    async def wait_data(self) -> None:
        """Until `peek` would give something, or nothing will come."""
        while not (self._inbox or self.remote_ended or self.error is not None or self.stopped):
            await self._wait()

    async def receive(self) -> bytes:
        """The next bytes of the body, b"" at its end. Taking them gives their credit back to the peer."""
        if self._inbox or self.remote_ended or self.error is not None or self.stopped:
            await trio.lowlevel.checkpoint()
        while not self._inbox:
            if self.remote_ended and not self.stopped:
                return b""
            self.raise_error()
            await self._wait()
        data = self._inbox.popleft()
        self._took(len(data))
        return data

    def consume_with(self, consumer: Consumer | None) -> None:
        """From now on, `consumer` hears about new bytes; what is in the inbox already, it is told of at once."""
        self._consumer = consumer
        if consumer is not None:
            while self._inbox and consumer.feed(self._inbox[0]):
                self.take()
            if self.remote_ended or self.error is not None:
                consumer.on_end()

    def take(self) -> bytes:
        """The next chunk of the inbox, b"" if there is none; its credit goes back to the peer."""
        if not self._inbox:
            return b""
        data = self._inbox.popleft()
        self._took(len(data))
        return data

    def peek(self) -> bytes:
        """The next chunk of the inbox, left where it is."""
        return self._inbox[0] if self._inbox else b""

    def _took(self, n: int) -> None:
        self.unread -= n
        connection = self.connection
        if connection.engine.consume(self, n):
            connection.flush()

    async def wait_room(self) -> None:
        """Wait while more than `Limits.max_send_buffer` bytes wait to leave. A cancel point, always.

        Who came first goes first: a newcomer stands behind all who wait, also in a moment in which there is room.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        limit = self.connection.limits.max_send_buffer
        if self.out_size < limit and (self._line is None or not self._line.locked()):
            return
        if self._line is None:
            self._line = trio.Lock()
        async with self._line:
            while not self.closed and self.out_size >= limit:
                await self._wait_drained()

    async def _wait_drained(self) -> None:
        self._first = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._first = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

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

    def ends_soon(self) -> None:
        """A WebSocket has begun to close: its slot comes free by itself, so others may wait for it."""
        if self.is_connect and not self.closed:
            self.is_connect = False
            self.connection.websockets -= 1

    def fail(self, error: BaseException) -> None:
        """The body that was to be sent raised `error`: reset the stream, and give it to whoever waits here."""
        self.user_error = error
        consumer = self._consumer
        self.close()
        if consumer is not None:
            consumer.on_end()
