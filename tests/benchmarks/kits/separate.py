"""The combination that this library replaces: trio-websocket and httpx2, each with separate connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

from ..servers.site import Site
from . import httpx2_, trio_websocket_
from .kit import TrioKit


class Kit(TrioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[Any]:
        http_kit, socket_kit = httpx2_.Kit(self.setting), trio_websocket_.Kit(self.setting)
        async with http_kit.client(site) as http, socket_kit.client(site) as sockets:
            yield SimpleNamespace(get=http.get, stream=http.stream, upload=http.upload, websocket=sockets.websocket)
