"""The connections to one origin: which of them carries the next call, and which calls wait.

One connection, and no more, except in two cases. WebSockets may stay open for ever: when they hold every slot,
waiting for one could take for ever, and the origin gets another connection. And HTTP/1.1 carries one exchange at a
time: there, concurrent calls need concurrent connections. Both are bounded by `Limits.max_connections_per_origin`,
for each choice of protocol.

A connection that has become silent (`keepalive.py`) is not counted on: calls wait for another one, and return to it
when something is received on it again.

Callers wait in the order in which they came. `advance` is called whenever something may have changed (a stream ended,
SETTINGS came, a dial ended, a caller began to wait). It decides synchronously what the first of them gets, by the
pure function `choose`, and repeats that until the answer is to wait. A slot that is given out is reserved until its
task opens the stream, so no newcomer can take it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

from .._connection.connection import Connection, State
from .._connection.wakeups import ParkedTask
from .._errors import LimitExceeded, fresh
from .._http.url import Origin
from .dial import ProtocolChoice


class _Waiter(ParkedTask):
    """A call that waits for a slot. `advance` may answer it before its task parks."""

    __slots__ = ("connection", "error", "waiting")

    def __init__(self) -> None:
        super().__init__()
        self.waiting = True
        self.connection: Connection | None = None
        self.error: BaseException | None = None

    def give(self, connection: Connection | None, error: BaseException | None = None) -> None:
        self.waiting = False
        self.connection, self.error = connection, error
        self.wake()

    async def wait(self) -> Connection:
        """The connection that was given. Raises the error that was given instead."""
        if self.waiting:
            await self.park()
        if self.error is not None:
            raise self.error
        assert self.connection is not None
        return self.connection

    def on_cancelled(self) -> None:
        # Already now: a slot that is given to it before its task runs again would be lost. It stays in the queue, and
        # `advance` passes over it.
        self.waiting = False


class Decision(Enum):
    """What to do for the first call that waits."""

    GIVE = "give"
    DIAL = "dial"
    WAIT = "wait"
    REFUSE = "refuse"


def choose(
    connections: list[Connection], dialling: int, waiting: int, protocol: ProtocolChoice, max_connections: int
) -> tuple[Decision, Connection | None]:
    """Pure: what the first of `waiting` calls gets, by the rules at the top of this module."""
    for connection in connections:
        if connection.free_slots > 0:
            return Decision.GIVE, connection
    open_now = [connection for connection in connections if connection.state is State.OPEN]
    usable = [connection for connection in open_now if not connection.keepalive.is_silent]
    if protocol is ProtocolChoice.HTTP1 or any(connection.engine.protocol == "HTTP/1.1" for connection in usable):
        more = dialling < waiting and len(usable) + dialling < max_connections
        return (Decision.DIAL if more else Decision.WAIT), None
    if dialling or any(not connection.full_of_websockets for connection in usable):
        return Decision.WAIT, None
    if len(usable) >= max_connections:
        return Decision.REFUSE, None
    return (Decision.DIAL if len(open_now) < max_connections or can_end(open_now) else Decision.WAIT), None


def can_end(connections: list[Connection]) -> Connection | None:
    """One that makes room for another connection: it is silent, and nothing is open on it."""
    return next((one for one in connections if one.keepalive.is_silent and not one.engine.streams), None)


class OriginPool:
    """One origin, with one choice of protocol. `dial(self)` begins a dial; at its end `dialling` is one less, its
    connection is in `connections` or `fail` is called, and then `advance`."""

    __slots__ = ("_dial", "_max_connections", "_waiters", "connections", "dialling", "origin", "protocol")

    def __init__(
        self, origin: Origin, protocol: ProtocolChoice, max_connections: int, dial: Callable[[OriginPool], None]
    ) -> None:
        self.origin = origin
        self.protocol = protocol
        self.connections: list[Connection] = []
        self.dialling = 0
        self._waiters: deque[_Waiter] = deque()
        self._max_connections = max_connections
        self._dial = dial

    @property
    def is_unused(self) -> bool:
        return not (self.connections or self.dialling or self._waiters)

    def take(self) -> Connection | None:
        """A connection with one slot reserved, if there is a free one and no call waits for it."""
        if not self._waiters:
            for connection in self.connections:
                if connection.free_slots > 0:
                    connection.reserved += 1
                    return connection
        return None

    async def wait(self) -> Connection:
        """The same, when it is this call's turn. Raises what `fail` was called with, or LimitExceeded."""
        waiter = _Waiter()
        self._waiters.append(waiter)
        self.advance()
        return await waiter.wait()

    def advance(self) -> None:
        """Serve the calls that wait, in their order, as far as it goes."""
        waiters = self._waiters
        while waiters:
            if not waiters[0].waiting:
                waiters.popleft()
                continue
            decision, connection = choose(
                self.connections, self.dialling, len(waiters), self.protocol, self._max_connections
            )
            if decision is Decision.GIVE:
                assert connection is not None
                connection.reserved += 1
                waiters.popleft().give(connection)
            elif decision is Decision.DIAL:
                # Counted now, not when its task runs: else this loop would begin one dial after another.
                self.dialling += 1
                self._make_room()
                self._dial(self)
            elif decision is Decision.REFUSE:
                message = f"WebSockets hold every stream of the {self._max_connections} connections to {self.origin}"
                self.fail(LimitExceeded("max_connections_per_origin", self._max_connections, message))
            else:
                return

    def _make_room(self) -> None:
        open_now = [connection for connection in self.connections if connection.state is State.OPEN]
        if len(open_now) >= self._max_connections and (silent := can_end(open_now)) is not None:
            silent.retire()

    def fail(self, error: BaseException) -> None:
        """Every call that waits raises a copy of `error`."""
        waiters = [waiter for waiter in self._waiters if waiter.waiting]
        self._waiters.clear()
        for waiter in waiters:
            waiter.give(None, fresh(error))
