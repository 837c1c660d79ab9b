"""The connections of one client: an `OriginPool` for each origin, the dials, and the end of them all.

A dial belongs to the pool, not to the call that caused it. It runs in the client's nursery, so cancelling that call
does not fail the others that wait for the same connection. If the dial fails, every call that waits at that time gets
its own copy of the error; the next call begins a new dial. Over HTTP/1.1 other connections, or other dials, may still
serve those calls: then one dial that fails fails one call, and none if the others were served meanwhile.

A connection normally serves one origin. It serves several if origins share it (`coalescing.py`), and none if it
is for a single call (`single.py`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import trio

from .._config import Limits, Timeouts
from .._connection.connection import Connection, State
from .._connection.info import ConnectionInfo
from .._errors import ConnectFailed, ConnectionLost, ErrorCode, H2WSError
from .._http.url import Origin
from .._protocols.guard import describe
from .admission import Admissions
from .capacity import Capacity, is_idle
from .coalescing import find_shared
from .dial import Dialer, ProtocolChoice
from .known_origins import KnownOrigins
from .origin_pool import OriginPool
from .single import SingleConnections
from .waiters import OnPhase

_PAUSE = 0.5  # seconds after a dial that failed while other connections of the origin work


class Pool:
    """Made with the client. `start` before use, `close` at the end of the client's block."""

    def __init__(self, limits: Limits, timeouts: Timeouts, *, coalesce: bool) -> None:
        self.known = KnownOrigins(timeouts.remember)
        self.capacity = Capacity(limits.max_connections)
        self.single = SingleConnections(limits, self)
        self._admissions = Admissions()
        self._coalesce = coalesce
        self._misdirected: set[Origin] = set()  # origins that answered 421 on another origin's connection
        self._limits = limits
        self._timeouts = timeouts
        self._origin_pools: dict[tuple[Origin, ProtocolChoice], OriginPool] = {}
        self._serves: dict[Connection, list[OriginPool]] = {}
        self._dialer: Dialer | None = None
        self._nursery: trio.Nursery | None = None
        self._dials: set[trio.CancelScope] = set()
        self._closed = False
        self._gracefully = True

    def start(self, dialer: Dialer, nursery: trio.Nursery) -> None:
        self._dialer = dialer
        self._nursery = nursery

    @property
    def is_closed(self) -> bool:
        return self._closed

    @property
    def connections(self) -> list[Connection]:
        return list(self._serves)

    def snapshots(self) -> list[ConnectionInfo]:
        result = []
        for connection, origin_pools in self._serves.items():
            info = connection.info()
            origins = (info.origin, *(str(origin_pool.origin) for origin_pool in origin_pools))
            reason = next((why for name in origins if (why := self.known.why_http1(name))), None)
            if reason is not None:
                info = replace(info, websockets=f"HTTP/1.1 ({reason})")
            result.append(info)
        return result

    # Slots.

    async def acquire(
        self,
        origin: Origin,
        protocol: ProtocolChoice,
        *,
        http2_only: bool = False,
        on_phase: OnPhase | None = None,
        repeatable: bool = True,
        may_precede_settings: Callable[[], bool] | None = None,
    ) -> Connection:
        """A connection to the origin, with one slot reserved: call its `open` next, without any await between.

        Raises ConnectFailed, LimitExceeded (see `choose` and `Capacity`), or trio.ClosedResourceError when the client
        is closed. `http2_only`: a call that has to wait gets HTTP2NotAvailable if the origin chooses HTTP/1.1.
        `on_phase(phase)` is called when the call has to wait: "queue" for a slot, "connect" for a dial.
        `repeatable`: the call may be sent again if it is lost; else it gets no HTTP/1.1 connection that may be dead.
        `may_precede_settings()`: the call may be sent before the server's SETTINGS have come; None: it may not.
        """
        self.check_open()
        origin_pool = self._origin_pools.get((origin, protocol))
        if origin_pool is None:
            origin_pool = OriginPool(origin, protocol, self._limits, self, self._admissions.of(origin))
            self._origin_pools[origin, protocol] = origin_pool
        if not repeatable and origin_pool.http1:
            origin_pool.retire_stale()
        connection = origin_pool.take()
        if connection is not None:
            return connection
        early = may_precede_settings is not None and may_precede_settings()
        return await origin_pool.wait(http2_only, on_phase, early=early)

    def changed(self, connection: Connection) -> None:
        """A slot, the settings or the state of a connection may have changed."""
        if connection.state is State.CLOSED:
            self._on_closed(connection)
            if connection.gone:
                self.capacity.on_gone(connection)
            return
        if self.capacity.ends(connection):
            return
        for origin_pool in self._serves.get(connection, ()):
            origin_pool.update(connection)
            origin_pool.advance()
        self._look_if_idle(connection)

    def _on_closed(self, connection: Connection) -> None:
        origin_pools = self._serves.pop(connection, None)
        if origin_pools is None:
            return  # it was closed already, or it belongs to a dial that is under way
        self.capacity.on_closed(connection)
        self.single.on_closed(connection)
        if connection.resets.blamed is not None:
            self.known.most_resets.put(connection.origin, connection.resets.blamed // 2)
        for origin_pool in origin_pools:
            origin_pool.remove(connection)
            self.forget_if_unused(origin_pool)
            origin_pool.advance()

    def _look_if_idle(self, connection: Connection) -> None:
        if is_idle(connection) and connection in self._serves:
            self.capacity.on_idle(connection)
        else:
            self.capacity.on_changed()

    def forget_if_unused(self, origin_pool: OriginPool) -> None:
        if origin_pool.is_unused:
            self._origin_pools.pop((origin_pool.origin, origin_pool.protocol), None)

    # Dials.

    def begin_dial(self, origin_pool: OriginPool) -> bool:
        if not self.capacity.take(origin_pool):
            return False
        assert self._nursery is not None
        self._nursery.start_soon(self._dial, origin_pool)
        return True

    def start_background(self, run: Callable[[], Awaitable[None]]) -> None:
        """A task of the client, which lives until it ends, or the client is closed. It must not raise."""
        assert self._nursery is not None
        self._nursery.start_soon(self._run_background, run)

    async def _run_background(self, run: Callable[[], Awaitable[None]]) -> None:
        with trio.CancelScope(shield=True) as scope:
            self._dials.add(scope)
            if self._closed:
                scope.cancel()
            try:
                await run()
            finally:
                self._dials.discard(scope)

    def wants_no_dial(self, origin_pool: OriginPool) -> None:
        self.capacity.withdraw(origin_pool)

    async def _dial(self, origin_pool: OriginPool) -> None:
        """One dial, in the client's nursery: it raises nothing, since that would end the user's own tasks."""
        try:
            await self._dial_once(origin_pool)
        except Exception as bug:
            origin_pool.fail(dial_bug(bug))

    async def _dial_once(self, origin_pool: OriginPool) -> None:
        connection: Connection | None = None
        # Shielded like the connections: the scope around the client does not end it, `close` does.
        with trio.CancelScope(shield=True) as scope:
            self._dials.add(scope)
            if self._closed:
                scope.cancel()  # the client was closed before this task first ran
            served = origin_pool.served
            try:
                connection = await self._connect(origin_pool)
            except H2WSError as error:
                await self._fail(origin_pool, error, served)
            except Exception as bug:
                await self._fail(origin_pool, dial_bug(bug), served)
            finally:
                self._dials.discard(scope)
        origin_pool.dial_ended()
        if connection is not None:
            self._look_if_idle(connection)

    async def _connect(self, origin_pool: OriginPool) -> Connection:
        """Dial, and add the connection to the pool."""
        connection = await self._find_or_dial(origin_pool)
        self._add(origin_pool, connection)
        if connection.state is not State.OPEN:
            # A failure, and not a reason to dial again at once: each waiting call retries a bounded number of times,
            # with pauses.
            raise connection.unusable()
        return connection

    def _add(self, origin_pool: OriginPool, connection: Connection) -> None:
        """From now on it serves this origin. Idempotent."""
        if self._closed:
            self._end(connection)  # it became ready after `close` had ended the others
        served = self._serves.get(connection, ())
        if connection.state is not State.CLOSED and origin_pool not in served:
            connection.resets.most = self.known.most_resets.get(connection.origin)
            self._serves[connection] = [*served, origin_pool]
            origin_pool.add(connection)

    async def _find_or_dial(self, origin_pool: OriginPool) -> Connection:
        """Whatever happens, the place of the dial is passed on."""

        def started(connection: Connection) -> None:
            self._add(origin_pool, connection)
            origin_pool.advance()

        dialled: Connection | None = None
        try:
            shared = await self._find_shared(origin_pool)
            if shared is not None:
                return shared
            dialled = await self.dialer.dial(
                origin_pool.origin, origin_pool.protocol, origin_pool.is_wanted, on_started=started
            )
            return dialled
        finally:
            self.capacity.end_dial(dialled)

    async def _fail(self, origin_pool: OriginPool, error: H2WSError, served: int) -> None:
        """A dial has failed, which is no reason to fail calls that others will serve."""
        if origin_pool.http1 and origin_pool.is_open:
            await trio.sleep(_PAUSE)  # it counts as a dial until then: no other is begun in its place
            if origin_pool.served == served:
                origin_pool.fail_first(error)
        elif origin_pool.http1 and origin_pool.dialling > 1:
            origin_pool.fail_first(error)
        else:
            origin_pool.fail(error)

    async def _find_shared(self, origin_pool: OriginPool) -> Connection | None:
        origin = origin_pool.origin
        if not self._coalesce or origin_pool.protocol is not ProtocolChoice.BEST or origin in self._misdirected:
            return None
        if origin.scheme != "https" or origin_pool.connections:
            return None
        seconds = self._timeouts.connect
        with trio.move_on_after(seconds if seconds is not None else float("inf")):
            return await find_shared(origin, self.connections)
        raise ConnectFailed(f"{origin}: its name was not resolved within {seconds} s (Timeouts.connect)")

    def unshare(self, origin: Origin) -> bool:
        """The server answered 421: from now on the origin gets connections of itself alone. Returns whether it used
        another origin's."""
        self._misdirected.add(origin)
        unshared = False
        for connection, origin_pools in self._serves.items():
            if connection.origin == str(origin):
                continue
            for origin_pool in [one for one in origin_pools if one.origin == origin]:
                origin_pools.remove(origin_pool)
                origin_pool.remove(connection)
                unshared = True
        return unshared

    def retire_idle(self, origin: Origin) -> None:
        """A request was lost on a connection that had been idle: what the server did to that one, it may have done to
        the others. Over HTTP/1.1 there can be many of them, and a retry must not meet the next one."""
        for connection in list(self._serves):
            engine = connection.engine
            unused = not (engine.streams or connection.reserved) and engine.bytes_received
            if unused and engine.protocol == "HTTP/1.1" and connection.origin == str(origin):
                connection.retire()

    # Connections that serve a single call (`single.py`).

    @property
    def dialer(self) -> Dialer:
        assert self._dialer is not None
        return self._dialer

    def adopt(self, connection: Connection) -> None:
        if self._closed:
            self._end(connection)
            self.check_open()
        if connection.state is not State.CLOSED:
            self._serves[connection] = []

    def take_unused(self, origin: Origin) -> Connection | None:
        """A connection that was dialled in the hope of HTTP/2 and got HTTP/1.1, and was not used yet."""
        origin_pool = self._origin_pools.get((origin, ProtocolChoice.BEST))
        if origin_pool is None or origin.scheme != "https":
            return None
        connection = origin_pool.next_free()
        if connection is None or connection.engine.protocol != "HTTP/1.1" or connection.engine.bytes_sent:
            return None
        origin_pool.remove(connection)
        self.forget_if_unused(origin_pool)
        return connection

    def chose_http1(self, origin: Origin) -> bool:
        """Whether the origin chose HTTP/1.1 in the TLS handshake, as far as an open connection shows."""
        origin_pool = self._origin_pools.get((origin, ProtocolChoice.BEST))
        return origin_pool is not None and origin_pool.http1 and origin_pool.is_open

    # The end.

    def check_open(self) -> None:
        """Raises trio.ClosedResourceError if the client is closed."""
        if self._closed:
            raise trio.ClosedResourceError("the client is closed")

    def close(self, *, gracefully: bool) -> None:
        """End everything: calls that wait get trio.ClosedResourceError; the connections are shut down, or aborted."""
        self._closed = True
        self._gracefully = gracefully
        closed = trio.ClosedResourceError("the client is closed")
        self.capacity.close(closed)
        if self._dialer is not None:
            self._dialer.sessions.close()
        for origin_pool in list(self._origin_pools.values()):
            origin_pool.fail(closed)
        for scope in self._dials:
            scope.cancel()
        for connection in self.connections:
            self._end(connection)

    def _end(self, connection: Connection) -> None:
        try:
            if self._gracefully:
                connection.shut_down()
            elif connection.state is not State.CLOSED:
                connection.engine.goaway(ErrorCode.NO_ERROR)
                connection.abort(ConnectionLost("the client was cancelled"), flush_seconds=0)
        except Exception as bug:  # the other connections must end as well
            connection.end_with_bug(bug)


def dial_bug(bug: Exception) -> ConnectFailed:
    """The error of the calls that wait for a dial in which `bug` was raised."""
    error = ConnectFailed(describe(bug))
    error.__cause__ = bug
    return error
