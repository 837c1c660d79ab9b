"""What a load needs from a client library and its event loop."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from ..servers.site import Site

T = TypeVar("T")
Task = Callable[[], Awaitable[None]]

PIECE = bytes(64 * 1024)
"""What uploads are made of."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How a library is used. Plain data, because it crosses a process boundary."""

    http1: bool = False
    """HTTP/1.1, where HTTP/2 would be the kit's choice."""
    keep_all: bool = False
    """httpx and httpx2 keep all HTTP/1.1 connections, not 20: cheaper with fast answers, dearer with slow ones."""
    deflate: bool = False
    """WebSockets offer permessage-deflate, and fail if the server does not agree."""
    uvloop: bool = False
    """asyncio runs on uvloop."""
    isal: bool = False
    """aiohttp compresses with isal instead of zlib."""
    speedups: bool = False
    """Ours may use what the extra `speedups` installs. Otherwise it must not, though peers need the same package."""

    @property
    def version(self) -> str:
        return "HTTP/1.1" if self.http1 else "HTTP/2"


class Socket(NamedTuple):
    """The library's methods that send and receive on one WebSocket."""

    send: Callable[[str], Awaitable[Any]]
    receive: Callable[[], Awaitable[Any]]


class Client(Protocol):
    """One client of the library. A kit has the methods that its library supports. What was not answered with 200, or
    over another version of HTTP than the setting says, fails."""

    async def get(self, url: str) -> bytes: ...
    def stream(self, url: str) -> AbstractAsyncContextManager[AsyncIterator[bytes]]: ...
    async def upload(self, url: str, size: int) -> bytes: ...
    async def websocket(self, url: str) -> Socket: ...


class Kit(Protocol):
    def __init__(self, setting: Setting) -> None: ...
    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T: ...
    async def gather(self, tasks: Sequence[Task]) -> None: ...
    async def sleep(self, seconds: float) -> None: ...
    def client(self, site: Site) -> AbstractAsyncContextManager[Any]: ...


class TrioKit:
    """The event loop's part, for libraries on Trio."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

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
    """The event loop's part, for libraries on asyncio: its own loop, or uvloop."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting

    def run(self, main: Callable[[], Coroutine[Any, Any, T]]) -> T:
        if not self.setting.uvloop:
            return asyncio.run(main())
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(main())

    async def gather(self, tasks: Sequence[Task]) -> None:
        await asyncio.gather(*(task() for task in tasks))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def pieces(size: int) -> AsyncIterator[bytes]:
    """A body of `size` bytes, in pieces of 64 KiB."""
    for start in range(0, size, len(PIECE)):
        yield PIECE[: size - start]


def trust(site: Site) -> ssl.SSLContext:
    """A context that trusts the site's certificate authority; every client gets the same one."""
    context = ssl.create_default_context(cafile=site.cafile)
    # Python 3.13 requires extensions that the certificate of a throw-away authority may lack.
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)
    return context


def expect(found: object, wanted: object) -> None:
    """Not `assert`, and not only a warning: a peer must not look cheap because its answers are wrong."""
    if found != wanted:
        raise ValueError(f"got {found!r} instead of {wanted!r}")
