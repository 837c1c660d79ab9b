"""What a load needs from a client library and its event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

from ..servers.site import Site

T = TypeVar("T")
Task = Callable[[], Awaitable[None]]


class Socket(NamedTuple):
    """The library's methods that send and receive on one WebSocket."""

    send: Callable[[str], Awaitable[Any]]
    receive: Callable[[], Awaitable[Any]]


class Client(Protocol):
    """One client of the library. A kit has the methods that its library supports."""

    async def get(self, url: str) -> bytes: ...
    def stream(self, url: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...
    async def websocket(self, url: str) -> Socket: ...


class Kit(Protocol):
    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T: ...
    async def gather(self, tasks: Sequence[Task]) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    def client(self, site: Site) -> AbstractAsyncContextManager[Any]: ...


class TrioKit:
    """The event loop's part, for libraries on Trio."""

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        import trio

        self._trio = trio
        return trio.run(main)

    async def gather(self, tasks: Sequence[Task]) -> None:
        async with self._trio.open_nursery() as nursery:
            for task in tasks:
                nursery.start_soon(task)

    async def sleep(self, seconds: float) -> None:
        await self._trio.sleep(seconds)


class AsyncioKit:
    """The event loop's part, for libraries on asyncio."""

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return asyncio.run(main())

    async def gather(self, tasks: Sequence[Task]) -> None:
        await asyncio.gather(*(task() for task in tasks))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def trust(site: Site) -> ssl.SSLContext:
    """A context that trusts the site's certificate authority; every client gets the same one."""
    context = ssl.create_default_context(cafile=site.cafile)
    # Python 3.13 requires extensions that the certificate of a throw-away authority may lack.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context
