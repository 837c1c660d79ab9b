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
from typing import NamedTuple, Protocol

import trio

from .._network.transport import Transport
from .._protocols.stream_state import StreamState
from .departure import Departure, soon
from .timers import Timer, Timers

_LEAST = 0.001  # seconds between two looks


class Watched(Protocol):
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


class _Entry(NamedTuple):
    """An entry of the heap: the next look at one WebSocket."""

    time: float
    number: int
    socket: Watched
    interval: float
    timeout: float | None
    ping: _Ping | None


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

    __slots__ = ("_heap", "_numbers", "_timer", "_timers", "_transport")

    def __init__(self, timers: Timers, transport: Transport) -> None:
        self._timers = timers
        self._transport = transport
        self._heap: list[_Entry] = []
        self._numbers = itertools.count()
        self._timer: Timer | None = None

    def watch(self, socket: Watched, interval: float, timeout: float | None) -> None:
        """From now on. It is forgotten when it is over."""
        self._push(socket.heard + interval, socket, interval, timeout, None)

    def _push(self, time: float, socket: Watched, interval: float, timeout: float | None, ping: _Ping | None) -> None:
        heapq.heappush(self._heap, _Entry(time, next(self._numbers), socket, interval, timeout, ping))
        self._set_timer()

    def _set_timer(self) -> None:
        time, timer = self._heap[0].time, self._timer
        if timer is None or timer.call is None or time < timer.time:
            if timer is not None:
                timer.cancel()
            self._timer = self._timers.add(max(time - trio.current_time(), _LEAST), self._run)

    def _run(self) -> None:
        heap, now = self._heap, trio.current_time()
        self._timer = None
        due = []
        while heap and heap[0].time <= now:
            due.append(heapq.heappop(heap))
        for entry in due:
            try:
                self._look(entry, now)
            except Exception as bug:
                entry.socket.end_with_bug(bug)
        if heap:
            self._set_timer()

    def _look(self, entry: _Entry, now: float) -> None:
        _, _, socket, interval, timeout, ping = entry
        if not socket.may_ping:
            return
        if ping is not None and socket.heard > ping.heard:
            ping = None
        if socket.is_held:
            # What is waited for may be among the bytes that wait.
            self._push(
                now + (interval if timeout is None else min(interval, timeout)), socket, interval, timeout, ping
            )
        elif ping is None:
            due = socket.heard + interval
            if due > now:
                self._push(due, socket, interval, timeout, None)
            else:
                self._send(socket, interval, timeout, now)
        elif timeout is not None:
            self._wait(socket, interval, timeout, ping, now)

    def _send(self, socket: Watched, interval: float, timeout: float | None, now: float) -> None:
        stream = socket.send_keepalive()
        if timeout is None:
            self._push(now + interval, socket, interval, None, None)
            return
        # A direct write may have taken it already.
        departure = Departure(self._transport, StreamQueue(stream), stream.out_size)
        self._push(now + soon(timeout), socket, interval, timeout, _Ping(departure, socket.heard, now))

    def _wait(self, socket: Watched, interval: float, timeout: float, ping: _Ping, now: float) -> None:
        """Nothing has come since the Ping was queued."""
        due = ping.since + timeout
        if due > now:
            ping.departure.settle()
        elif ping.departure.delays():
            ping.since, due = now, now + timeout
        if due > now:
            self._push(due, socket, interval, timeout, ping)
        else:
            socket.fail_silent(timeout)
