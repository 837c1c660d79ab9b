"""HTTP/1.1 servers over memory streams, for tests on a mock clock: what a test's function writes arrives at once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from trio.testing import memory_stream_pair

import trio_h2ws

from .http1 import Peer
from .listener import GONE


class MemoryServers:
    """Each dial of the client reaches a server. `accepted` counts them."""

    def __init__(self, client: trio_h2ws.Client) -> None:
        self.client = client
        self.accepted = 0


@asynccontextmanager
async def memory_http1(serve: Callable[[Peer], Awaitable[None]], **options: Any) -> AsyncIterator[MemoryServers]:
    """A client of `http://server.test`. Each of its connections is served by `serve(peer)`, and closed after it."""

    async def serve_one(stream: trio.abc.Stream) -> None:
        try:
            await serve(Peer(stream))
        except GONE:
            pass  # the client closed the connection: the test knows why
        finally:
            await trio.aclose_forcefully(stream)

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair()
        servers.accepted += 1
        nursery.start_soon(serve_one, theirs)
        return ours

    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        # The test's own exception never enters the nursery, so it comes out bare.
        try:
            async with trio_h2ws.open_client(
                base_url="http://server.test", open_stream=open_stream, **options
            ) as client:
                servers = MemoryServers(client)
                yield servers
        except BaseException as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
