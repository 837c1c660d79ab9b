"""Messages over a stream: what connects the frames of one WebSocket with the stream that carries them.

It costs no task. The stream's bytes are parsed in the reader's synchronous dispatch (`feed`), so pings are answered
and closes are seen while the application does something else. When the queue of messages is full, the bytes stay in
the stream, held by its window: a slow consumer stops its own peer and no other.

Two flags say how it ended: `ended` (the stream is over: no byte will come or leave) and `closed` (the application has
closed it: using it is misuse, and what arrives is dropped). What happens between a Close and the end is in
`closing.py`, what Pings wait for in `pings.py`; both are made when they are first needed, since most WebSockets are
idle most of the time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from .._connection.stream import Stream
from .._connection.sweep import KeepaliveEntry
from .._connection.wakeups import ParkedTask
from .._errors import H2WSError, WebSocketError
from .._protocols.stream_state import StreamState
from .._protocols.ws.receiver import FrameReceiver
from .._protocols.ws.sender import FrameSender
from .checkpoints import Checkpoints, checkpoint
from .closing import Closing
from .end_error import end_error
from .pings import Pings

_KEEPALIVE = b"keepalive"


class ApplicationHeartbeat(Protocol):
    """A heartbeat of the application."""

    def _on_messages(self) -> None:
        """Messages may have been queued."""
        ...

    def _on_taken(self) -> None:
        """The first message of the queue was taken."""
        ...

    def stop(self) -> None: ...


class HandoverInProgress(Protocol):
    """A hand-over to a successor."""

    def on_closed(self) -> None:
        """The application has closed the WebSocket."""
        ...


class Channel:
    """Between one stream and its frames. All of it is synchronous, except the waiting."""

    __slots__ = (
        "_answer_close_at_once",
        "_arriving",
        "_closing",
        "_keepalive_entry",
        "_leaving",
        "_liveness",
        "_pings",
        "_rest",
        "_waiting",
        "closed",
        "ended",
        "error",
        "handed_over",
        "handover",
        "heard",
        "heartbeat",
        "notify",
        "queue",
        "receiver",
        "sender",
        "stream",
    )

    def __init__(
        self, stream: Stream, receiver: FrameReceiver, sender: FrameSender, *, answer_close_at_once: bool
    ) -> None:
        self.stream = stream
        self.receiver = receiver
        self.queue = receiver.queue
        self.sender = sender
        self._liveness = stream.connection.keepalive
        self.heard = self._liveness.last_received
        """When bytes came, or the application took what waited for room."""
        self.ended = False
        self.closed = False
        self.error: H2WSError | None = None  # what ended the stream, if it did not end well
        self.heartbeat: ApplicationHeartbeat | None = None  # of the application: see heartbeat.py
        self.handed_over = False  # our Close was sent, because the successor is open
        self.handover: HandoverInProgress | None = None  # to a successor: see handover.py
        self.notify: Callable[[], None] | None = None  # called for new messages, if no task waits here: see group.py
        self._answer_close_at_once = answer_close_at_once
        self._rest: list[bytes] = []  # bytes of a stream that has ended, for which there was no room, last ones first
        # Made when first needed.
        self._closing: Closing | None = None
        self._pings: Pings | None = None
        self._waiting: ParkedTask | None = None
        self._keepalive_entry: KeepaliveEntry | None = None
        self._arriving: Checkpoints | None = None
        self._leaving: Checkpoints | None = None
        stream.consume_with(self)

    @property
    def closing(self) -> Closing:
        if self._closing is None:
            self._closing = Closing(self, self._answer_close_at_once)
        return self._closing

    @property
    def pings(self) -> Pings:
        if self._pings is None:
            self._pings = Pings(self)
        return self._pings

    # The reader's dispatch.

    def feed(self, data: bytes) -> bool:
        """Bytes that have just arrived. False: there is no room, so they stay in the stream."""
        receiver = self.receiver
        self.heard = self._liveness.last_received
        if receiver.stalled or self._rest or not self.queue.has_room:
            return False
        receiver.receive(data)
        if self.closed:
            self.queue.forget()  # no task will take it, and the peer's Close comes after it
        if self.heartbeat is not None:
            self.heartbeat._on_messages()
        self._react()
        return True

    @property
    def is_held(self) -> bool:
        """Bytes have come that are not parsed: the queue is full, and the peer has to wait."""
        return self.receiver.stalled or bool(self._rest) or self.stream.unread > 0

    def refill(self) -> None:
        """Parse what waited for room: first what the receiver itself holds, then chunk by chunk what the stream has.

        A chunk is taken (and its credit given back) only when everything before it is parsed, so a slow consumer
        holds no more than its bounds.
        """
        receiver, queue = self.receiver, self.queue
        self.heard = trio.current_time()  # a peer whose bytes wait was not silent
        while queue.has_room:
            if receiver.stalled:
                data = b""
            elif self._rest:
                data = self._rest.pop()
            else:
                data = self.stream.take()
                if not data:
                    break
            receiver.receive(data)
            if self.closed:
                queue.forget()
            if self.heartbeat is not None:
                self.heartbeat._on_messages()
        self._react()
        if self.ended:
            self._release()

    def on_end(self) -> None:
        # The stream will be gone: what came before its end is parsed now, or when there is room for it.
        rest = []
        while data := self.stream.take():
            rest.append(data)
        self._rest[:0] = reversed(rest)
        self.error = self.stream.error
        try:
            self.refill()
        finally:
            self.finish()

    def _react(self) -> None:
        """Act on what the receiver has parsed: answer pings, note Pongs, a failure or a Close, wake the task that
        waits. After each parse, since the receiver itself only records."""
        receiver = self.receiver
        if receiver.replies:
            # A peer that does not read its Pongs gets no more of them (RFC 6455, section 5.5.3 allows it).
            limit = self.stream.connection.limits.max_send_buffer
            if not self.stream.closed and not self.sender.close_sent and self.stream.out_size < limit:
                self.stream.send_nowait(bytes(receiver.replies))
            receiver.replies.clear()
        if receiver.pongs:
            if self._pings is not None:
                for payload in receiver.pongs:
                    self._pings.on_pong(payload)
            receiver.pongs.clear()
        if receiver.failure is not None:
            self.closing.on_failure()
        elif receiver.close_received:
            self.closing.on_close()
        if self.queue.messages or self.queue.want_parts:
            self.wake()

    def wake(self) -> None:
        """The task that waits for a message, or the group, should look again."""
        waiting = self._waiting
        if waiting is not None and waiting.task is not None:
            self.stream.connection.wakeups.wake(waiting)
        elif self.notify is not None:
            self.notify()

    # Ends.

    def finish(self) -> None:
        """Nothing more will come, or is wanted: the stream ends, with RST_STREAM(CANCEL) if the peer has not ended
        it. Idempotent."""
        if self.ended:
            return
        self.ended = True
        try:
            self.stream.connection.draining.forget(self.stream)
            self.stream.close()
        finally:
            if self._keepalive_entry is not None:
                self._keepalive_entry.cancel()
            if self.heartbeat is not None:
                self.heartbeat.stop()
            if self._pings is not None:
                self._pings.on_end()
            if self._closing is not None:
                self._closing.cancel_timer()
                self._closing.set_over()
            else:
                self.wake()
            self._release()

    def _release(self) -> None:
        """It has ended, and may be kept for long: drop what the messages that wait do not need."""
        if self.closed:
            self._rest.clear()
            self.queue.forget()
        if self.closed or not (self._rest or self.receiver.stalled):
            self.receiver.release()

    def fail(self, error: H2WSError) -> None:
        """End it for this reason."""
        self.error = error
        self.finish()

    def close(self, code: int, reason: str) -> None:
        """The application closes it: send our Close, unless it is over, and take no more messages. Never waits."""
        if self.handover is not None:
            self.handover.on_closed()
        if not (self.closed or self.is_over):
            self.closing.begin(code, reason)
        self.closed = True
        self.queue.forget()
        if self.receiver.failure is not None and not (self.ended or self.sender.close_sent):
            self.closing.end_failed()
        self.wake()
        self.resume()

    def abort(self) -> None:
        """The application gives it up: end it now, without a closing handshake."""
        if self.handover is not None:
            self.handover.on_closed()
        self.closed = True
        self.finish()

    @property
    def is_over(self) -> bool:
        """No message will come any more, except those in the queue."""
        return self.ended or self.closed or self.receiver.close_received or self.receiver.failure is not None

    @property
    def initiator(self) -> str | None:
        """Which side closed first; None while it is open, or if it broke."""
        return None if self._closing is None else self._closing.initiator

    @property
    def close_code(self) -> int | None:
        receiver = self.receiver
        if receiver.close_received:
            return receiver.close_code
        if receiver.failure is not None:
            return receiver.failure[0]
        return 1006 if self.ended else None

    def end_error(self) -> BaseException:
        """What ended it, as a new exception object. Only when `is_over`, or our Close was sent."""
        return end_error(self)

    def check_open(self) -> None:
        """Raise what ended it, if nothing may be sent any more. After a failure, sending works until our Close."""
        if self.ended or self.closed or self.receiver.close_received or self.sender.close_sent:
            raise self.end_error()

    def ended_by(self) -> H2WSError | None:
        """What ended it; None if it is open, or was closed here."""
        if self.closed or not self.is_over:
            return None
        error = self.end_error()
        return error if isinstance(error, H2WSError) else None

    def when_draining(self, call: Callable[[], None]) -> None:
        """`call()` when its connection begins to drain, at once if it does already."""
        self.stream.connection.draining.call(self.stream, call)

    def hand_over(self) -> None:
        """A successor is open: send our Close, and go on receiving what comes before the peer's."""
        if not (self.is_over or self.sender.close_sent):
            self.handed_over = True
            self.closing.begin(1000, "")

    # Receiving.

    async def wait_message(self) -> None:
        """Until there is a whole message: `take` it without an await between.

        Raises what ended the WebSocket when no message will come any more.
        """
        queue = self.queue
        if queue.want_parts is not False:
            self.want_whole()
        if queue.messages or self.is_over:
            await self._checkpoint()
        while True:
            # A loop over parts was left in the middle of its message: the rest of that message is not wanted.
            if queue.taking and not queue.skipping:
                self.skip_message()
                continue
            if queue.messages and not self.closed:
                return
            if self.is_over:
                raise self.end_error()
            await self.wait()

    def want_whole(self) -> None:
        """From now on the application takes whole messages."""
        self.receiver.choose_whole()
        if self.receiver.failure is not None:
            self._react()
        self.resume()

    def take(self) -> str | bytes:
        """The next whole message; only if there is one. Bytes that waited for room may be parsed."""
        message = self.queue.pop()
        if self.heartbeat is not None:
            self.heartbeat._on_taken()
        if self.receiver.stalled or self._rest or self.stream.unread:
            self._refill_if_low()
        return message

    def take_part(self) -> tuple[str | bytes, bool]:
        """The next part, and whether it is the last of its message; only if `queue.has_part`."""
        part = self.queue.take_part()
        self.resume()
        return part

    def skip_message(self) -> None:
        """The rest of the message whose parts were taken is not wanted."""
        self.queue.skip_message()
        self.resume()

    def resume(self) -> None:
        """There may be room for bytes that waited."""
        if self.receiver.stalled or self._rest or self.stream.unread:
            self._refill_if_low()

    def _refill_if_low(self) -> None:
        # Many messages at a time cost less.
        if len(self.queue.messages) <= self.stream.connection.limits.max_queued_messages // 4:
            try:
                self.refill()
            except Exception as bug:  # in the application's task, which gets it like any other end
                self.stream.end_with_bug(bug)

    def wait(self) -> Awaitable[None]:
        """Until there may be something to take. One task at a time."""
        if self._waiting is None:
            self._waiting = ParkedTask()
        return self._waiting.park("another task is receiving from this WebSocket")

    async def _checkpoint(self) -> None:
        """Before a message is taken that is here already."""
        busy = len(self.queue.messages) > 1
        if self._arriving is None and busy:
            self._arriving = Checkpoints()
        await checkpoint(schedules=self._arriving is None or self._arriving.yields(busy))

    # Keepalive: see _connection/sweep.py.

    def keep_alive(self, interval: float, timeout: float | None) -> None:
        """Send a Ping when nothing has come for `interval` seconds; end this WebSocket if nothing comes for `timeout`
        seconds after that."""
        if not self.is_over:
            self._keepalive_entry = self.stream.connection.keep_alive(self, interval, timeout)

    @property
    def may_ping(self) -> bool:
        return not (self.is_over or self.sender.close_sent)

    def send_keepalive(self) -> StreamState:
        self.stream.send_nowait(self.sender.ping(_KEEPALIVE))
        return self.stream

    def fail_silent(self, seconds: float) -> None:
        self.fail(WebSocketError(f"the server did not answer a WebSocket Ping within {seconds:g} s"))

    def end_with_bug(self, bug: Exception) -> None:
        self.stream.end_with_bug(bug)

    # Sending.

    def send_message(self, data: bytes) -> bool:
        """Queue one whole message. Returns whether this call should be a schedule point: see `checkpoints.py`."""
        busy = self.stream.out_size > 0
        if self._leaving is None and busy:
            self._leaving = Checkpoints()
        self.stream.send_nowait(data)
        return self._leaving is None or self._leaving.yields(busy)
