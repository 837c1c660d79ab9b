"""aiohttp, with its Cython extensions, over HTTP/1.1."""

from __future__ import annotations

import importlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from ..servers.site import Site
from .kit import AsyncioKit, Setting, Socket, expect, pieces, trust


class _Client:
    def __init__(self, session: aiohttp.ClientSession, context: ssl.SSLContext, setting: Setting) -> None:
        self._session = session
        self._context = context
        self._deflate = setting.deflate

    async def get(self, url: str) -> bytes:
        async with self._session.get(url, ssl=self._context) as response:
            expect(response.status, 200)
            return await response.read()

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._session.get(url, ssl=self._context) as response:
            expect(response.status, 200)
            yield response.content.iter_any()

    async def upload(self, url: str, size: int) -> bytes:
        length = {"content-length": str(size)}
        async with self._session.post(url, ssl=self._context, data=pieces(size), headers=length) as response:
            expect(response.status, 200)
            return await response.read()

    async def websocket(self, url: str) -> Socket:
        ws = await self._session.ws_connect(url, ssl=self._context, compress=15 if self._deflate else 0)
        expect(bool(ws.compress), self._deflate)
        return Socket(ws.send_str, ws.receive_str)


class Kit(AsyncioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        if self.setting.isal:
            isal: Any = importlib.import_module("isal.isal_zlib")
            aiohttp.set_zlib_backend(isal)
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(60)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            yield _Client(session, trust(site), self.setting)
