"""httpx and httpx2, which share an API, over HTTP/2 or HTTP/1.1 on Trio."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from ..servers.site import Site
from .kit import Setting, TrioKit, expect, pieces, trust


class _Client:
    def __init__(self, client: Any, setting: Setting) -> None:
        self._client = client
        self._setting = setting

    async def get(self, url: str) -> bytes:
        response = await self._client.get(url)
        expect((response.status_code, response.http_version), (200, self._setting.version))
        content: bytes = response.content
        return content

    @asynccontextmanager
    async def stream(self, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._client.stream("GET", url) as response:
            expect((response.status_code, response.http_version), (200, self._setting.version))
            yield response.aiter_bytes()

    async def upload(self, url: str, size: int) -> bytes:
        length = {"content-length": str(size)}
        response = await self._client.post(url, content=pieces(size), headers=length)
        expect((response.status_code, response.http_version), (200, self._setting.version))
        content: bytes = response.content
        return content


class Kit(TrioKit):
    library = "httpx"

    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        httpx = importlib.import_module(self.library)
        http1 = self.setting.http1
        if not http1:
            limits = httpx.Limits(max_connections=1)
        elif self.setting.keep_all:
            limits = httpx.Limits(max_connections=100)
        else:
            limits = httpx.Limits(max_connections=100, max_keepalive_connections=20)  # the defaults
        async with httpx.AsyncClient(
            http1=http1, http2=not http1, verify=trust(site), limits=limits, timeout=60, trust_env=False
        ) as client:
            yield _Client(client, self.setting)
