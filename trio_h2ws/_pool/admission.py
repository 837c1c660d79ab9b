"""Admission to an origin: the gate in front of its queue. How many calls may be under way there at once.

The bounds of a connection (MAX_CONCURRENT_STREAMS, one exchange at a time over HTTP/1.1) are seen where a slot is
taken. The gate is for bounds of the origin, whatever its connections allow. A call that it does not admit waits in
the origin's queue, like one that finds no free slot, and no connection is opened for it.

Calm. A server that has too much to do says ENHANCE_YOUR_CALM, in RST_STREAM or GOAWAY. That is a loss signal, as a
lost packet is for TCP, and it is answered in the same way:
- One loss event lowers the bound once: to the number of streams that survive it, at least 1. All streams that were
  open when it began belong to it. Only a stream that was opened later, so at least a round trip later, can begin
  another event.
- The bound grows slowly: by 1 when as many responses as it allows are complete, and by 1 each second, so that
  streams that last do not hold it down for ever. It is forgotten some time after the last event.
- While there is a bound, an origin that has a connection gets no other one.

Counted are requests, and handshakes of WebSockets until they are answered: that is what the server has to do. An open
WebSocket is not counted, since it may stay for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakValueDictionary

import trio

from .._connection.calm import Loaded
from .._connection.connection import Connection
from .._connection.timers import Timer
from .._http.url import Origin

_GROWTH_SECONDS = 1.0
_FORGET_SECONDS = 300.0


class Admission:
    """The gate of one origin. Origins that share a connection share its gate."""

    __slots__ = (
        "__weakref__",
        "_connections",
        "_event",
        "_grown_at",
        "_lost_at",
        "_lowered",
        "_origin",
        "_responses",
        "_timer",
        "_waiting",
        "bound",
    )

    def __init__(self, origin: Origin, lowered: dict[Origin, Admission]) -> None:
        self.bound: int | None = None
        """Streams that may be in use; None: as many as the connections allow."""
        self._origin = origin
        self._lowered = lowered  # all gates with a bound, the oldest loss first
        self._connections: dict[Loaded, Connection] = {}
        self._event: dict[Loaded, int] = {}  # the newest stream of each connection when the last event began
        self._lost_at = 0.0
        self._grown_at = 0.0
        self._responses = 0
        self._waiting: dict[Callable[[], None], None] = {}
        self._timer: Timer | None = None

    def add(self, connection: Connection) -> None:
        self._connections[connection] = connection
        if connection.engine.can_ping:
            connection.calm.gate = self

    def remove(self, connection: Connection) -> None:
        """Idempotent."""
        self._connections.pop(connection, None)
        self._event.pop(connection, None)
        if self._timer is not None:  # it may be one of this connection
            self._timer.cancel()
            self._timer = None
            self._watch()

    # For the queue.

    def admits(self) -> bool:
        """Whether another call may be sent now."""
        bound = self.current_bound()
        return bound is None or self._in_use() < bound

    def wait(self, advance: Callable[[], None]) -> None:
        """It does not admit a call now: `advance` is called when it may."""
        self._waiting[advance] = None
        self._watch()

    def serve_others(self) -> None:
        """A queue of the origin was served as far as it goes. There may be another one, that of HTTP/1.1."""
        while self._waiting and self.admits():
            advance = next(iter(self._waiting))
            del self._waiting[advance]
            advance()

    def _watch(self) -> None:
        if self._timer is not None or not self._waiting:
            return
        # A call is not admitted only if others are under way, so there is a connection, and its reader runs timers.
        busy = next((one for one in self._connections.values() if not one.is_closed), None)
        if busy is not None:
            self._timer = busy.timers.add(self._grown_at + _GROWTH_SECONDS - trio.current_time(), self._time_passed)

    def _time_passed(self) -> None:
        self._timer = None
        waiting, self._waiting = self._waiting, {}
        for advance in waiting:
            advance()

    def _in_use(self) -> int:
        return sum(len(one.engine.streams) + one.reserved - one.calm.open_websockets for one in self._connections)

    # What the connections report.

    def on_loss(self, connection: Loaded, newest_id: int, count: int) -> None:
        now = trio.current_time()
        if self.bound is None or newest_id > self._event.get(connection, 0):
            in_use = self._in_use()
            self.bound = in_use if self.bound is None else min(in_use, self.bound)
            self._event = {one: one.engine.newest_id for one in self._connections}
            self._responses = 0
        self.bound = max(1, self.bound - count)
        self._lost_at = self._grown_at = now
        self._lowered.pop(self._origin, None)
        self._lowered[self._origin] = self

    def on_response(self) -> None:
        if self.bound is not None:
            self._responses += 1
            if self._responses >= self.bound:
                self._responses = 0
                self.bound += 1

    def current_bound(self) -> int | None:
        """The bound, with the growth that is due."""
        if self.bound is not None:
            now = trio.current_time()
            if now >= self._lost_at + _FORGET_SECONDS:
                self.forget()
            else:
                steps = int((now - self._grown_at) / _GROWTH_SECONDS)
                self.bound += steps
                self._grown_at += steps * _GROWTH_SECONDS
        return self.bound

    def forget(self) -> None:
        self.bound = None
        self._event.clear()
        self._lowered.pop(self._origin, None)


class Admissions:
    """The gates of all origins. One with a bound is kept for as long as it has that, the others while in use."""

    def __init__(self) -> None:
        self._all: WeakValueDictionary[Origin, Admission] = WeakValueDictionary()
        self._lowered: dict[Origin, Admission] = {}

    def of(self, origin: Origin) -> Admission:
        for one in list(self._lowered.values()):
            if one.current_bound() is not None:
                break  # the others had their losses later
        admission = self._all.get(origin)
        if admission is None:
            admission = self._all[origin] = Admission(origin, self._lowered)
        return admission
