"""aiohttp, with its Cython extensions, over HTTP/1.1."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp

from ..servers.site import Site
from .kit import AsyncioKit, Socket, trust


class _Client:
    def __init__(self, session: aiohttp.ClientSession, context: ssl.SSLContext) -> None:
        self._session = session
        self._context = context

    async def get(self, url: str) -> bytes:
        async with self._session.get(url, ssl=self._context) as response:
            return await response.read()

    async def websocket(self, url: str) -> Socket:
        ws = await self._session.ws_connect(url, ssl=self._context)
        return Socket(ws.send_str, ws.receive_str)


class Kit(AsyncioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            yield _Client(session, trust(site))
