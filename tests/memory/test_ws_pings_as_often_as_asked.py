"""A WebSocket with a `ping_timeout` above its `ping_interval` sent its Pings only as often as the time-out.

The next Ping waited until the time for the answer to the last one was over, even if that had long been answered. With
the default time-out of 20 seconds, an interval of 5 that was to keep a path open was one of 20.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import frames, scripted_peer


@pytest.mark.parametrize("timeout", [None, 0.5, 20.0])
async def test_every_second(timeout: float | None, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/", ping_interval=1.0, ping_timeout=timeout)
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        start = trio.current_time()
        for number in range(1, 5):
            ping = await theirs.expect_frame(frames.PING)
            assert trio.current_time() - start == pytest.approx(number)
            await theirs.frame(frames.PONG, ping.payload)
        ws.abort()


async def test_an_unanswered_one_is_not_followed_by_another(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/", ping_interval=1.0, ping_timeout=3.5)
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        start = trio.current_time()
        await theirs.expect_frame(frames.PING)
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert isinstance(caught.value.__cause__, trio_h2ws.WebSocketError)
        assert trio.current_time() - start == pytest.approx(4.5)
        await theirs.expect_rst()
        assert len(theirs.request.body) == 6 + len(b"watch")
