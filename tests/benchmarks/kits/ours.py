"""trio_h2ws."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio_h2ws

from ..servers.site import Site
from .kit import Socket, TrioKit, trust


class _Client:
    def __init__(self, client: trio_h2ws.Client) -> None:
        self._client = client
        self._get = client.get

    async def get(self, url: str) -> bytes:
        return (await self._get(url)).content

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._client.stream("GET", url) as response:
            yield aiter(response)

    async def websocket(self, url: str) -> Socket:
        ws = await self._client.connect_websocket(url, compression=None)
        return Socket(ws.send, ws.receive)


class Kit(TrioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        async with trio_h2ws.open_client(ssl_context=trust(site)) as client:
            yield _Client(client)
