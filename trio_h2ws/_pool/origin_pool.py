"""The connections to one origin: which of them carries the next call, and which calls wait.

Before a call gets anything, the origin's gate must admit it (`admission.py`).

One connection, and no more, except in two cases. WebSockets may stay open for ever: when they hold every slot,
waiting for one could take for ever, and the origin gets another connection, up to
`Limits.max_connections_per_origin`. And HTTP/1.1 carries one exchange at a time: there, concurrent calls need
concurrent connections, up to `Limits.max_http1_connections`. Both bounds are for each choice of protocol. While it is
not known which HTTP the origin will choose, one dial at a time decides that for all calls.

Of several free connections the next call gets the oldest over HTTP/2, and over HTTP/1.1 the one that was used last:
so those that are not needed become idle, and end (`Timeouts.idle`). A connection that has become silent
(`keepalive.py`) is not counted on: calls wait for another one, and return to it when something is received on it
again.

A connection whose SETTINGS have not come yet has slots only for the calls that need not wait for them
(`_connection/first_flight.py`): those overtake the others.

Callers wait in the order in which they came, for whatever comes first: a slot that comes free, or a dial. `advance`
is called whenever something may have changed (a stream ended, SETTINGS came, a dial ended, a caller began to wait).
It decides synchronously what the first of them gets, by the pure function `choose`, and repeats that until the answer
is to wait. A slot that is given out is reserved until its task opens the stream, so no newcomer can take it. Nothing
here searches all connections.
"""

from __future__ import annotations

from collections import OrderedDict
from enum import Enum
from typing import NamedTuple, Protocol

from .._config import Limits
from .._connection.connection import Connection, State
from .._errors import HTTP2NotAvailable, LimitExceeded
from .._http.url import Origin
from .admission import Admission
from .dial import ProtocolChoice
from .waiters import OnPhase, Waiters


class Decision(Enum):
    """What to do for the first call that waits."""

    GIVE = "give"
    DIAL = "dial"
    WAIT = "wait"
    REFUSE = "refuse"


class Situation(NamedTuple):
    """What `choose` looks at."""

    admitted: bool
    """The gate of the origin lets another call in."""
    bounded: bool
    """It has a bound, because the server asked for calm."""
    free: bool
    """A connection has a free slot."""
    http1: bool
    """The origin speaks HTTP/1.1."""
    stuck: bool
    """Over HTTP/2: WebSockets hold every slot of every connection (or there is none)."""
    usable: int
    """Connections that take new streams, and are not silent."""
    silent: int
    """Connections that are silent, and can't be closed in favour of another, because streams are open on them."""
    dialling: int
    waiting: int
    most: int
    """Connections that there may be."""


def choose(now: Situation) -> Decision:
    """Pure: what the first call that waits gets, by the rules at the top of this module."""
    if not now.admitted:
        return Decision.WAIT
    if now.free:
        return Decision.GIVE
    if now.http1:
        more = now.dialling < now.waiting and now.usable + now.dialling < now.most
        return Decision.DIAL if more else Decision.WAIT
    if now.dialling or not now.stuck or (now.bounded and now.usable):
        return Decision.WAIT
    if now.usable >= now.most:
        return Decision.REFUSE
    return Decision.DIAL if now.usable + now.silent < now.most else Decision.WAIT


class Owner(Protocol):
    """What an origin's pool needs of the client's."""

    def begin_dial(self, origin_pool: OriginPool) -> bool:
        """Begin a dial. False: not now, `advance` is called when that may have changed."""
        ...

    def wants_no_dial(self, origin_pool: OriginPool) -> None:
        """Undo a `begin_dial` that returned False."""
        ...

    def forget_if_unused(self, origin_pool: OriginPool) -> None: ...


