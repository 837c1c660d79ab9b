"""A heartbeat of the application: messages of its own protocol at an interval, and their answers.

Many venues want one, beside the Pings of WebSocket: `{"op": "ping"}`, answered by `{"op": "pong"}`. In a task of the
application it would need a nursery around the loop that receives, and errors in groups. Here it is two timers of the
connection: one sends, the other waits for an answer. What fails ends the WebSocket with that reason, and the task
that receives gets it.

An answer is looked for among the messages as they are queued. While the queue is full, bytes wait unparsed, and the
answer may be among them: so the time-out runs only while nothing is held back.
"""

from __future__ import annotations

from collections.abc import Callable

from .._connection.timers import Timer
from .._errors import WebSocketError
from .._protocols.ws.sender import Data
from .._util import PrivateConstructor, check_seconds
from .channel import Channel
from .parts import MessageLock, check_part

_AGAIN = 0.05  # seconds, while a message in parts is being sent


class Heartbeat(metaclass=PrivateConstructor):
    """Of one WebSocket, from `WebSocket.heartbeat`. It ends with it, or with `stop()`."""

    __slots__ = (
        "_answer_timer",
        "_channel",
        "_expect",
        "_interval",
        "_lock",
        "_make",
        "_message",
        "_seen",
        "_timeout",
        "_timer",
    )

    def __init__(
        self,
        channel: Channel,
        lock: MessageLock,
        interval: float,
        message: Data | Callable[[], Data],
        expect: Callable[[str | bytes], object] | None,
        timeout: float | None,
    ) -> None:
        check_seconds("interval", interval, optional=False)
        check_seconds("timeout", timeout)
        if expect is not None and not callable(expect):
            raise TypeError(f"expect must be a function of a message, not {type(expect).__name__}")
        self._make: Callable[[], Data] | None = message if callable(message) else None
        self._message: Data = b""
        if not callable(message):
            check_part(message, None)
            self._message = message
        self._channel = channel
        self._lock = lock
        self._interval = interval
        self._expect = expect
        self._timeout = interval if timeout is None else timeout
        self._seen = len(channel.queue.messages)  # of the queue; the others were not looked at
        self._answer_timer: Timer | None = None
        self._timer: Timer | None = channel.stream.call_later(interval, self._beat)

    def stop(self) -> None:
        """Send none any more. Idempotent."""
        for timer in (self._timer, self._answer_timer):
            if timer is not None:
                timer.cancel()
        self._timer = self._answer_timer = None
        if self._channel.heartbeat is self:
            self._channel.heartbeat = None

    def _beat(self) -> None:
        channel = self._channel
        if channel.is_over or channel.sender.close_sent:
            return
        if self._lock.holder is not None:
            self._timer = channel.stream.call_later(min(_AGAIN, self._interval), self._beat)
            return
        message = self._message
        if self._make is not None:
            try:
                message = self._make()
                check_part(message, None)
            except Exception as error:
                self._fail("its message could not be made", error)
                return
        channel.stream.send_nowait(channel.sender.message(message))
        self._timer = channel.stream.call_later(self._interval, self._beat)
        if self._expect is not None and self._answer_timer is None:
            self._answer_timer = channel.stream.call_later(self._timeout, self._check)

    def _check(self) -> None:
        self._answer_timer = None
        channel = self._channel
        if channel.is_over:
            return
        if channel.is_held:
            self._answer_timer = channel.stream.call_later(self._timeout, self._check)
        else:
            self._fail(f"the server did not answer it within {self._timeout:g} s", None)

    def _fail(self, reason: str, cause: Exception | None) -> None:
        error = WebSocketError(f"heartbeat: {reason}")
        error.__cause__ = cause
        self._channel.fail(error)

    # Messages.

    def _on_messages(self) -> None:
        messages = self._channel.queue.messages
        new, self._seen = messages[self._seen :], len(messages)
        if self._answer_timer is None or self._expect is None:
            return
        for message in new:
            try:
                answers = self._expect(message)
            except Exception as error:
                self._fail("expect() has raised", error)
                return
            if answers:
                self._answer_timer.cancel()
                self._answer_timer = None
                return

    def _on_taken(self) -> None:
        self._seen = max(0, self._seen - 1)
