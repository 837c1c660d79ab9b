"""Keepalive: PINGs, peers that died without a word, the round-trip time, and connections that end when they are
idle."""

from __future__ import annotations

from typing import Any

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, assert_clean, connection_of, open_websocket, scripted_peer
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
    timeouts = trio_h2ws.Timeouts(probe_after=None)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
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
    timeouts = trio_h2ws.Timeouts(ping_interval=None, websocket_ping_interval=None)
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


# Doubt: a call was given up unanswered, so the connection may be a black hole.


async def answered(peer: Peer, client: trio_h2ws.Client) -> None:
    call = peer.call(client.get, "/before")
    await peer.respond(await peer.expect_headers())
    await call.result()


async def give_up(client: trio_h2ws.Client, seconds: float = 2) -> None:
    with trio.move_on_after(seconds) as scope:
        await client.get("/unanswered")
    assert scope.cancelled_caught


@pytest.mark.parametrize("transport", ["memory", "lockstep"])
@pytest.mark.parametrize("before", [0, 3, 100])
async def test_a_black_hole_is_not_used_by_the_next_call(
    autojump_clock: MockClock, transport: Any, before: float
) -> None:
    async with scripted_peer(transport=transport) as peer, peer.open_client() as client:
        await answered(peer, client)
        await trio.sleep(before)
        peer.pause()
        await give_up(client)
        start = trio.current_time()
        other = peer.another()
        other.serve()
        assert (await client.get("/next")).content == b"/next"
        assert (await client.post("/next", content=b"x")).content == b"/nextx"
        assert trio.current_time() - start < 1
        assert peer.dials == 2


async def test_many_calls_leave_a_black_hole_with_one_dial(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await answered(peer, client)
        peer.pause()
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(give_up, client)
        peer.another().serve()
        async with trio.open_nursery() as nursery:
            for n in range(10):
                nursery.start_soon(client.get, f"/{n}")
        assert peer.dials == 2
        peer.resume()
        await peer.settle()
        assert len(peer.sent(hf.PingFrame)) == 2  # one for the round trip, one for all of this


@pytest.mark.parametrize("method", ["request", "stream", "body", "websocket", "handshake timeout"])
async def test_every_kind_of_call_casts_doubt(autojump_clock: MockClock, method: str) -> None:
    timeouts = trio_h2ws.Timeouts(handshake=2)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        await answered(peer, client)

        async def run() -> None:
            if method == "request":
                await client.get("/")
            elif method == "websocket":
                await client.connect_websocket("/")
            else:
                async with client.stream("GET", "/") as response:
                    await response.read()

        if method == "body":
            reading = peer.call(run)
            await peer.respond(await peer.expect_headers(), body=b"half", end=False)
            await peer.settle()
            peer.pause()
            await trio.sleep(1)
            reading.cancel()
            await reading.over()
        elif method == "handshake timeout":
            peer.pause()
            await peer.call(client.connect_websocket, "/").error(trio_h2ws.WebSocketError)
        else:
            peer.pause()
            with trio.move_on_after(1):
                await run()
        peer.another().serve()
        assert (await client.get("/next")).content == b"/next"
        assert peer.dials == 2


async def test_a_connection_that_is_heard_again_is_used_again(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        await peer.settle()
        peer.pause()
        await give_up(client)
        other = peer.another()
        other.serve()
        await client.get("/next")
        # Its WebSocket is left alone, and calls return to it.
        peer.resume()
        await theirs.send("still here")
        assert await ws.receive() == "still here"
        call = peer.call(client.get, "/return")
        request = await peer.expect_headers()
        request = request if request.path == "/return" else await peer.expect_headers()
        await peer.respond(request)
        await call.result()
        assert peer.dials == 2
        ws.abort()


async def test_a_call_that_waits_in_doubt_goes_on_with_the_answer(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await answered(peer, client)
        peer.pause()
        await give_up(client)
        call = peer.call(client.get, "/next")
        await trio.sleep(0.4)
        assert not [request for request in peer.requests.values() if request.path == "/next"]
        peer.resume()
        await peer.expect_headers()
        request = await peer.expect_headers()
        await peer.respond(request)
        await call.result()
        assert peer.dials == 1


async def test_any_byte_ends_the_doubt(autojump_clock: MockClock) -> None:
    """The server does not answer PINGs, but it sends."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        await peer.settle()
        peer.auto_pong = False
        for _ in range(3):
            await trio.sleep(1)
            await give_up(client)
            await theirs.send("x")
            await ws.receive()
            call = peer.call(client.get, "/next")
            request = await peer.expect_headers()
            request = request if request.path == "/next" else await peer.expect_headers()
            await peer.respond(request)
            await call.result()
        assert peer.dials == 1
        ws.abort()


async def test_cancelled_calls_on_a_good_connection_cost_no_dial(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await answered(peer, client)
        for seconds in (0.001, 0.05, 0.2, 1, 3) * 10:
            await give_up(client, seconds)
        calls = [peer.call(give_up, client, n / 10) for n in range(1, 50)]
        for call in calls:
            await call.result(within=100)
        await peer.settle()
        assert peer.dials == 1
        assert_clean(client, peer)


async def test_a_connection_that_is_heard_meanwhile_is_not_probed(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        await peer.settle()
        peer.auto_pong = False
        for _ in range(10):
            call = peer.call(give_up, client, 0.95)
            for _ in range(19):
                await trio.sleep(0.05)
                await theirs.send("tick")
                await ws.receive()
            await call.result()
        await peer.settle()
        assert len(peer.sent(hf.PingFrame)) == 1
        ws.abort()


async def test_a_black_hole_still_ends_at_ping_timeout(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(ping_interval=10, ping_timeout=7)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        ws, _ = await open_websocket(peer, client)
        await peer.settle()
        peer.pause()
        await give_up(client)
        receiving = peer.call(ws.receive)
        await trio.sleep(4)
        assert not receiving.done
        await receiving.error(trio_h2ws.ConnectionTimedOut, within=20)


async def test_black_holes_stay_within_the_bound_of_connections(autojump_clock: MockClock) -> None:
    """Each new connection becomes one: the oldest makes room, not the caller's patience."""
    limits = trio_h2ws.Limits(max_connections_per_origin=3)
    timeouts = trio_h2ws.Timeouts(ping_interval=None)
    async with scripted_peer() as peer, peer.open_client(limits=limits, timeouts=timeouts) as client:
        for dials in range(1, 10):
            call = peer.call(client.get, "/")
            await peer.expect_headers()
            await peer.settle()
            peer.pause()
            await trio.sleep(1)
            call.cancel()
            await call.over()
            assert peer.dials == dials
            assert len([one for one in client.connections if not one.draining]) <= 3
            peer = peer.another()


async def test_http1_is_not_pinged(autojump_clock: MockClock) -> None:
    async with (
        open_server(memory=True, tls=False) as server,
        trio_h2ws.open_client(base_url=server.url, http2="never", open_stream=server.open_stream) as client,
    ):
        await client.get("/")
        with trio.move_on_after(5):
            await client.get("/hang")
        assert (await client.get("/")).status == 200
