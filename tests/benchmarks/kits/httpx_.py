"""httpx and httpx2, which share an API, over HTTP/2 on Trio."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..servers.site import Site
from .kit import TrioKit, trust


class Client:
    def __init__(self, client: Any) -> None:
        self._client = client

    async def get(self, url: str) -> bytes:
        content: bytes = (await self._client.get(url)).content
        return content

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._client.stream("GET", url) as response:
            yield response.aiter_bytes()


class Kit(TrioKit):
    library = "httpx"

    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[Client]:
        httpx = importlib.import_module(self.library)
        limits = httpx.Limits(max_connections=1)
        timeout = httpx.Timeout(60)
        async with httpx.AsyncClient(
            http1=False, http2=True, verify=trust(site), limits=limits, timeout=timeout, trust_env=False
        ) as client:
            yield Client(client)
