"""The connections of one client: an `OriginPool` for each origin, the dials, and the end of them all.

A dial belongs to the pool, not to the call that caused it. It runs in the client's nursery, so cancelling that call
does not fail the others that wait for the same connection. If the dial fails, every call that waits at that time gets
its own copy of the error; the next call begins a new dial.

A connection normally serves one origin. It serves several if origins share it (`coalescing.py`), and none if it
carries one WebSocket over HTTP/1.1: such a connection has a single caller, which dials it in its own task.
"""

from __future__ import annotations

from dataclasses import replace

import trio

from .._config import Limits, Timeouts
from .._connection.connection import Connection, State
from .._connection.info import ConnectionInfo
from .._errors import ConnectFailed, ErrorCode, H2WSError, LimitExceeded, RequestNotProcessed
from .._http.url import Origin
from .._protocols.guard import describe
from .coalescing import find_shared
from .dial import Dialer, ProtocolChoice
from .known_origins import KnownOrigins
from .origin_pool import OriginPool


class Pool:
    """Made with the client. `start` before use, `close` at the end of the client's block."""

    def __init__(self, limits: Limits, timeouts: Timeouts, *, coalesce: bool) -> None:
        self.known = KnownOrigins(timeouts.remember)
        self._coalesce = coalesce
        self._misdirected: set[Origin] = set()  # origins that answered 421 on another origin's connection
        self._limits = limits
        self._timeouts = timeouts
        self._origin_pools: dict[tuple[Origin, ProtocolChoice], OriginPool] = {}
        self._serves: dict[Connection, list[OriginPool]] = {}
        self._dialer: Dialer | None = None
        self._nursery: trio.Nursery | None = None
        self._dials: set[trio.CancelScope] = set()
        self._dialling_websockets: list[Origin] = []  # over HTTP/1.1
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

    async def acquire(self, origin: Origin, protocol: ProtocolChoice) -> Connection:
        """A connection to the origin, with one slot reserved: call its `open` next, without any await between.

        Raises ConnectFailed, LimitExceeded (see `choose`), or trio.ClosedResourceError when the client is closed.
        """
        self._check_open()
        origin_pool = self._origin_pools.get((origin, protocol))
        if origin_pool is None:
            most = self._limits.max_connections_per_origin
            origin_pool = OriginPool(origin, protocol, most, self._start_dial)
            self._origin_pools[origin, protocol] = origin_pool
        return origin_pool.take() or await origin_pool.wait()

    def changed(self, connection: Connection) -> None:
        """A slot, the settings or the state of a connection may have changed."""
        origin_pools = self._serves.get(connection, [])
        if connection.state is State.CLOSED:
            self._serves.pop(connection, None)
            for origin_pool in origin_pools:
                origin_pool.connections.remove(connection)
                self._forget_if_unused(origin_pool)
        for origin_pool in origin_pools:
            origin_pool.advance()

    def _forget_if_unused(self, origin_pool: OriginPool) -> None:
        if origin_pool.is_unused:
            self._origin_pools.pop((origin_pool.origin, origin_pool.protocol), None)

    # Dials.

    def _start_dial(self, origin_pool: OriginPool) -> None:
        assert self._nursery is not None
        self._nursery.start_soon(self._dial, origin_pool)

    async def _dial(self, origin_pool: OriginPool) -> None:
        """One dial, in the client's nursery: it raises nothing, since that would end the user's own tasks."""
        try:
            await self._dial_once(origin_pool)
        except Exception as bug:
            origin_pool.fail(dial_bug(bug))

    async def _dial_once(self, origin_pool: OriginPool) -> None:
        failure: BaseException | None = None
        # Shielded like the connections: the scope around the client does not end it, `close` does.
        with trio.CancelScope(shield=True) as scope:
            self._dials.add(scope)
            if self._closed:
                scope.cancel()  # the client was closed before this task first ran
            try:
                connection = await self._connect(origin_pool)
                if self._closed:
                    self._end(connection)  # it became ready after `close` had ended the others
                if connection.state is not State.CLOSED:
                    origin_pool.connections.append(connection)
                    self._serves.setdefault(connection, []).append(origin_pool)
                if connection.state is not State.OPEN:
                    # A failure, and not a reason to dial again at once: each waiting call retries a bounded number
                    # of times, with pauses.
                    failure = RequestNotProcessed(
                        f"{origin_pool.origin}: the server ended the connection before anything was sent"
                    )
                    failure.__cause__ = connection.error
            except H2WSError as error:
                failure = error
            except Exception as bug:
                failure = dial_bug(bug)
            finally:
                self._dials.discard(scope)
                origin_pool.dialling -= 1
        if failure is not None:
            origin_pool.fail(failure)
        origin_pool.advance()
        self._forget_if_unused(origin_pool)

    async def _connect(self, origin_pool: OriginPool) -> Connection:
        shared = await self._find_shared(origin_pool)
        if shared is not None:
            return shared
        assert self._dialer is not None
        return await self._dialer.dial(origin_pool.origin, origin_pool.protocol)

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
                origin_pool.connections.remove(connection)
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

    # WebSockets over HTTP/1.1: each has a connection to itself.

    async def dial_for_websocket(self, origin: Origin) -> Connection:
        """An HTTP/1.1 connection that carries one WebSocket. Raises ConnectFailed or LimitExceeded."""
        self._check_open()
        assert self._dialer is not None
        most = self._limits.max_http1_websockets
        open_now = sum(connection.upgraded and connection.origin == str(origin) for connection in self._serves)
        open_now += self._dialling_websockets.count(origin)
        if most is not None and open_now >= most:
            raise LimitExceeded("max_http1_websockets", most, f"WebSockets over HTTP/1.1 to {origin}")
        self._dialling_websockets.append(origin)
        try:
            connection = self._take_unused(origin)
            if connection is None:
                connection = await self._dialer.dial(origin, ProtocolChoice.HTTP1, tunnel_only=True)
        finally:
            self._dialling_websockets.remove(origin)
        if self._closed:
            self._end(connection)
            self._check_open()
        connection.reserved += 1
        connection.upgraded = True
        self._serves[connection] = []
        return connection

    def _take_unused(self, origin: Origin) -> Connection | None:
        """A connection that was dialled in the hope of HTTP/2 and got HTTP/1.1, and was not used yet."""
        origin_pool = self._origin_pools.get((origin, ProtocolChoice.BEST))
        for connection in origin_pool.connections if origin_pool is not None and origin.scheme == "https" else ():
            engine = connection.engine
            if engine.protocol == "HTTP/1.1" and not engine.bytes_sent and connection.free_slots > 0:
                assert origin_pool is not None
                origin_pool.connections.remove(connection)
                self._forget_if_unused(origin_pool)
                return connection
        return None

    def chose_http1(self, origin: Origin) -> bool:
        """Whether the origin chose HTTP/1.1 in the TLS handshake, as far as an open connection shows."""
        origin_pool = self._origin_pools.get((origin, ProtocolChoice.BEST))
        return origin_pool is not None and any(
            connection.engine.protocol == "HTTP/1.1" and connection.state is State.OPEN
            for connection in origin_pool.connections
        )

    # The end.

    def _check_open(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError("the client is closed")

    def close(self, *, gracefully: bool) -> None:
        """End everything: calls that wait get trio.ClosedResourceError; the connections are shut down, or aborted."""
        self._closed = True
        self._gracefully = gracefully
        for origin_pool in list(self._origin_pools.values()):
            origin_pool.fail(trio.ClosedResourceError("the client is closed"))
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
                connection.abort(ConnectFailed("the client was cancelled"), flush_seconds=0)
        except Exception as bug:  # the other connections must end as well
            connection.end_with_bug(bug)


def dial_bug(bug: Exception) -> ConnectFailed:
    """The error of the calls that wait for a dial in which `bug` was raised."""
    error = ConnectFailed(describe(bug))
    error.__cause__ = bug
    return error
