"""Which connection carries a call: one per origin, or one dial in flight.

One, and no more, but for one case: WebSockets may stay for ever, so when they hold every slot, waiting for one could
last for ever, too. Then (and only then) an origin gets another connection, up to a bound.

A site is what the pool knows about one origin: its connections, whether a dial is under way, and who waits, in the
order of coming. `_advance` is called whenever something may have changed (a stream ended, SETTINGS came, a dial
ended, somebody began to wait). It decides, synchronously, and then hands out slots or begins a dial. A slot that is
handed out is reserved until its task opens the stream, so no newcomer can take it.

The dial belongs to the pool, not to the call that caused it: it runs in the client's nursery, so cancelling that
call harms no other. If it fails, everyone who waits at that moment gets an exception of his own; the next call
begins a new dial.
"""

from __future__ import annotations

from collections import deque
from enum import Enum

import trio

from ._config import Limits
from ._dial import Dialer
from ._errors import ConnectFailed, H2WSError, LimitExceeded, fresh
from ._h2.connection import Connection, State
from ._url import Origin


class _Waiter:
    """A task that waits for a slot."""

    __slots__ = ("connection", "error", "task")

    def __init__(self) -> None:
        self.task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self.connection: Connection | None = None
        self.error: BaseException | None = None

    def give(self, connection: Connection | None, error: BaseException | None = None) -> None:
        self.connection, self.error = connection, error
        task, self.task = self.task, None
        assert task is not None
        trio.lowlevel.reschedule(task)


class _Site:
    __slots__ = ("connections", "dialling", "origin", "waiters")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.connections: list[Connection] = []
        self.dialling = False
        self.waiters: deque[_Waiter] = deque()


class Next(Enum):
    """What to do for the first who waits."""

    GIVE = "give"
    DIAL = "dial"
    WAIT = "wait"
    REFUSE = "refuse"


def choose(connections: list[Connection], dialling: bool, most: int) -> tuple[Next, Connection | None]:
    """Pure: what the first who waits gets.

    The first connection with a free slot. Without one, patience: slots come free. Two exceptions: no connection takes
    new streams, or WebSockets hold every slot of all that do, so that nobody can say whether one will ever come free.
    Then another connection, up to `most`.
    """
    for connection in connections:
        if connection.free_slots > 0:
            return Next.GIVE, connection
    usable = [connection for connection in connections if connection.state is State.OPEN]
    if dialling or any(not connection.full_of_websockets for connection in usable):
        return Next.WAIT, None
    return (Next.DIAL if len(usable) < most else Next.REFUSE), None


class Pool:
    """The connections of one client."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._sites: dict[Origin, _Site] = {}
        self._site_of: dict[Connection, _Site] = {}
        self._dialer: Dialer | None = None
        self._nursery: trio.Nursery | None = None
        self._dials: set[trio.CancelScope] = set()
        self._closed = False

    def start(self, dialer: Dialer, nursery: trio.Nursery) -> None:
        self._dialer = dialer
        self._nursery = nursery

    @property
    def connections(self) -> list[Connection]:
        return list(self._site_of)

    async def acquire(self, origin: Origin) -> Connection:
        """A connection to the origin, with one slot reserved: call its `open` next, without any await between.

        Raises ConnectFailed, LimitExceeded (see `choose`), or trio.ClosedResourceError when the client is closed.
        """
        if self._closed:
            raise trio.ClosedResourceError("the client is closed")
        site = self._sites.get(origin)
        if site is None:
            site = self._sites[origin] = _Site(origin)
        if not site.waiters:
            for connection in site.connections:
                if connection.free_slots > 0:
                    connection.reserved += 1
                    return connection
        waiter = _Waiter()
        site.waiters.append(waiter)

        def abort(_: object) -> trio.lowlevel.Abort:
            waiter.task = None  # it stays in the queue, and is passed over
            return trio.lowlevel.Abort.SUCCEEDED

        self._advance(site)
        await trio.lowlevel.wait_task_rescheduled(abort)
        if waiter.error is not None:
            raise waiter.error
        assert waiter.connection is not None
        return waiter.connection

    def changed(self, connection: Connection) -> None:
        """A slot, the settings or the state of a connection may have changed."""
        site = self._site_of.get(connection)
        if site is None:
            return
        if connection.state is State.CLOSED:
            del self._site_of[connection]
            site.connections.remove(connection)
        if site.waiters:
            self._advance(site)

    def _advance(self, site: _Site) -> None:
        waiters = site.waiters
        while waiters:
            if waiters[0].task is None:
                waiters.popleft()
                continue
            most = self._limits.max_connections_per_origin
            what, connection = choose(site.connections, site.dialling, most)
            if what is Next.GIVE:
                assert connection is not None
                connection.reserved += 1
                waiters.popleft().give(connection)
                continue
            if what is Next.DIAL:
                assert self._nursery is not None
                site.dialling = True
                self._nursery.start_soon(self._dial, site)
            elif what is Next.REFUSE:
                message = f"WebSockets hold every stream of the {most} connections to {site.origin}"
                self._fail(site, LimitExceeded("max_connections_per_origin", most, message))
            return

    async def _dial(self, site: _Site) -> None:
        assert self._dialer is not None
        failure: BaseException | None = None
        # Shielded like the connections: the scope around the client does not end it, `close` does.
        with trio.CancelScope(shield=True) as scope:
            self._dials.add(scope)
            try:
                connection = await self._dialer.dial(site.origin)
                site.connections.append(connection)
                self._site_of[connection] = site
            except H2WSError as error:
                failure = error
            except Exception as error:  # a bug, or a user's open_stream: it must reach those who wait
                failure = ConnectFailed(f"{site.origin}: the dial failed: {error!r}")
                failure.__cause__ = error
            finally:
                self._dials.discard(scope)
                site.dialling = False
        if failure is not None:
            self._fail(site, failure)
        self._advance(site)

    def _fail(self, site: _Site, error: BaseException) -> None:
        waiters = [waiter for waiter in site.waiters if waiter.task is not None]
        site.waiters.clear()
        for waiter in waiters:
            waiter.give(None, fresh(error))

    def close(self, *, gracefully: bool) -> None:
        """End everything: those who wait get trio.ClosedResourceError, the connections say goodbye or not."""
        self._closed = True
        for site in self._sites.values():
            self._fail(site, trio.ClosedResourceError("the client is closed"))
        for scope in self._dials:
            scope.cancel()
        for connection in self.connections:
            if gracefully:
                connection.shut_down()
            else:
                connection.abort(ConnectFailed("the client was cancelled"), say_goodbye=True)
