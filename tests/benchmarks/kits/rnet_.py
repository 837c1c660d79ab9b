"""rnet: a client in Rust with its own threads, used from asyncio. The CPU time of those threads is counted."""

from __future__ import annotations

import pathlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import rnet

from ..servers.site import Site
from .kit import AsyncioKit, Setting, expect


class _Client:
    def __init__(self, client: rnet.Client, setting: Setting) -> None:
        self._client = client
        self._version = rnet.Version.HTTP_11 if setting.http1 else rnet.Version.HTTP_2

    async def get(self, url: str) -> bytes:
        response = await self._client.get(url)
        expect((response.status, response.version), (200, self._version))
        body: bytes = await response.bytes()
        return body


class Kit(AsyncioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        http1 = self.setting.http1
        client = rnet.Client(verify=pathlib.Path(site.cafile), http1_only=http1, http2_only=not http1, no_proxy=True)
        yield _Client(client, self.setting)
