"""websockets on Trio."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
from websockets.trio.client import connect

from ..servers.site import Site
from .kit import Socket, TrioKit, trust


class _Client:
    def __init__(self, nursery: trio.Nursery, context: ssl.SSLContext) -> None:
        self._nursery = nursery
        self._context = context

    async def websocket(self, url: str) -> Socket:
        # In that library's favour: with `async with connect(…)` each WebSocket would need a task and a nursery.
        ws = await connect(url, ssl=self._context, compression=None, proxy=None).connect(self._nursery)
        return Socket(ws.send, ws.recv)


class Kit(TrioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        async with trio.open_nursery() as nursery:
            yield _Client(nursery, trust(site))
            nursery.cancel_scope.cancel()
