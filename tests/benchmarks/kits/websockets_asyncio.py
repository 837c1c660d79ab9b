"""websockets on asyncio, with its C extension."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets import speedups  # noqa: F401  (fails if the C extension, which this row measures, is missing)
from websockets.asyncio.client import connect

from ..servers.site import Site
from .kit import AsyncioKit, Socket, trust


class _Client:
    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    async def websocket(self, url: str) -> Socket:
        ws = await connect(url, ssl=self._context, compression=None, proxy=None)
        return Socket(ws.send, ws.recv)


class Kit(AsyncioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        yield _Client(trust(site))
