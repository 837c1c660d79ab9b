"""httpcore2 over HTTP/2 on Trio: the layer below httpx2, used directly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpcore2

from ..servers.site import Site
from .kit import TrioKit, expect, trust


class _Client:
    def __init__(self, pool: httpcore2.AsyncConnectionPool) -> None:
        self._pool = pool

    async def get(self, url: str) -> bytes:
        response = await self._pool.request("GET", url)
        expect(response.status, 200)
        return response.content

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._pool.stream("GET", url) as response:
            expect(response.status, 200)
            yield response.aiter_stream()


class Kit(TrioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        async with httpcore2.AsyncConnectionPool(
            ssl_context=trust(site), max_connections=1, http1=False, http2=True
        ) as pool:
            yield _Client(pool)
