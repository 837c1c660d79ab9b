"""The keepalive of WebSockets: silent ones are pinged, dead ones end, and slow ones live."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import frames, open_websocket, scripted_peer
from trio_h2ws.testing import open_server


async def test_a_busy_websocket_is_not_pinged(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, ping_interval=1.0, ping_timeout=1.0)
        for n in range(50):
            await trio.sleep(0.7)
            await theirs.send(f"{n}")
            assert await ws.receive() == f"{n}"
        assert not theirs.request.body
        start = trio.current_time()
        await theirs.expect_frame(frames.PING)
        assert trio.current_time() - start == pytest.approx(1.0, abs=0.01)
        ws.abort()


async def test_any_byte_after_the_ping_is_a_sign_of_life(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, ping_interval=1.0, ping_timeout=1.0)
        large = frames.ws(frames.BINARY, bytes(3_000))
        for at in range(0, len(large), 100):  # of one message, a little each time
            await trio.sleep(0.9)
            await theirs.raw(large[at : at + 100])
        assert len(await ws.receive_bytes()) == 3_000
        ws.abort()


async def test_credit_alone_is_no_sign_of_life(autojump_clock: MockClock) -> None:
    """It proves that the first hop works, and says nothing about the server of the WebSocket."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, ping_interval=1.0, ping_timeout=2.0)

        async def credit() -> None:
            while True:
                await trio.sleep(0.5)
                try:
                    await peer.window_update(theirs, 10)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return

        peer.start_soon(credit)
        start = trio.current_time()
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert "did not answer a WebSocket Ping within 2 s" in str(caught.value.__cause__)
        assert trio.current_time() - start == pytest.approx(3.0, abs=0.2)


async def test_a_ping_that_waits_for_credit_is_not_late(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False
        ws, theirs = await open_websocket(peer, client, ping_interval=1.0, ping_timeout=2.0)
        sending = peer.call(ws.send, bytes(200_000))
        for _ in range(20):  # the peer takes the message slowly
            await trio.sleep(1.5)
            await peer.window_update(theirs, 7_000)
        assert not ws.close_code
        await peer.window_update(theirs, 100_000)
        await sending.result()
        # The Ping leaves after the message, and from then on it counts.
        start = trio.current_time()
        with pytest.raises(trio_h2ws.WebSocketClosed):
            await ws.receive()
        assert 1.9 < trio.current_time() - start < 4.1


async def test_a_peer_that_takes_nothing_is_dead(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False
        ws, _ = await open_websocket(peer, client, ping_interval=1.0, ping_timeout=2.0)
        await ws.send(bytes(60_000))
        peer.call(ws.send, bytes(200_000))
        start = trio.current_time()
        with pytest.raises(trio_h2ws.WebSocketClosed):
            await ws.receive()
        assert 2.9 < trio.current_time() - start < 5.2


async def test_sockets_with_different_intervals_are_independent(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        sockets = [await open_websocket(peer, client, ping_interval=n, ping_timeout=0.5) for n in (5.0, 1.0, 3.0)]
        start = trio.current_time()
        ends: list[float] = []
        for ws, _ in (sockets[1], sockets[2], sockets[0]):
            with pytest.raises(trio_h2ws.WebSocketClosed):
                await ws.receive()
            ends.append(trio.current_time() - start)
        assert ends == pytest.approx([1.5, 3.5, 5.5], abs=0.1)


async def test_a_websocket_that_is_closing_gets_no_ping(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client(timeouts=trio_h2ws.Timeouts(close=10)) as client:
        ws, theirs = await open_websocket(peer, client, ping_interval=1.0, ping_timeout=1.0)
        closing = peer.call(ws.aclose)
        await theirs.expect_close()
        await trio.sleep(5)
        await theirs.close()
        await closing.result()
        assert ws.close_code == 1000


async def test_silent_websockets_are_pinged_by_default(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(ping_interval=None)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        ws, theirs = await open_websocket(peer, client)
        other, others = await open_websocket(peer, client, ping_interval=None)
        start = trio.current_time()
        await theirs.expect_frame(frames.PING, within=100)
        assert trio.current_time() - start == pytest.approx(20, abs=0.01)
        with pytest.raises(trio_h2ws.WebSocketClosed, match="did not answer a WebSocket Ping within 20 s") as caught:
            await ws.receive()
        assert caught.value.code == 1006
        assert trio.current_time() - start == pytest.approx(40, abs=0.01)
        await trio.sleep(1000)
        assert not others.request.body
        other.abort()


async def test_timeouts_set_the_interval_for_all(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(websocket_ping_interval=5, websocket_ping_timeout=None)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        ws, theirs = await open_websocket(peer, client)
        for _ in range(5):
            start = trio.current_time()
            await theirs.expect_frame(frames.PING, within=100)
            assert trio.current_time() - start == pytest.approx(5, abs=0.01)
        ws.abort()


@pytest.mark.parametrize("http2", ["require", "never"])
async def test_many_silent_websockets_live(http2: Any, autojump_clock: MockClock) -> None:
    async with (
        open_server(memory=True, tls=False) as server,
        trio_h2ws.open_client(base_url=server.url, http2=http2, open_stream=server.open_stream) as client,
        client.open_websocket_group(["/ws/echo"] * 50, ping_interval=20, ping_timeout=20) as group,
    ):
        await trio.sleep(3600)
        for ws in group.websockets:
            await ws.send("still here")
            assert await ws.receive() == "still here"
