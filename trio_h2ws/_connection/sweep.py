"""The keepalive of silent WebSockets: one sweep over all of a connection, in the order in which they are due.

Proxies and load balancers cut a WebSocket stream on which nothing was sent for a while, and HTTP/2's PING does not
count for them: it proves the connection's first hop, and nothing of the stream. So a Ping (RFC 6455, section 5.5.2)
is sent on a WebSocket on which nothing has come for its interval, and it ends when nothing comes on it in its
time-out after the Ping has left.

    state     next look                              what is seen then
    quiet     an interval after the last byte        something has come -> quiet; nothing -> a Ping is sent, waiting
    waiting   a time-out after the Ping has left     something has come -> quiet; nothing -> the WebSocket ends
    either    the application has not taken what     the clock stands still until it has taken all of it
              has come, so nothing more is read
    waiting   the Ping has not left                  bytes have left, or credit has come -> another time-out

Any byte on the stream is a sign of life, not only the Pong: that may follow a large message. Before the Ping has left
(`departure.py`), credit and bytes that leave only prolong the wait: they prove the first hop.

A WebSocket costs an entry of a heap, and neither a timer nor a task. It is looked at once in an interval if it is
busy, and nothing is done for a byte that comes, but noting the time of the read.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import Protocol

import trio

from .._network.transport import Transport
from .._protocols.stream_state import StreamState
from .departure import Departure, soon
from .timers import Timer, Timers

_LEAST = 0.001  # seconds between two looks
_FEW = 64  # cancelled entries that are not worth a new heap


class KeptAlive(Protocol):
    """A WebSocket."""

    heard: float
    """When bytes came on it, or the application took what waited."""

    @property
    def is_over(self) -> bool: ...
    @property
    def is_held(self) -> bool:
        """Bytes have come that wait until the application takes messages."""
        ...

    @property
    def may_ping(self) -> bool:
        """It is open, and no Close was sent."""
        ...

    def send_keepalive(self) -> StreamState:
        """Send a Ping, on this stream."""
        ...

    def fail_silent(self, seconds: float) -> None:
        """The Ping was not answered."""
        ...

    def end_with_bug(self, bug: Exception) -> None: ...


class KeepaliveEntry:
    """The keepalive of one WebSocket: its entry in the heap."""

    __slots__ = ("_cancelled", "interval", "number", "ping", "socket", "time", "timeout")

    def __init__(
        self, socket: KeptAlive, interval: float, timeout: float | None, number: int, cancelled: Callable[[], None]
    ) -> None:
        self.socket: KeptAlive | None = socket
        self.interval = interval
        self.timeout = timeout
        self.ping: _Ping | None = None
        self.time = socket.heard + interval  # of the next look
        self.number = number
        self._cancelled = cancelled

    def __lt__(self, other: KeepaliveEntry) -> bool:
        return (self.time, self.number) < (other.time, other.number)

    def cancel(self) -> None:
        """The WebSocket is over, and must not be kept by its entry. Idempotent."""
        if self.socket is not None:
            self.socket = self.ping = None
            self._cancelled()


class _Ping:
    """One that was sent."""

    __slots__ = ("departure", "heard", "since")

    def __init__(self, departure: Departure, heard: float, now: float) -> None:
        self.departure = departure
        self.heard = heard  # what came last, before it was sent
        self.since = now  # the time-out runs from here


class StreamQueue:
    """What waits on one stream (`departure.Queue`)."""

    __slots__ = ("_stream",)

    def __init__(self, stream: StreamState) -> None:
        self._stream = stream

    @property
    def sent_size(self) -> int:
        return self._stream.sent_size

    @property
    def credit(self) -> int:
        return self._stream.send_window


class Sweep:
    """Of one connection; made for its first WebSocket that has a keepalive."""

    __slots__ = ("_cancelled", "_heap", "_numbers", "_timer", "_timers", "_transport")

    def __init__(self, timers: Timers, transport: Transport) -> None:
        self._timers = timers
        self._transport = transport
        self._heap: list[KeepaliveEntry] = []
        self._cancelled = 0  # entries of the heap
        self._numbers = itertools.count()
        self._timer: Timer | None = None

    def keep_alive(self, socket: KeptAlive, interval: float, timeout: float | None) -> KeepaliveEntry:
        """From now on, until it is cancelled."""
        entry = KeepaliveEntry(socket, interval, timeout, next(self._numbers), self._on_cancelled)
        self._push(entry)
        self._set_timer()
        return entry

    def _push(self, entry: KeepaliveEntry) -> None:
        heapq.heappush(self._heap, entry)

    def _on_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > max(_FEW, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if entry.socket is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def _set_timer(self) -> None:
        time, timer = self._heap[0].time, self._timer
        if timer is None or timer.call is None or time < timer.time:
            if timer is not None:
                timer.cancel()
            self._timer = self._timers.add(max(time - trio.current_time(), _LEAST), self._run)

    def _run(self) -> None:
        now = trio.current_time()
        self._timer = None
        due = []
        while self._heap and self._heap[0].time <= now:
            entry = heapq.heappop(self._heap)
            if entry.socket is None:
                self._cancelled -= 1
            else:
                due.append(entry)
        for entry in due:
            socket = entry.socket
            if socket is None:  # the end of another one has ended it
                self._cancelled -= 1
                continue
            try:
                goes_on = self._check(socket, entry, now)
            except Exception as bug:
                entry.socket = None
                socket.end_with_bug(bug)
            else:
                if goes_on:
                    self._push(entry)
        if self._heap:
            self._set_timer()

    def _check(self, socket: KeptAlive, entry: KeepaliveEntry, now: float) -> bool:
        """Whether there will be another look, at `entry.time`."""
        interval, timeout = entry.interval, entry.timeout
        if not socket.may_ping:
            entry.socket = None
            return False
        if entry.ping is not None and socket.heard > entry.ping.heard:
            entry.ping = None
        if socket.is_held:
            # What is waited for may be among the bytes that wait.
            entry.time = now + (interval if timeout is None else min(interval, timeout))
        elif entry.ping is None or timeout is None:
            entry.time = socket.heard + interval
            if entry.time <= now:
                self._send(socket, entry, now)
        else:
            return self._wait(socket, entry, entry.ping, timeout, now)
        return True

    def _send(self, socket: KeptAlive, entry: KeepaliveEntry, now: float) -> None:
        stream = socket.send_keepalive()
        if entry.timeout is None:
            entry.time = now + entry.interval
            return
        # A direct write may have taken it already.
        departure = Departure(self._transport, StreamQueue(stream), stream.out_size)
        entry.ping = _Ping(departure, socket.heard, now)
        entry.time = now + soon(entry.timeout)

    def _wait(self, socket: KeptAlive, entry: KeepaliveEntry, ping: _Ping, timeout: float, now: float) -> bool:
        """Nothing has come since the Ping was queued."""
        entry.time = ping.since + timeout
        if entry.time > now:
            ping.departure.settle()
        elif ping.departure.delays():
            ping.since, entry.time = now, now + timeout
        if entry.time > now:
            return True
        entry.socket = None  # it is in the heap no more
        socket.fail_silent(timeout)
        return False
