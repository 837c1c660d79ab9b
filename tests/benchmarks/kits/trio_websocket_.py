"""trio-websocket."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio_websocket

from ..servers.site import Site
from .kit import Socket, TrioKit, trust


class _Client:
    def __init__(self, nursery: trio.Nursery, context: ssl.SSLContext) -> None:
        self._nursery = nursery
        self._context = context

    async def websocket(self, url: str) -> Socket:
        ws = await trio_websocket.connect_websocket_url(self._nursery, url, self._context)
        return Socket(ws.send_message, ws.get_message)


class Kit(TrioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        async with trio.open_nursery() as nursery:
            yield _Client(nursery, trust(site))
            nursery.cancel_scope.cancel()
