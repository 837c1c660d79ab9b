"""trio_h2ws."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from ..servers.site import Site
from .kit import Setting, Socket, TrioKit, expect, pieces, trust

if TYPE_CHECKING:
    import trio_h2ws


class _Client:
    def __init__(self, client: trio_h2ws.Client, setting: Setting) -> None:
        self._client = client
        self._get = client.get
        self._setting = setting

    async def get(self, url: str) -> bytes:
        response = await self._get(url)
        expect((response.status, response.http_version), (200, self._setting.version))
        return response.content

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._client.stream("GET", url) as response:
            expect((response.status, response.http_version), (200, self._setting.version))
            yield aiter(response)

    async def upload(self, url: str, size: int) -> bytes:
        length = {"content-length": str(size)}
        response = await self._client.post(url, content=pieces(size), headers=length)
        expect((response.status, response.http_version), (200, self._setting.version))
        return response.content

    async def websocket(self, url: str) -> Socket:
        if not self._setting.deflate:
            ws = await self._client.connect_websocket(url, compression=None)
            return Socket(ws.send, ws.receive)
        ws = await self._client.connect_websocket(url)
        if "permessage-deflate" not in ws.response.headers.get("sec-websocket-extensions", ""):
            raise ValueError("the server did not agree to permessage-deflate")
        return Socket(ws.send, ws.receive)


class Kit(TrioKit):
    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        if setting.speedups:
            importlib.import_module("websockets.speedups")  # fails here if it is missing
        else:
            sys.modules["websockets.speedups"] = None  # type: ignore[assignment]  # importing it now fails
        self._library = importlib.import_module("trio_h2ws")

    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        http2 = "never" if self.setting.http1 else "auto"
        async with self._library.open_client(ssl_context=trust(site), http2=http2, trust_env=False) as client:
            yield _Client(client, self.setting)
