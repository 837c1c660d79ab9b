"""What ties one WebSocket's receiver to the stream that carries it: the reader's dispatch, waiting, and closing.

It costs no task. The stream's bytes are parsed in the reader's synchronous dispatch (`feed`), so pings are
answered and closes are seen while the application does something else. When the queue of messages is full, the bytes
stay in the stream, held by its window: a slow consumer stops its own peer and nobody else.

Closing (RFC 6455, section 7; the order is what worked on every server that we ran):
- we close: Close without END_STREAM, wait for the peer's Close, then RST_STREAM(CANCEL) if the stream has not ended;
- they close: a moment for END_STREAM or RST_STREAM, since a server that has dropped the stream may take any later
  DATA for an attack; if none comes, our Close, another moment, then RST_STREAM(CANCEL);
- they break the protocol: our Close; a moment later if messages that came before may still be answered.
These moments are timers of the connection. After both Closes any end of the stream is a clean one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import trio

from .._connection.timers import Timer
from .._errors import H2WSError, RequestNotProcessed, StreamReset, WebSocketClosed, WebSocketError, fresh
from .._protocols.ws.receiver import FrameReceiver
from .._protocols.ws.sender import FrameSender
from .checkpoints import Checkpoints, checkpoint

# What ends one WebSocket and not its connection. "Not processed" it can't be, once it was accepted.
_OF_ONE_SOCKET = (StreamReset, RequestNotProcessed, WebSocketError)
_MOMENT = 0.05  # seconds that a peer gets to end the stream after its Close
_AFTER_REPLY = 0.25  # and after our answer to it, besides one round trip


class Stream(Protocol):
    """The stream below: an HTTP/2 stream, or an upgraded HTTP/1.1 connection."""

    connection: Any
    error: H2WSError | None
    out_size: int
    unread: int

    def consume_with(self, consumer: Any) -> None: ...
    def take(self) -> bytes: ...
    async def wait_room(self) -> None: ...
    def send_nowait(self, data: bytes) -> None: ...
    def close(self) -> None: ...
    def ends_soon(self) -> None: ...


class Channel:
    """Between one stream and one receiver. All of it is synchronous, but for the waiting."""

    __slots__ = (
        "_answer_at_once",
        "_arriving",
        "_close_seen",
        "_leaving",
        "_receiver",
        "_rest",
        "_timer",
        "closed",
        "ended",
        "error",
        "group_ready",
        "initiator",
        "over",
        "pings",
        "receiver",
        "sender",
        "stream",
        "successor_due",
    )

    def __init__(
        self, stream: Stream, receiver: FrameReceiver, sender: FrameSender, *, answer_close_at_once: bool = False
    ) -> None:
        # Over HTTP/1.1 the server waits for our Close before it ends the connection (RFC 6455, section 7.1.1).
        self._answer_at_once = answer_close_at_once
        self._rest: list[bytes] = []  # of a stream that has ended
        self.stream = stream
        self.receiver = receiver
        self.sender = sender
        self.ended = False  # the stream is done: nothing more will come
        self.closed = False  # the application closed it: using it is misuse
        self.initiator: str | None = None
        self.error: H2WSError | None = None
        self.over: trio.Event | None = None  # set when the peer's Close is here, or the end
        self.successor_due = False  # the connection is, and that counts as an end: see end_when_draining
        self.pings: dict[bytes, trio.Event] = {}
        self.group_ready: Callable[[], None] | None = None  # who hears of messages, if it is not a waiting task
        # Made with the first burst: most of the time most WebSockets have none.
        self._arriving: Checkpoints | None = None
        self._leaving: Checkpoints | None = None
        self._close_seen = False
        self._receiver: trio.lowlevel.Task | None = None
        self._timer: Timer | None = None
        stream.consume_with(self)

    # The reader's dispatch.

    def feed(self, data: bytes) -> bool:
        """Bytes that have just arrived. False: there is no room, so they stay with the stream."""
        receiver = self.receiver
        if receiver.stalled or self._rest or not receiver.queue.has_room:
            return False
        receiver.receive(data)
        if self.closed:
            receiver.queue.forget()  # nobody will take it, and the peer's Close stands behind it
        self._look()
        return True

    def refill(self) -> None:
        """Parse what waited for room: first what the receiver holds itself, then chunk by chunk what the stream has.

        A chunk is taken (and its credit given back) only when all before it is parsed, so a slow consumer holds no
        more than its bounds.
        """
        receiver = self.receiver
        while receiver.queue.has_room:
            if receiver.stalled:
                data = b""
            elif self._rest:
                data = self._rest.pop(0)
            else:
                data = self.stream.take()
                if not data:
                    break
            receiver.receive(data)
            if self.closed:
                receiver.queue.forget()
        self._look()

    def on_end(self) -> None:
        # The stream goes; what came before its end is parsed now, or when there is room for it.
        while data := self.stream.take():
            self._rest.append(data)
        self.error = self.stream.error
        self.refill()
        self.finish()

    def _look(self) -> None:
        """What did the bytes bring?"""
        receiver = self.receiver
        if receiver.replies:
            # A peer that does not read its pongs gets no more of them (RFC 6455, section 5.5.3 allows it).
            limit = self.stream.connection.limits.max_send_buffer
            if not self.ended and not self.sender.close_sent and self.stream.out_size < limit:
                self.stream.send_nowait(bytes(receiver.replies))
            receiver.replies.clear()
        if receiver.pongs:
            self._on_pongs()
        if receiver.failure is not None:
            self._fail()
        elif receiver.close_received and not self._close_seen:
            self._close_seen = True
            self._on_close()
        if receiver.queue.messages or receiver.queue.want_parts:
            self.wake()

    def wake(self) -> None:
        """Whoever waits for a message looks again."""
        task = self._receiver
        if task is not None:
            self._receiver = None
            self.stream.connection.woken += 1
            trio.lowlevel.reschedule(task)
        elif self.group_ready is not None:
            self.group_ready()

    def _on_pongs(self) -> None:
        for payload in self.receiver.pongs:
            if payload in self.pings:
                # A pong answers every ping before it, too (RFC 6455, section 5.5.3).
                for earlier in list(self.pings):
                    self.pings.pop(earlier).set()
                    if earlier == payload:
                        break
        self.receiver.pongs.clear()

    # Closing.

    def _fail(self) -> None:
        """The peer broke the protocol or a bound. What came before that stands, and may be answered."""
        if self.ended or self._close_seen:
            return
        self._close_seen = True
        if self.receiver.queue.messages and not self.sender.close_sent:
            self._set_timer(_MOMENT, self._end_failed)
        else:
            self._end_failed()
        self._tell_over()

    def _end_failed(self) -> None:
        """Say in our Close what was wrong, and end."""
        assert self.receiver.failure is not None
        if not self.sender.close_sent:
            self.initiator = "local"
            code, reason = self.receiver.failure
            self.send_close(code, reason.encode()[:120].decode(errors="ignore"))
        self._set_timer(_AFTER_REPLY, self.finish)

    def _on_close(self) -> None:
        if self.initiator is None:
            self.initiator = "remote"
        self._tell_over()
        if self.ended:
            return
        if self.sender.close_sent:
            self._set_timer(_MOMENT, self.finish)
        elif self._answer_at_once:
            self._answer_close()
        else:
            self._set_timer(_MOMENT, self._answer_close)

    def _answer_close(self) -> None:
        code = self.receiver.close_code
        self.send_close(code if code != 1005 else None, "")
        self._set_timer(_AFTER_REPLY + self.stream.connection.round_trip, self.finish)

    def send_close(self, code: int | None, reason: str) -> None:
        if not self.ended and not self.sender.close_sent:
            self.stream.send_nowait(self.sender.close(code, reason))

    def close_soon(self, code: int, reason: str) -> None:
        """Our Close first. The timers end the stream if the peer does not."""
        self.initiator = "local"
        self.send_close(code, reason)
        seconds = self.stream.connection.timeouts.close
        if seconds is not None:
            self._set_timer(seconds, self.finish)

    def mark_closed(self) -> None:
        """The application will take no more messages."""
        self.closed = True
        self.receiver.queue.forget()
        if self.receiver.failure is not None and not (self.ended or self.sender.close_sent):
            self._end_failed()
        self.wake()
        self.resume()

    def finish(self) -> None:
        """Nothing more will come, or is wanted: the stream ends. RST_STREAM(CANCEL), if it has not ended yet."""
        if self.ended:
            return
        self.ended = True
        self._cancel_timer()
        self.stream.connection.forget_when_draining(self)
        self.stream.close()
        for event in self.pings.values():
            event.set()
        self._tell_over()

    def _tell_over(self) -> None:
        if self.over is not None:
            self.over.set()
        self.wake()

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        # Every timer here ends in the end of the stream.
        self.stream.ends_soon()
        self._cancel_timer()
        self._timer = self.stream.connection.timers.add(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the application asks.

    @property
    def is_over(self) -> bool:
        """No message will come any more, besides those in the queue."""
        return self.ended or self.closed or self.receiver.close_received or self.receiver.failure is not None

    @property
    def close_code(self) -> int | None:
        receiver = self.receiver
        if receiver.close_received:
            return receiver.close_code
        if receiver.failure is not None:
            return receiver.failure[0]
        return 1006 if self.ended else None

    def end_error(self) -> BaseException:
        """What ended it, as a new exception object. Only when `is_over`, or sending is."""
        receiver = self.receiver
        if self.closed:
            return trio.ClosedResourceError("this WebSocket was closed here")
        if receiver.close_received:
            return WebSocketClosed(receiver.close_code or 1005, receiver.close_reason, True, self.initiator)
        if receiver.failure is not None:
            return WebSocketClosed(*receiver.failure, False, "local")
        if self.error is not None and not isinstance(self.error, _OF_ONE_SOCKET):
            return fresh(self.error)
        closed = WebSocketClosed(1006, "", False, self.initiator)
        closed.__cause__ = self.error
        return closed

    def check_open(self) -> None:
        """Raise what ended it, if nothing may be sent any more. After a failure there is a moment until our Close."""
        if self.ended or self.closed or self.receiver.close_received or self.sender.close_sent:
            raise self.end_error()

    def end_when_draining(self) -> None:
        """From now on, a connection that is going away counts as the end: who iterates should open a successor."""
        self.stream.connection.when_draining(self, self._on_draining)

    def _on_draining(self) -> None:
        if not self.is_over:
            self.successor_due = True
            self.wake()

    def watch(self, interval: float, timeout: float | None) -> None:
        """Send a Ping every `interval` seconds; end this one WebSocket if one is not answered within `timeout`."""
        timers = self.stream.connection.timers
        answered = trio.Event()
        answered.set()

        def ping() -> None:
            nonlocal answered
            if self.is_over or self.sender.close_sent:
                return
            timers.add(interval, ping)
            if not answered.is_set() and timeout is not None:
                return  # its own time-out runs
            self.pings[b"watch"] = answered = trio.Event()
            self.stream.send_nowait(self.sender.ping(b"watch"))
            if timeout is not None:
                timers.add(timeout, partial(check, answered))

        def check(answered: trio.Event) -> None:
            if not self.is_over and not answered.is_set():
                self.error = WebSocketError(f"the server did not answer a WebSocket Ping within {timeout} s")
                self.finish()

        timers.add(interval, ping)

    def resume(self) -> None:
        """A message was taken: bytes that waited for room can be parsed."""
        if self.receiver.stalled or self._rest or self.stream.unread:
            limits = self.stream.connection.limits
            if len(self.receiver.queue.messages) <= limits.max_queued_messages // 4:  # many at a time cost less
                self.refill()

    def skip_message(self) -> None:
        """An earlier loop over parts was left in the middle of its message: the rest is not wanted."""
        self.receiver.queue.skip_message()
        self.resume()

    async def checkpoint(self) -> None:
        """Before a message is taken that is here already."""
        busy = len(self.receiver.queue.messages) > 1
        if self._arriving is None and busy:
            self._arriving = Checkpoints()
        await checkpoint(schedules=self._arriving is None or self._arriving.yields(busy))

    def send_message(self, data: bytes) -> bool:
        """Queue one whole message. Returns whether this call is to let other tasks run: see `_burst.py`."""
        busy = self.stream.out_size > 0
        if self._leaving is None and busy:
            self._leaving = Checkpoints()
        self.stream.send_nowait(data)
        return self._leaving is None or self._leaving.yields(busy)

    async def wait(self) -> None:
        """Until there may be something to take. One task at a time."""
        if self._receiver is not None:
            raise trio.BusyResourceError("another task is receiving from this WebSocket")
        self._receiver = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._receiver = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
