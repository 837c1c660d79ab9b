"""WebSockets that were closing already counted as holding their slots for ever.

Two slots, one connection, both WebSockets closed by the peer: the next one was refused with LimitExceeded at once,
although the slots came free a moment later.
"""

from __future__ import annotations

import trio_h2ws
from trio_h2ws.testing import open_server


async def test_the_next_websocket_waits_for_the_slot() -> None:
    limits = trio_h2ws.Limits(max_connections_per_origin=1)
    async with open_server(settings={3: 2}) as server:
        async with trio_h2ws.open_client(ssl_context=server.ssl_context, limits=limits) as client:
            for _ in range(3):
                sockets = [await client.connect_websocket(f"{server.ws_url}/ws/close/1000") for _ in range(2)]
                for ws in sockets:
                    assert [message async for message in ws]
                    await ws.aclose()
            assert len(client.connections) == 1
