"""Pings of one WebSocket and their Pongs (RFC 6455, sections 5.5.2 and 5.5.3), and the keepalive of one WebSocket."""

from __future__ import annotations

import math
from functools import partial
from typing import Protocol

import trio

from .._connection.stream import Stream
from .._connection.timers import Timer
from .._errors import WebSocketError
from .._protocols.ws.sender import FrameSender

_KEEPALIVE = b"keepalive"


class PingingChannel(Protocol):
    """What pings need of their channel."""

    stream: Stream
    sender: FrameSender

    @property
    def is_over(self) -> bool: ...
    @property
    def is_held(self) -> bool: ...
    def check_open(self) -> None: ...
    def end_error(self) -> BaseException: ...
    def fail(self, error: WebSocketError) -> None: ...


class Pings:
    """Made with the first Ping: most WebSockets never send one."""

    __slots__ = ("_channel", "_count", "_next", "_timeout", "_unanswered", "last_held")

    def __init__(self, channel: PingingChannel) -> None:
        self._channel = channel
        self._count = 0
        self._next: Timer | None = None  # of the keepalive: its next Ping
        self._timeout: Timer | None = None  # and the end of the wait for a Pong
        self.last_held = -math.inf
        """When the application last took something of what waited for room."""
        self._unanswered: dict[bytes, trio.Event] = {}  # by payload, in the order in which they were sent

    def on_pong(self, payload: bytes) -> None:
        """A Pong answers its Ping and every earlier one (RFC 6455, section 5.5.3)."""
        unanswered = self._unanswered
        if payload in unanswered:
            for earlier in list(unanswered):
                unanswered.pop(earlier).set()
                if earlier == payload:
                    break

    def on_end(self) -> None:
        """No Pong will come any more. What is still in `_unanswered` stays there: so `ping` knows."""
        for timer in (self._next, self._timeout):
            if timer is not None:
                timer.cancel()
        for event in self._unanswered.values():
            event.set()

    def _send(self, payload: bytes) -> trio.Event:
        channel = self._channel
        answered = self._unanswered[payload] = trio.Event()
        channel.stream.send_nowait(channel.sender.ping(payload))
        return answered

    async def ping(self) -> float:
        """Send a Ping and wait for its Pong. Returns the round trip in seconds."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._channel.check_open()
        self._count += 1
        payload = self._count.to_bytes(4, "big")
        start = trio.current_time()
        answered = self._send(payload)
        try:
            await answered.wait()
        finally:
            unanswered = self._unanswered.pop(payload, None) is not None
        if unanswered:
            raise self._channel.end_error()
        return trio.current_time() - start

    # Keepalive, by timers of the connection.

    def keep_alive(self, interval: float, timeout: float | None) -> None:
        """Send a Ping every `interval` seconds; end this WebSocket if one is not answered in `timeout` seconds."""
        if not self._channel.is_over:
            self._next = self._channel.stream.call_later(interval, partial(self._ping_again, interval, timeout))

    def _ping_again(self, interval: float, timeout: float | None) -> None:
        channel = self._channel
        if channel.is_over or channel.sender.close_sent:
            return
        self.keep_alive(interval, timeout)
        if timeout is None:
            self._unanswered.pop(_KEEPALIVE, None)
        elif _KEEPALIVE in self._unanswered:
            return  # that Ping's time-out is running
        answered = self._send(_KEEPALIVE)
        if timeout is not None:
            self._check_in(timeout, answered, timeout)

    def _check_in(self, seconds: float, answered: trio.Event, timeout: float) -> None:
        if self._timeout is not None:
            self._timeout.cancel()  # its Ping was answered
        self._timeout = self._channel.stream.call_later(seconds, partial(self._check, answered, timeout))

    def _check(self, answered: trio.Event, timeout: float) -> None:
        channel = self._channel
        if channel.is_over or answered.is_set():
            return
        # The Pong may be among bytes that wait until the application has taken messages, or come after them.
        left = timeout if channel.is_held else self.last_held + timeout - trio.current_time()
        if left > 0:
            self._check_in(left, answered, timeout)
        else:
            channel.fail(WebSocketError(f"the server did not answer a WebSocket Ping within {timeout} s"))
