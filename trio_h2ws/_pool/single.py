"""Connections that serve a single call, and never another one: no queue leads to them.

A WebSocket over HTTP/1.1 needs such a connection by its nature. A request that has ended other connections gets one
so that it can't end a third that others use. The call dials in its own task, and the connection is shut down when its
stream has ended.

`Limits.max_http1_websockets` bounds the first kind. Of the second kind there are no more at a time, to one origin,
than `Limits.max_connections_per_origin`: when a connection has ended under many calls, all of them may need one.
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import trio

from .._config import Limits
from .._connection.connection import Connection, State
from .._errors import LimitExceeded
from .._http.url import Origin
from .capacity import Capacity
from .dial import Dialer, ProtocolChoice
from .waiters import OnPhase


class Owner(Protocol):
    """What it needs of the client's pool."""

    capacity: Capacity

    @property
    def dialer(self) -> Dialer: ...
    def check_open(self) -> None: ...

    def take_unused(self, origin: Origin) -> Connection | None:
        """An HTTP/1.1 connection that was not used yet, and is in no queue any more."""
        ...

    def adopt(self, connection: Connection) -> None:
        """It is one of the client's from now on. Raises trio.ClosedResourceError if the client is closed."""
        ...


class SingleConnections:
    def __init__(self, limits: Limits, owner: Owner) -> None:
        self._limits = limits
        self._owner = owner
        self._websockets: Counter[str] = Counter()  # by origin: open ones, and those that are being dialled
        self._limiters: dict[str, trio.CapacityLimiter] = {}
        self._alone: dict[Connection, tuple[trio.CapacityLimiter, object]] = {}

    async def for_websocket(self, origin: Origin) -> Connection:
        """An HTTP/1.1 connection, to be upgraded. Raises ConnectFailed or LimitExceeded."""
        self._owner.check_open()
        name, most = str(origin), self._limits.max_http1_websockets
        if most is not None and self._websockets[name] >= most:
            raise LimitExceeded("max_http1_websockets", most, f"WebSockets over HTTP/1.1 to {origin}")
        self._websockets[name] += 1
        try:
            connection = self._owner.take_unused(origin) or await self._dial(
                origin, ProtocolChoice.HTTP1, tunnel_only=True
            )
            self._adopt(connection, origin)
        except BaseException:
            self._forget_websocket(name)
            raise
        connection.upgraded = True
        return connection

    async def alone(self, origin: Origin, protocol: ProtocolChoice, on_phase: OnPhase | None) -> Connection:
        """A connection for one request: retire it as soon as its stream is open. Raises ConnectFailed."""
        self._owner.check_open()
        if on_phase is not None:
            on_phase("connect")
        name = str(origin)
        limiter = self._limiters.get(name)
        if limiter is None:
            limiter = self._limiters[name] = trio.CapacityLimiter(self._limits.max_connections_per_origin)
        token = object()
        try:
            await limiter.acquire_on_behalf_of(token)
            connection = await self._dial(origin, protocol)
            self._adopt(connection, origin)
        except BaseException:
            self._release(name, limiter, token)
            raise
        self._alone[connection] = (limiter, token)
        return connection

    async def _dial(self, origin: Origin, protocol: ProtocolChoice, *, tunnel_only: bool = False) -> Connection:
        owner = self._owner
        await owner.capacity.wait_for_place()
        dialled: Connection | None = None
        try:
            dialled = await owner.dialer.dial(origin, protocol, tunnel_only=tunnel_only)
            return dialled
        finally:
            owner.capacity.end_dial(dialled)

    def _adopt(self, connection: Connection, origin: Origin) -> None:
        """With its only slot reserved."""
        self._owner.adopt(connection)
        if connection.state is State.CLOSED:
            raise connection.unusable()
        connection.reserved += 1

    def on_closed(self, connection: Connection) -> None:
        """For every connection of the client."""
        if connection.upgraded:
            self._forget_websocket(connection.origin)
        elif connection in self._alone:
            self._release(connection.origin, *self._alone.pop(connection))

    def _forget_websocket(self, origin: str) -> None:
        self._websockets[origin] -= 1
        if not self._websockets[origin]:
            del self._websockets[origin]

    def _release(self, origin: str, limiter: trio.CapacityLimiter, token: object) -> None:
        if token in limiter.statistics().borrowers:
            limiter.release_on_behalf_of(token)
        if not limiter.borrowed_tokens:
            del self._limiters[origin]
