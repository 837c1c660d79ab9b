"""What the server's HTTP/2 and HTTP/1.1 connections have in common: their tasks, and the methods that tests call.

A connection runs in its own nursery (`serve`). Its reader, its writer and the tasks of its routes run inside
`_guard`, so none of them raises: a client that disconnects ends the connection, and a bug in the server ends it as
well and is recorded in `stats.errors`.

`freeze` is a gate before each read and each write (`_wait_while_frozen`), which checks again after every wait in case
the connection was frozen anew.
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
"""How long input is still read and discarded before the transport is closed. If unread bytes are left at the close,
the kernel resets the connection, and the client may lose what was sent last."""


class ServerConnection(ABC):
    """One transport, with a client at the other end."""

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
        """The requests and WebSockets that have not ended."""

    # What a test calls.

    @abstractmethod
    def goaway(self, last_stream_id: int | None = None, error_code: int = 0, debug_data: bytes = b"") -> None:
        """Accept no new requests."""

    @abstractmethod
    async def drain(self) -> None:
        """Shut down gracefully, and wait until that is done."""

    @abstractmethod
    def update_settings(self, settings: Mapping[int, int]) -> None:
        """Send a SETTINGS frame."""

    @abstractmethod
    def inject(self, data: bytes) -> None:
        """Send these bytes unchanged, after everything that is already queued."""

    def freeze(self) -> None:
        """Stop reading and writing, like a host that hangs. A read or write that is under way still completes."""
        if self._thawed is None:
            self._thawed = trio.Event()

    def thaw(self) -> None:
        """Resume after `freeze`."""
        if self._thawed is not None:
            self._thawed.set()
            self._thawed = None

    def abort(self) -> None:
        """Close the transport abruptly."""
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # Tasks.

    async def serve(self, first: bytes | bytearray = b"") -> None:
        """Run until the connection has ended. `first` holds the bytes that were already read."""
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
        """Read and write. The connection ends when this returns."""

    @abstractmethod
    def _forget_all(self) -> None:
        """Finalize every exchange that has not ended."""

    def spawn(self, async_fn: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a task that ends with this connection. If it raises, the connection ends."""
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
    """Send close_notify or a FIN, and discard what the client still sends until it closes its side."""
    inner = transport
    try:
        if isinstance(transport, trio.SSLStream):
            inner = transport.transport_stream
            with suppress(trio.BrokenResourceError):  # the client did not answer with its own close_notify
                await transport.unwrap()
        elif isinstance(transport, trio.abc.HalfCloseableStream):
            await transport.send_eof()
        while await inner.receive_some(READ_SIZE):
            pass
    finally:
        await trio.aclose_forcefully(inner)