class OriginPool:
    """One origin, with one choice of protocol. At the end of a dial `add` or `fail` is called, and then
    `dial_ended`."""

    __slots__ = (
        "_free",
        "_limits",
        "_open",
        "_owner",
        "_silent",
        "_unconfirmed",
        "_waiters",
        "admission",
        "connections",
        "dialling",
        "http1",
        "origin",
        "protocol",
        "served",
    )

    def __init__(
        self, origin: Origin, protocol: ProtocolChoice, limits: Limits, owner: Owner, admission: Admission
    ) -> None:
        self.origin = origin
        self.admission = admission
        self.protocol = protocol
        self.http1 = protocol is ProtocolChoice.HTTP1  # else the last connection shows it
        self.connections: dict[Connection, None] = {}
        self.dialling = 0
        self.served = 0
        """Calls that waited and got a connection, so far."""
        self._open: dict[Connection, None] = {}  # those that take new streams, and are not silent
        self._silent: dict[Connection, None] = {}  # those that would take new streams
        # Those with a free slot, the next to be used at the end.
        self._free: OrderedDict[Connection, None] = OrderedDict()
        self._unconfirmed: dict[Connection, None] = {}  # the same, but their SETTINGS have not come yet
        self._waiters = Waiters(self._on_cancelled)
        self._limits = limits
        self._owner = owner

    @property
    def is_unused(self) -> bool:
        return not (self.connections or self.dialling or self._waiters)

    def is_wanted(self) -> bool:
        """Calls wait for a connection."""
        return len(self._waiters) > 0

    @property
    def is_open(self) -> bool:
        """There is a connection that takes new streams."""
        return bool(self._open)

    @property
    def is_starved(self) -> bool:
        """No connection will come free here."""
        return not (self._open or self.dialling)

    # Connections.

    def add(self, connection: Connection) -> None:
        """A connection that serves this origin from now on. `advance` gives its slots to the calls that wait."""
        self.connections[connection] = None
        self.http1 = connection.engine.protocol == "HTTP/1.1"
        if self.http1:
            self._waiters.fail_http2_only(self._not_http2())  # connections are dialled for calls that can use them
        if isinstance(connection.calm.gate, Admission):
            self.admission = connection.calm.gate  # an origin that shares the connection shares the gate
        else:
            self.admission.add(connection)
        self.update(connection)

    def remove(self, connection: Connection) -> None:
        del self.connections[connection]
        self.admission.remove(connection)
        self._take_out(connection)

    def update(self, connection: Connection) -> None:
        """Its slots or its state may have changed."""
        if connection.state is not State.OPEN:
            self._take_out(connection)
            return
        if connection.keepalive.is_silent:
            self._open.pop(connection, None)
            self._silent[connection] = None
        elif connection not in self._open:
            self._silent.pop(connection, None)
            self._open[connection] = None
        if connection.free_slots <= 0:
            self._free.pop(connection, None)
            self._unconfirmed.pop(connection, None)
        elif not connection.engine.settings_received:
            self._unconfirmed[connection] = None
        elif connection not in self._free:
            self._unconfirmed.pop(connection, None)
            self._add_free(connection)

    def _take_out(self, connection: Connection) -> None:
        """It takes no new streams."""
        for connections in (self._open, self._silent, self._free, self._unconfirmed):
            connections.pop(connection, None)

    def _add_free(self, connection: Connection) -> None:
        self._free[connection] = None
        if not self.http1:
            for older in [other for other in self._free if other.id < connection.id]:
                self._free.move_to_end(older)

    def next_free(self) -> Connection | None:
        """The connection that the next call gets, if one is free."""
        return next(reversed(self._free), None)

    def retire_stale(self) -> None:
        """Over HTTP/1.1: the next connection must be one that is known to work, or a new one."""
        while (connection := self.next_free()) is not None and connection.keepalive.is_stale:
            connection.retire()  # which is the one that was used last, so the others are stale as well

    # Calls.

    def take(self) -> Connection | None:
        """A connection with one slot reserved, if there is a free one and no call waits for it."""
        return None if self._waiters or not self._is_admitted() else self._reserve(self._free)

    def _reserve(self, free: dict[Connection, None]) -> Connection | None:
        for silent in tuple(self._silent):
            self.update(silent)
        while free:
            connection = next(reversed(free))
            slots = connection.free_slots
            if slots < 2:
                del free[connection]
            if slots > 0:
                connection.reserved += 1
                return connection
        return None

    async def wait(self, http2_only: bool, on_phase: OnPhase | None, *, early: bool = False) -> Connection:
        """The same, when it is this call's turn. Raises what `fail` was called with, or LimitExceeded.

        `http2_only`: HTTP2NotAvailable as soon as the origin has chosen HTTP/1.1. `early`: the call need not wait for
        the server's SETTINGS.
        """
        if http2_only and self.http1 and self._open:
            raise self._not_http2()
        waiter = self._waiters.join(http2_only, on_phase, early=early)
        self.advance()
        self._waiters.listen(waiter)
        return await waiter.wait()

    def _not_http2(self) -> HTTP2NotAvailable:
        return HTTP2NotAvailable("alpn", f"{self.origin} chose HTTP/1.1 in the TLS handshake")

    def _on_cancelled(self) -> None:
        if not self._waiters:
            self._owner.wants_no_dial(self)
            self._owner.forget_if_unused(self)

    def advance(self) -> None:
        """Serve the calls that wait, in their order, as far as it goes."""
        waiters = self._waiters
        if not waiters:
            self.admission.serve_others()
            return
        while waiters:
            decision = self._decide()
            if decision is Decision.GIVE:
                connection = self._reserve(self._free)
                if connection is not None:
                    self.served += 1
                    waiters.first().give(connection)
            elif decision is Decision.DIAL:
                if not self._owner.begin_dial(self):
                    break
                self.dialling += 1  # now, not when its task runs: else this loop would begin one dial after another
                self._make_room()
            elif decision is Decision.REFUSE:
                most = self._limits.max_connections_per_origin
                message = f"WebSockets hold every stream of the {most} connections to {self.origin}"
                waiters.fail(LimitExceeded("max_connections_per_origin", most, message))
            else:
                self._owner.wants_no_dial(self)
                if not self._is_admitted():
                    self.admission.wait(self.advance)
                break
        else:
            self._owner.wants_no_dial(self)
        if self._unconfirmed:
            self._serve_early()
        waiters.announce("connect" if self.dialling else "queue")
        self.admission.serve_others()

    def _serve_early(self) -> None:
        """Serve the calls that need not wait for the server's SETTINGS."""
        while (waiter := self._waiters.first_early()) is not None and self._is_admitted():
            connection = self._reserve(self._unconfirmed)
            if connection is None:
                return
            self.served += 1
            waiter.give(connection)

    def _is_admitted(self) -> bool:
        return self.admission.bound is None or self.admission.admits()

    def _decide(self) -> Decision:
        limits, http1 = self._limits, self.http1
        most = limits.max_http1_connections if http1 else limits.max_connections_per_origin
        # Over HTTP/2 the connections are few.
        stuck = not http1 and all(connection.full_of_websockets for connection in self._open)
        silent = sum(bool(connection.engine.streams) for connection in self._silent)
        usable, waiting = len(self._open), len(self._waiters)
        admitted, bounded, free = self._is_admitted(), self.admission.bound is not None, bool(self._free)
        return choose(Situation(admitted, bounded, free, http1, stuck, usable, silent, self.dialling, waiting, most))

    def _make_room(self) -> None:
        """For the dial that has begun, within the bound that `choose` has kept."""
        if len(self._open) + len(self._silent) >= self._limits.max_connections_per_origin:
            unused = next((connection for connection in self._silent if not connection.engine.streams), None)
            if unused is not None:
                unused.retire()

    def fail(self, error: BaseException) -> None:
        """Every call that waits raises a copy of `error`."""
        self._waiters.fail(error)

    def fail_first(self, error: BaseException) -> None:
        """The call that has waited longest raises `error`."""
        if self._waiters:
            self._waiters.first().give(None, error)

    def dial_ended(self) -> None:
        self.dialling -= 1
        self.advance()
        self._owner.forget_if_unused(self)
