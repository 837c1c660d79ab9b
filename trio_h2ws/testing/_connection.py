"""What the server's connections have in common, whichever HTTP they speak: their tasks, and a test's verbs.

A connection runs in a nursery of its own (`serve`). Its reader, its writer and the tasks of its routes go through
`_guard`, so none of them raises: a client that went away ends the connection, a bug of ours ends it and is kept in
`stats.errors`.

`freeze` is a gate in front of each read and each write (`_wait_while_frozen`). Both ask again after every pause.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import trio

from ._exchange import Exchange, Options
from ._stats import Stats
from ._websocket import WebSockets

log = logging.getLogger("trio_h2ws.testing")

READ_SIZE = 64 * 1024
DISCARD_SECONDS = 0.5
"""How long the rest of what a client sends is read and dropped. Closing with unread bytes makes the kernel destroy
what was sent last."""


class ServerConnection(ABC):
    """One transport with a client at its other end."""

    def __init__(self, transport: trio.abc.Stream, stats: Stats, options: Options) -> None:
        self.transport = transport
        self.stats = stats
        self.options = options
        self.websockets: WebSockets = {}
        self._over = trio.Event()
        self._thawed: trio.Event | None = None
        self._nursery: trio.Nursery | None = None

    @property
    @abstractmethod
    def exchanges(self) -> Sequence[Exchange]:
        """The requests and WebSockets that are not over."""

    # The verbs of a test.

    @abstractmethod
    def goaway(self, last_stream_id: int | None = None, error_code: int = 0, debug_data: bytes = b"") -> None:
        """Take no new requests."""

    @abstractmethod
    async def drain(self) -> None:
        """Go away gracefully, and wait for that."""

    @abstractmethod
    def update_settings(self, settings: Mapping[int, int]) -> None:
        """Send a SETTINGS frame."""

    @abstractmethod
    def inject(self, data: bytes) -> None:
        """Send these bytes as they are, after everything that was made before."""

    def freeze(self) -> None:
        """Read and write nothing more, like a host that hangs. What one read or write has begun is finished."""
        if self._thawed is None:
            self._thawed = trio.Event()

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    def abort(self) -> None:
        """End the transport without a word."""
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # Tasks.

    async def serve(self, first: bytes | bytearray = b"") -> None:
        """Run until the connection is over. `first` are bytes that were already read."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                await self._guard(self._run, first)
                nursery.cancel_scope.cancel()
        finally:
            self._forget_all()
            self._over.set()
            await trio.aclose_forcefully(self.transport)

    @abstractmethod
    async def _run(self, first: bytes | bytearray) -> None:
        """Read and write. When this returns the connection is over."""

    @abstractmethod
    def _forget_all(self) -> None:
        """Tell each exchange that lives that it is over."""

    def spawn(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task of this connection; it ends with it, and what it raises goes no further."""
        if self._nursery is not None:
            self._nursery.start_soon(self._guard, async_fn, *args)

    async def _guard(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await async_fn(*args)
            return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Exception as error:
            log.exception("the testing server has a bug")
            self.stats.errors.append(error)
        self.abort()

    async def _wait_while_frozen(self) -> None:
        while self._thawed is not None:
            await self._thawed.wait()


async def close_gracefully(transport: trio.abc.Stream) -> None:
    """Tell the client that this is the end, and drop what it still sends until it has understood."""
    inner = transport
    try:
        if isinstance(transport, trio.SSLStream):
            inner = transport.transport_stream
            with suppress(trio.BrokenResourceError):  # it did not answer our close_notify with its own
                await transport.unwrap()
        elif isinstance(transport, trio.abc.HalfCloseableStream):
            await transport.send_eof()
        while await inner.receive_some(READ_SIZE):
            pass
    finally:
        await trio.aclose_forcefully(inner)
