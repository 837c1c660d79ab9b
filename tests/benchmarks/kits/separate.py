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
        async with httpx2_.Kit().client(site) as http, trio_websocket_.Kit().client(site) as sockets:
            yield SimpleNamespace(get=http.get, stream=http.stream, websocket=sockets.websocket)
