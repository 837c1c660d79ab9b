"""The closing handshake of one WebSocket (RFC 6455, section 7): a state machine with timers, and no task.

The state is in three facts: whether our Close was sent (`sender.close_sent`), whether the peer's Close has come
(`receiver.close_received`) or the peer broke the protocol or a bound (`receiver.failure`), and whether the channel
has ended (`ended`). At most one timer runs; each leads to the end.

    state             what it is                        timer                       when it is due
    open              no Close either way               none
    close sent        we closed first                   Timeouts.close              end
    both, ours first  the peer has answered             50 ms                       end
    close received    the peer closed first             50 ms; over HTTP/1.1 none   send our Close (HTTP/1.1: at once)
    both, theirs      our answer was sent               0.25 s and one round trip   end
      first
    failed            the peer broke a rule, and        50 ms if messages that      send our Close, which says what
                      messages may still be answered    came before wait, else 0    was wrong
    failed, Close     our Close was sent                0.25 s                      end
      sent
    ended             the stream is over

From every state, END_STREAM, a reset or the end of the connection leads to "ended" directly. To end the stream is to
send RST_STREAM(CANCEL), if the peer has not ended it. After both Closes any end of the stream is a clean one.

Why the waits. A server that has dropped the stream may treat any later DATA as an attack and end the whole
connection: so after the peer's Close we first wait for END_STREAM or RST_STREAM, which makes an answer unnecessary.
Our own Close never carries END_STREAM, since some servers then lose theirs. Over HTTP/1.1 it is the other way round:
the server waits for our Close before it ends the connection (section 7.1.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from .._connection.stream import Stream
from .._connection.timers import Timer
from .._protocols.ws.receiver import FrameReceiver
from .._protocols.ws.sender import FrameSender

_PEER_ENDS = 0.05  # seconds for the peer to end the stream by itself
_AFTER_ANSWER = 0.25  # seconds for the peer to end the stream after our answer


class ClosingChannel(Protocol):
    """What the closing handshake needs of its channel."""

    stream: Stream
    receiver: FrameReceiver
    sender: FrameSender
    ended: bool

    def finish(self) -> None:
        """End the stream."""
        ...

    def wake(self) -> None:
        """A task that waits for a message should look again."""
        ...


class Closing:
    """Made when the first Close is sent or received, or the WebSocket ends."""

    __slots__ = ("_answer_at_once", "_channel", "_over", "_received", "_timer", "initiator")

    def __init__(self, channel: ClosingChannel, answer_at_once: bool) -> None:
        self.initiator: str | None = None
        """Which side sent the first Close: "local" or "remote"; None if no Close was sent or received."""
        self._channel = channel
        self._answer_at_once = answer_at_once
        self._received = False  # the peer's Close, or its failure, has been handled
        self._over: trio.Event | None = None
        self._timer: Timer | None = None

    # What the peer does.

    def on_close(self) -> None:
        """The peer's Close may have come: handle it, once."""
        if self._received:
            return
        self._received = True
        if self.initiator is None:
            self.initiator = "remote"
        self.set_over()
        channel = self._channel
        if channel.ended:
            return
        if channel.sender.close_sent:
            self._set_timer(_PEER_ENDS, channel.finish)
        elif self._answer_at_once:
            self._answer()
        else:
            self._set_timer(_PEER_ENDS, self._answer)

    def _answer(self) -> None:
        code = self._channel.receiver.close_code
        self.send_close(code if code != 1005 else None, "")
        self._set_timer(_AFTER_ANSWER + self._channel.stream.connection.engine.round_trip, self._channel.finish)

    def on_failure(self) -> None:
        """The peer may have broken a rule: handle it, once. Messages that came before are still delivered."""
        channel = self._channel
        if channel.ended or self._received:
            return
        self._received = True
        if channel.receiver.queue.messages and not channel.sender.close_sent:
            self._set_timer(_PEER_ENDS, self.end_failed)
        else:
            self.end_failed()
        self.set_over()

    def end_failed(self) -> None:
        """Say in our Close what was wrong, and end."""
        channel = self._channel
        assert channel.receiver.failure is not None
        if not channel.sender.close_sent:
            self.initiator = "local"
            code, reason = channel.receiver.failure
            self.send_close(code, reason.encode()[:120].decode(errors="ignore"))
        self._set_timer(_AFTER_ANSWER, channel.finish)

    # What the application does.

    def begin(self, code: int, reason: str) -> None:
        """Our Close first. A timer ends the stream if the peer does not."""
        self.initiator = "local"
        self.send_close(code, reason)
        seconds = self._channel.stream.connection.timeouts.close
        if seconds is not None:
            self._set_timer(seconds, self._channel.finish)

    def send_close(self, code: int | None, reason: str) -> None:
        channel = self._channel
        if not channel.stream.closed and not channel.sender.close_sent:
            channel.stream.send_nowait(channel.sender.close(code, reason))

    async def wait_over(self) -> None:
        """Until the peer's Close, its failure, or the end."""
        if self._over is None:
            self._over = trio.Event()
        await self._over.wait()

    def set_over(self) -> None:
        if self._over is not None:
            self._over.set()
        self._channel.wake()

    def _set_timer(self, seconds: float, call: Callable[[], None]) -> None:
        self._channel.stream.ends_soon()  # every timer here leads to the end of the stream
        self.cancel_timer()
        self._timer = self._channel.stream.call_later(seconds, call)

    def cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
