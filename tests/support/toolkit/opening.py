"""An open WebSocket between a client and its scripted peer."""

from __future__ import annotations

from typing import Any

import trio_h2ws

from .peer import Peer, PeerSocket


async def open_websocket(
    peer: Peer, client: trio_h2ws.Client, *, headers: Any = (), **options: Any
) -> tuple[trio_h2ws.WebSocket, PeerSocket]:
    """Both ends. `headers` are those of the peer's answer, `options` those of `connect_websocket`."""
    opening = peer.call(client.connect_websocket, "/", **options)
    theirs = await peer.accept_websocket(headers)
    return await opening.result(), theirs
