"""Keepalive of one connection: PINGs, the round trip, and the end of an idle connection.

PING (RFC 9113, section 6.7). When nothing was received for `ping_interval` while streams are open, a PING is sent;
when nothing is received for `ping_timeout` after it, the connection ends with all its streams. Anything that arrives
is a sign of life, not only the answer. The first PING follows the server's first SETTINGS at once, and measures the
round trip.

All of this is done by timers of the connection (`timers.py`), so it costs no task.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Protocol

import trio

from .._config import Timeouts
from .._protocols.engine import Engine
from .timers import Timers

_IDLE_CHECK = 0.5  # seconds: a new connection gets this long to be used, and no connection is checked more often


class KeepaliveOwner(Protocol):
    """What the keepalive needs of its connection."""

    engine: Engine
    timers: Timers
    timeouts: Timeouts
    reserved: int

    @property
    def is_open(self) -> bool:
        """It takes new streams."""
        ...

    @property
    def is_closed(self) -> bool: ...
    def flush(self) -> None: ...
    def retire(self) -> None: ...


class Keepalive:
    """Of one connection. `dead(message)` is called when the peer does not answer."""

    def __init__(self, connection: KeepaliveOwner, dead: Callable[[str], None]) -> None:
        self._connection = connection
        self._dead = dead
        self.last_received = trio.current_time()  # the reader updates it
        self.idle_since: float | None = trio.current_time()  # None while there are streams
        self._sent: float | None = None  # when the unanswered PING was sent
        self._payload = b""
        self._count = itertools.count(1)

    def start(self) -> None:
        connection = self._connection
        timeouts, timers = connection.timeouts, connection.timers
        if connection.engine.can_ping:
            self._ping()
            if timeouts.ping_interval is not None:
                timers.add(timeouts.ping_interval, self._keep_alive)
        if timeouts.idle is not None:
            timers.add(max(timeouts.idle, _IDLE_CHECK), self._end_if_idle)

    def on_ping_ack(self, payload: bytes) -> None:
        if self._sent is not None and payload == self._payload:
            self._connection.engine.round_trip = trio.current_time() - self._sent
            self._sent = None

    def _ping(self) -> None:
        if self._sent is None and not self._connection.is_closed:
            self._sent = trio.current_time()
            self._payload = next(self._count).to_bytes(8, "big")
            self._connection.engine.ping(self._payload)
            self._connection.flush()

    def _keep_alive(self) -> None:
        connection = self._connection
        interval, timeout = connection.timeouts.ping_interval, connection.timeouts.ping_timeout
        if interval is None or connection.is_closed:
            return
        now = trio.current_time()
        quiet = now - self.last_received
        if self._sent is not None and timeout is not None:
            silent_since = max(self._sent, self.last_received)
            if now >= silent_since + timeout:
                self._dead(f"the server sent nothing for {quiet:.1f} s and did not answer a PING")
                return
            again = silent_since + timeout - now
        elif quiet >= interval and connection.engine.streams:
            self._ping()
            again = timeout if timeout is not None else interval
        else:
            again = interval - quiet if quiet < interval else interval
        connection.timers.add(again, self._keep_alive)

    def _end_if_idle(self) -> None:
        connection = self._connection
        idle = connection.timeouts.idle
        if idle is None or not connection.is_open:
            return
        left = max(idle, _IDLE_CHECK)
        if self.idle_since is not None and not connection.reserved:
            left = self.idle_since + idle - trio.current_time()
        if left <= 0:
            connection.retire()
        else:
            connection.timers.add(left, self._end_if_idle)
