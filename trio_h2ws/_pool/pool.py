"""Which connection carries a call: one per origin, or one dial in flight.

One, and no more, but for two cases. WebSockets may stay for ever, so when they hold every slot, waiting for one could
last for ever, too: then an origin gets another connection. And HTTP/1.1 carries one exchange at a time: there, calls
side by side need connections side by side. Both are bounded by `Limits.max_connections_per_origin`, for each way to
speak to it.

A site is what the pool knows about one origin and one way to speak to it: its connections, the dials under way, and
who waits, in the order of coming. `_advance` is called whenever something may have changed (a stream ended, SETTINGS
came, a dial ended, somebody began to wait). It decides, synchronously, and then hands out slots or begins a dial. A
slot that is handed out is reserved until its task opens the stream, so no newcomer can take it.

The dial belongs to the pool, not to the call that caused it: it runs in the client's nursery, so cancelling that
call harms no other. If it fails, everyone who waits at that moment gets an exception of his own; the next call
begins a new dial.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from enum import Enum

import trio

from .._config import Limits, Timeouts
from .._connection.connection import Connection, State
from .._connection.info import ConnectionInfo
from .._errors import ConnectFailed, ErrorCode, H2WSError, LimitExceeded, RequestNotProcessed, fresh
from .._http.url import Origin
from .coalescing import find_shared
from .dial import Dialer, ProtocolChoice
from .known_origins import Memory


class Waiter:
    """A task that waits for a slot. It may be answered before it sleeps: a task that runs must not be rescheduled."""

    __slots__ = ("_sleeper", "connection", "error", "waiting")

    def __init__(self) -> None:
        self.waiting = True
        self.connection: Connection | None = None
        self.error: BaseException | None = None
        self._sleeper: trio.lowlevel.Task | None = None

    def give(self, connection: Connection | None, error: BaseException | None = None) -> None:
        self.waiting = False
        self.connection, self.error = connection, error
        if self._sleeper is not None:
            trio.lowlevel.reschedule(self._sleeper)

    async def wait(self) -> None:
        """Until `give` was called."""
        if self.waiting:
            self._sleeper = trio.lowlevel.current_task()

            def abort(_: object) -> trio.lowlevel.Abort:
                self.waiting = False  # it stays in the queue, and is passed over
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)


class OriginPool:
    __slots__ = ("connections", "dialling", "origin", "protocol", "waiters")

    def __init__(self, origin: Origin, protocol: ProtocolChoice) -> None:
        self.origin = origin
        self.protocol = protocol
        self.connections: list[Connection] = []
        self.dialling = 0
        self.waiters: deque[Waiter] = deque()


class Decision(Enum):
    """What to do for the first who waits."""

    GIVE = "give"
    DIAL = "dial"
    WAIT = "wait"
    REFUSE = "refuse"


def choose(
    connections: list[Connection], dialling: int, waiting: int, protocol: ProtocolChoice, most: int
) -> tuple[Decision, Connection | None]:
    """Pure: what the first of `waiting` gets, by the rules at the top of this module."""
    for connection in connections:
        if connection.free_slots > 0:
            return Decision.GIVE, connection
    usable = [connection for connection in connections if connection.state is State.OPEN]
    if protocol is ProtocolChoice.HTTP1 or any(connection.engine.protocol == "HTTP/1.1" for connection in usable):
        more = dialling < waiting and len(usable) + dialling < most
        return (Decision.DIAL if more else Decision.WAIT), None
    if dialling or any(not connection.full_of_websockets for connection in usable):
        return Decision.WAIT, None
    return (Decision.DIAL if len(usable) < most else Decision.REFUSE), None


class Pool:
    """The connections of one client."""

    def __init__(self, limits: Limits, timeouts: Timeouts, *, coalesce: bool) -> None:
        self._coalesce = coalesce
        self._misdirected: set[Origin] = set()  # origins that answered 421 on another's connection
        self._limits = limits
        self._timeouts = timeouts
        self._sites: dict[tuple[Origin, ProtocolChoice], OriginPool] = {}
        # A connection serves one site; several, if origins share it; none, if it is one WebSocket over HTTP/1.1.
        self._sites_of: dict[Connection, list[OriginPool]] = {}
        self.websockets_over_http1 = Memory(timeouts.remember)  # why
        self.requests_over_http1 = Memory(timeouts.remember)  # why, though HTTP/2 was negotiated
        self._dialer: Dialer | None = None
        self._nursery: trio.Nursery | None = None
        self._dials: set[trio.CancelScope] = set()
        self._dialling_alone: list[Origin] = []  # for WebSockets over HTTP/1.1
        self._closed = False
        self._gracefully = True

    def start(self, dialer: Dialer, nursery: trio.Nursery) -> None:
        self._dialer = dialer
        self._nursery = nursery

    @property
    def connections(self) -> list[Connection]:
        return list(self._sites_of)

    def snapshots(self) -> list[ConnectionInfo]:
        result = []
        for connection, sites in self._sites_of.items():
            info = connection.info()
            origins = (info.origin, *(str(site.origin) for site in sites))
            memories = (self.websockets_over_http1, self.requests_over_http1)
            reason = next((why for known in memories for name in origins if (why := known.get(name))), None)
            if reason is not None:
                info = replace(info, websockets=f"HTTP/1.1 ({reason})")
            result.append(info)
        return result

    # Slots.

    async def acquire(self, origin: Origin, protocol: ProtocolChoice) -> Connection:
        """A connection to the origin, with one slot reserved: call its `open` next, without any await between.

        Raises ConnectFailed, LimitExceeded (see `choose`), or trio.ClosedResourceError when the client is closed.
        """
        self._check_open()
        site = self._sites.get((origin, protocol))
        if site is None:
            site = self._sites[origin, protocol] = OriginPool(origin, protocol)
        if not site.waiters:
            for connection in site.connections:
                if connection.free_slots > 0:
                    connection.reserved += 1
                    return connection
        waiter = Waiter()
        site.waiters.append(waiter)
        self._advance(site)
        await waiter.wait()
        if waiter.error is not None:
            raise waiter.error
        assert waiter.connection is not None
        return waiter.connection

    def changed(self, connection: Connection) -> None:
        """A slot, the settings or the state of a connection may have changed."""
        sites = self._sites_of.get(connection, [])
        if connection.state is State.CLOSED:
            self._sites_of.pop(connection, None)
            for site in sites:
                site.connections.remove(connection)
                self._forget_if_empty(site)
        for site in sites:
            if site.waiters:
                self._advance(site)

    def _forget_if_empty(self, site: OriginPool) -> None:
        if not (site.connections or site.dialling or site.waiters):
            self._sites.pop((site.origin, site.protocol), None)

    def _advance(self, site: OriginPool) -> None:
        waiters = site.waiters
        most = self._limits.max_connections_per_origin
        while waiters:
            if not waiters[0].waiting:
                waiters.popleft()
                continue
            what, connection = choose(site.connections, site.dialling, len(waiters), site.protocol, most)
            if what is Decision.GIVE:
                assert connection is not None
                connection.reserved += 1
                waiters.popleft().give(connection)
            elif what is Decision.DIAL:
                assert self._nursery is not None
                site.dialling += 1
                self._nursery.start_soon(self._dial, site)
            elif what is Decision.REFUSE:
                message = f"WebSockets hold every stream of the {most} connections to {site.origin}"
                self._fail(site, LimitExceeded("max_connections_per_origin", most, message))
            else:
                return

    async def _dial(self, site: OriginPool) -> None:
        assert self._dialer is not None
        failure: BaseException | None = None
        # Shielded like the connections: the scope around the client does not end it, `close` does.
        with trio.CancelScope(shield=True) as scope:
            self._dials.add(scope)
            if self._closed:
                scope.cancel()  # it was begun just before the end, and runs only now
            try:
                connection = await self._find_shared(site) or await self._dialer.dial(site.origin, site.protocol)
                if self._closed:
                    self._end(connection)  # it was ready in the very moment in which everything else was ended
                if connection.state is not State.CLOSED:
                    site.connections.append(connection)
                    self._sites_of.setdefault(connection, []).append(site)
                if connection.state is not State.OPEN:
                    # Not a reason to dial again and again: who waits tries a bounded number of times.
                    failure = RequestNotProcessed(f"{site.origin}: the server went away before anything was sent")
                    failure.__cause__ = connection.error
            except H2WSError as error:
                failure = error
            except Exception as error:  # a bug, or a user's open_stream: it must reach those who wait
                failure = ConnectFailed(f"{site.origin}: the dial failed: {error!r}")
                failure.__cause__ = error
            finally:
                self._dials.discard(scope)
                site.dialling -= 1
        if failure is not None:
            self._fail(site, failure)
        self._advance(site)
        self._forget_if_empty(site)

    async def _find_shared(self, site: OriginPool) -> Connection | None:
        if not self._coalesce or site.protocol is not ProtocolChoice.BEST or site.origin in self._misdirected:
            return None
        if site.origin.scheme != "https" or site.connections:
            return None
        seconds = self._timeouts.connect
        with trio.move_on_after(seconds if seconds is not None else float("inf")):
            return await find_shared(site.origin, self.connections)
        raise ConnectFailed(f"{site.origin}: its name was not resolved within {seconds} s (Timeouts.connect)")

    def serving(self, origin: Origin) -> list[Connection]:
        """The connections that calls to this origin may use."""
        return [c for c, sites in self._sites_of.items() if any(site.origin == origin for site in sites)]

    def unshare(self, origin: Origin, connection: Connection) -> bool:
        """The server answered 421: this origin gets a connection of its own. False if it had one already."""
        if connection.origin == str(origin):
            return False
        self._misdirected.add(origin)
        for site in self._sites_of.get(connection, []):
            if site.origin == origin:
                self._sites_of[connection].remove(site)
                site.connections.remove(connection)
                break
        return True

    def _fail(self, site: OriginPool, error: BaseException) -> None:
        waiters = [waiter for waiter in site.waiters if waiter.waiting]
        site.waiters.clear()
        for waiter in waiters:
            waiter.give(None, fresh(error))

    # WebSockets over HTTP/1.1: each has a connection of its own.

    async def dial_for_websocket(self, origin: Origin) -> Connection:
        """An HTTP/1.1 connection that carries one WebSocket. Raises ConnectFailed or LimitExceeded."""
        self._check_open()
        assert self._dialer is not None
        most = self._limits.max_http1_websockets
        alone = sum(not sites and c.origin == str(origin) for c, sites in self._sites_of.items())
        alone += self._dialling_alone.count(origin)
        if most is not None and alone >= most:
            raise LimitExceeded("max_http1_websockets", most, f"WebSockets over HTTP/1.1 to {origin}")
        self._dialling_alone.append(origin)
        try:
            connection = self._take_unused(origin) or await self._dialer.dial(
                origin, ProtocolChoice.HTTP1, tunnel=True
            )
        finally:
            self._dialling_alone.remove(origin)
        if self._closed:
            self._end(connection)
            self._check_open()
        connection.reserved += 1
        connection.upgraded = True
        self._sites_of[connection] = []
        return connection

    def _take_unused(self, origin: Origin) -> Connection | None:
        """A connection that was dialled to see whether it gets HTTP/2, and did not: nothing was sent on it yet."""
        site = self._sites.get((origin, ProtocolChoice.BEST))
        for connection in site.connections if site is not None and origin.scheme == "https" else ():
            engine = connection.engine
            if engine.protocol == "HTTP/1.1" and not engine.bytes_sent and connection.free_slots > 0:
                assert site is not None
                site.connections.remove(connection)
                self._forget_if_empty(site)
                return connection
        return None

    def speaks_http1(self, origin: Origin) -> bool:
        """Whether the origin chose HTTP/1.1 in the TLS handshake, as far as a connection that is open tells."""
        site = self._sites.get((origin, ProtocolChoice.BEST))
        return site is not None and any(
            connection.engine.protocol == "HTTP/1.1" and connection.state is State.OPEN
            for connection in site.connections
        )

    # The end.

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the client is closed")

    def close(self, *, gracefully: bool) -> None:
        """End everything: those who wait get trio.ClosedResourceError, the connections say goodbye or not."""
        self._closed = True
        self._gracefully = gracefully
        for site in list(self._sites.values()):
            self._fail(site, trio.ClosedResourceError("the client is closed"))
        for scope in self._dials:
            scope.cancel()
        for connection in self.connections:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        if self._gracefully:
            connection.shut_down()
        elif connection.state is not State.CLOSED:
            connection.engine.goaway(ErrorCode.NO_ERROR)
            connection.abort(ConnectFailed("the client was cancelled"), flush_seconds=0)
