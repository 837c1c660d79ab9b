"""websockets on asyncio, with its C extension."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets import speedups  # noqa: F401  (fails if the C extension, which this row measures, is missing)
from websockets.asyncio.client import connect

from ..servers.site import Site
from .kit import AsyncioKit, Setting, Socket, expect, trust


class _Client:
    def __init__(self, context: ssl.SSLContext, setting: Setting) -> None:
        self._context = context
        self._deflate = setting.deflate

    async def websocket(self, url: str) -> Socket:
        compression = "deflate" if self._deflate else None
        ws = await connect(url, ssl=self._context, compression=compression, proxy=None)
        expect(bool(ws.protocol.extensions), self._deflate)
        return Socket(ws.send, ws.recv)


class Kit(AsyncioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        yield _Client(trust(site), self.setting)
