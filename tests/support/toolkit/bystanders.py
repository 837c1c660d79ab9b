"""WebSockets that are open during a fault and must not be affected by it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hyperframe.frame as hf

import trio_h2ws

from .peer import Peer, PeerSocket


class Bystanders:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._rounds = 0
        self.sockets: list[tuple[trio_h2ws.WebSocket, PeerSocket]] = []

    async def check(self) -> None:
        """Assert that each of them still works, and that none of their streams was touched."""
        self._rounds += 1
        for ws, theirs in self.sockets:
            await ws.send(f"still here {self._rounds} {theirs.stream}")
        for ws, theirs in self.sockets:
            assert await ws.receive() == f"still here {self._rounds} {theirs.stream}"
            assert not self._peer.sent(hf.RstStreamFrame, theirs)
        assert not self._peer.sent(hf.GoAwayFrame)
        assert not self._peer.eof


@asynccontextmanager
async def bystanders(peer: Peer, client: trio_h2ws.Client, count: int = 5) -> AsyncIterator[Bystanders]:
    """Open `count` WebSockets that the peer echoes. They are checked now and at the end of the block."""
    group = Bystanders(peer)
    for _ in range(count):
        opening = peer.call(client.connect_websocket, "/beside")
        theirs = await peer.accept_websocket()
        peer.start_soon(theirs.echo)
        group.sockets.append((await opening.result(), theirs))
    await group.check()
    yield group
    await group.check()
    for ws, _ in group.sockets:
        ws.abort()
