"""Pings that the application sends on one WebSocket, and their Pongs (RFC 6455, sections 5.5.2 and 5.5.3).

Those that keep a silent WebSocket alive are sent by `_connection/sweep.py`, which waits for no Pong in particular.
"""

from __future__ import annotations

from typing import Protocol

import trio

from .._connection.stream import Stream
from .._protocols.ws.sender import FrameSender


class PingingChannel(Protocol):
    """What pings need of their channel."""

    stream: Stream
    sender: FrameSender

    def check_open(self) -> None: ...
    def end_error(self) -> BaseException: ...


class Pings:
    """Made with the first Ping: most WebSockets never send one."""

    __slots__ = ("_channel", "_count", "_unanswered")

    def __init__(self, channel: PingingChannel) -> None:
        self._channel = channel
        self._count = 0
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
