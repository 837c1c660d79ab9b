"""httpx over HTTP/1.1 on Trio, with its usual bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from ..servers.site import Site
from .httpx_ import Client
from .kit import TrioKit, trust


class Kit(TrioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[Client]:
        async with httpx.AsyncClient(verify=trust(site), timeout=60, trust_env=False) as client:
            yield Client(client)
