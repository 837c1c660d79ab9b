"""Keepalive: PINGs, peers that died without a word, the round-trip time, and connections that end when they are
idle."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import connection_of, scripted_peer
from trio_h2ws.testing import open_server


@pytest.mark.parametrize(("interval", "timeout"), [(20, 20), (5, 1), (1, 30)])
async def test_a_dead_peer_fails_every_call_in_time(
    autojump_clock: MockClock, interval: float, timeout: float
) -> None:
    timeouts = trio_h2ws.Timeouts(ping_interval=interval, ping_timeout=timeout, handshake=1000)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await theirs.send("last message")
        await peer.settle()
        start = trio.current_time()
        peer.pause()
        calls = [
            peer.call(ws.receive_text),
            peer.call(client.get, "/a"),
            peer.call(client.get, "/b"),
            peer.call(client.connect_websocket, "/c"),
            peer.call(ws.ping),
        ]
        assert await calls.pop(0).result() == "last message"
        calls.append(peer.call(ws.receive))
        errors = [await call.error(trio_h2ws.ConnectionTimedOut, within=1000) for call in calls]
        assert trio.current_time() - start == pytest.approx(interval + timeout, abs=0.1)
        # Each gets its own exception object.
        assert len({id(error) for error in errors}) == len(errors)
        assert all(isinstance(error, trio.BrokenResourceError) for error in errors)
        assert client.connections == []
        # And the next call dials.
        again = peer.call(client.get, "/again")
        other = peer.another()
        await other.respond(await other.expect_headers())
        await again.result()


async def test_a_peer_that_answers_pings_stays_connected(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await trio.sleep(3600)
        assert 100 < len(peer.sent(hf.PingFrame)) < 200
        await theirs.send("still here")
        assert await ws.receive() == "still here"
        ws.abort()


async def test_a_peer_that_sends_frames_is_not_pinged(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_pong = False
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        for n in range(100):
            await trio.sleep(10)
            await theirs.send(f"{n}")
            assert await ws.receive() == f"{n}"
        assert len(peer.sent(hf.PingFrame)) == 1  # the first one, for the round trip
        ws.abort()


async def test_a_connection_that_died_while_idle_is_noticed_in_time(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await call.result()
        await trio.sleep(200)
        peer.pause()
        start = trio.current_time()
        call = peer.call(client.get, "/")
        await call.error(trio_h2ws.ConnectionTimedOut, within=1000)
        assert trio.current_time() - start <= 40.1


async def test_an_idle_connection_is_not_pinged(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await call.result()
        await trio.sleep(250)
        assert len(peer.sent(hf.PingFrame)) == 1


async def test_keepalive_can_be_switched_off(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(ping_interval=None)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        peer.auto_pong = False
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await trio.sleep(10_000)
        await theirs.send("late")
        assert await ws.receive() == "late"
        assert len(peer.sent(hf.PingFrame)) == 1
        ws.abort()


async def test_an_unasked_ping_ack_is_not_a_round_trip(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_pong = False
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        payload = await peer.expect_ping()
        await peer.ping(b"unasked!", ack=True)
        await trio.sleep(0.5)
        await peer.ping(payload, ack=True)
        await peer.respond(request)
        await call.result()
        assert connection_of(client).info().round_trip_time == pytest.approx(0.5, abs=0.01)


# Idle ends.


async def test_an_idle_connection_ends_with_goaway(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(idle=60)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await trio.sleep(100)  # a connection with an open stream is not idle
        await peer.respond(request)
        await call.result()
        start = trio.current_time()
        await peer.expect_goaway(0, within=1000)
        assert trio.current_time() - start == pytest.approx(60, abs=0.1)
        await peer.expect_eof()
        assert client.connections == []
        again = peer.call(client.get, "/again")
        other = peer.another()
        await other.respond(await other.expect_headers())
        await again.result()


@pytest.mark.parametrize("idle", [0, 0.001])
async def test_a_connection_without_idle_time_still_serves(autojump_clock: MockClock, idle: float) -> None:
    timeouts = trio_h2ws.Timeouts(idle=idle)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await trio.sleep(1)
        await peer.respond(request)
        await call.result()
        await peer.expect_eof()
        assert peer.dials == 1


@pytest.mark.parametrize("idle", [0.1, 0.3, 1 / 3, 0.7, 1.1, 2.3, 7.77, 12345.6789])
@pytest.mark.parametrize("http2", ["require", "never"])
async def test_virtual_time_goes_on_after_any_idle_time(http2: str, idle: float, autojump_clock: MockClock) -> None:
    """A timer whose rest is rounded away ran for ever, at the same virtual time."""
    timeouts = trio_h2ws.Timeouts(ping_interval=20, ping_timeout=20, idle=3600, handshake=100_000)
    async with open_server(memory=True, tls=False) as server:
        async with trio_h2ws.open_client(
            base_url=server.url,
            open_stream=server.open_stream,
            http2=http2,  # type: ignore[arg-type]
            timeouts=timeouts,
        ) as client:
            await trio.sleep(idle)
            await client.get("/")
            await trio.sleep(idle)
            async with client.websocket(f"{server.ws_url}/ws/echo", ping_interval=idle * 1.7) as ws:
                start = trio.current_time()
                with trio.move_on_after(60.6):
                    await client.get("/hang")
                with trio.move_on_after(60.6):
                    await ws.receive()
                assert trio.current_time() - start == pytest.approx(121.2)
            start = trio.current_time()
            await trio.sleep(7200)
            assert client.connections == []  # the idle time has ended them
