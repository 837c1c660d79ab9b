"""Pings and Pongs of one WebSocket: ours, the server's, and `ping_interval`."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

import trio_h2ws
from toolkit import frames, open_websocket, scripted_peer
from trio_h2ws.testing import open_server


async def test_ping_waits_for_its_pong() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        first, second = peer.call(ws.ping), peer.call(ws.ping)
        await theirs.expect_frame(frames.PING)
        latest = await theirs.expect_frame(frames.PING)
        await theirs.frame(frames.PONG, b"unasked")
        await peer.settle()
        assert not first.done
        assert not second.done
        # A Pong for the latest answers all earlier ones.
        await theirs.frame(frames.PONG, latest.payload)
        assert await first.result() >= 0
        assert await second.result() >= 0
        third = peer.call(ws.ping)
        await theirs.expect_frame(frames.PING)
        await theirs.close(1000)
        await third.error(trio_h2ws.WebSocketClosed)


async def test_pings_are_answered_while_the_application_is_busy() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        for n in range(20):
            await theirs.send(f"{n}")
            await theirs.frame(frames.PING, f"{n}".encode())
            assert (await theirs.expect_frame(frames.PONG)).payload == f"{n}".encode()
        assert [await ws.receive() for _ in range(20)] == [f"{n}" for n in range(20)]
        ws.abort()


# ping_interval and ping_timeout.


@pytest.mark.parametrize("timeout", [None, 0.5, 20.0])
async def test_pings_are_sent_at_the_interval(timeout: float | None, autojump_clock: MockClock) -> None:
    """The next Ping waits for the interval, not for the end of the last one's time-out."""
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


async def test_no_ping_follows_an_unanswered_one(autojump_clock: MockClock) -> None:
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
        assert len(theirs.request.body) == 6 + len(b"keepalive")


@pytest.mark.parametrize("http2", ["require", "never"])
@pytest.mark.parametrize("pause", [5, 30])
async def test_a_slow_application_misses_no_pong(http2: Any, pause: float, autojump_clock: MockClock) -> None:
    """The Pong comes after messages for which there is no room, so it has not been read while they wait."""
    async with (
        open_server(memory=True, tls=False) as server,
        trio_h2ws.open_client(base_url=server.url, http2=http2, open_stream=server.open_stream) as client,
        client.websocket("/ws/echo", ping_interval=1, ping_timeout=2) as ws,
    ):
        for _ in range(90):
            await ws.send(bytes(20_000))  # of the echoes, about 64 are queued, and the rest waits as bytes
            await trio.sleep(0.01)
        await trio.sleep(pause)
        for _ in range(90):
            assert len(await ws.receive()) == 20_000
        await trio.sleep(10)
        await ws.send("still here")
        assert await ws.receive() == "still here"


async def test_a_dead_peer_is_noticed_when_the_application_has_taken_all(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(ping_interval=None)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        opening = peer.call(client.connect_websocket, "/", ping_interval=1, ping_timeout=2)
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await theirs.raw(frames.ws(frames.TEXT, "m") * 100)
        await trio.sleep(20)
        assert [await ws.receive() for _ in range(100)] == ["m"] * 100
        start = trio.current_time()
        with pytest.raises(trio_h2ws.WebSocketClosed) as closed:
            await ws.receive()
        assert closed.value.code == 1006
        assert trio.current_time() - start <= 4
