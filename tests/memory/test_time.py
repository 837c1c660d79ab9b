"""Deadlines and liveness, on a clock that jumps."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import assert_clean, connection_of, frames, scripted_peer


async def test_a_server_that_never_sends_settings_fails_the_dial_in_time(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(connect=4)
    async with scripted_peer(settings=None) as peer, peer.open_client(timeouts=timeouts) as client:
        start = trio.current_time()
        calls = [peer.call(client.get, "/") for _ in range(3)]
        calls += [peer.call(client.connect_websocket, "/")]
        errors = [await call.error(trio_h2ws.ConnectFailed, within=60) for call in calls]
        assert trio.current_time() - start == pytest.approx(4)
        assert len({id(error) for error in errors}) == len(errors)
        assert "Timeouts.connect" in str(errors[0])
        await peer.expect_eof()
        assert client.connections == []


async def test_a_dial_that_hangs_fails_in_time(autojump_clock: MockClock) -> None:
    async def never(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    async with trio_h2ws.open_client(open_stream=never, timeouts=trio_h2ws.Timeouts(connect=4)) as client:
        start = trio.current_time()
        with pytest.raises(trio_h2ws.ConnectFailed):
            await client.get("https://example.org/")
        assert trio.current_time() - start == pytest.approx(4)


async def test_a_tls_handshake_that_hangs_fails_in_time(autojump_clock: MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()

    async def silent(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return ours

    async with trio_h2ws.open_client(open_stream=silent, timeouts=trio_h2ws.Timeouts(connect=4)) as client:
        start = trio.current_time()
        with pytest.raises(trio_h2ws.ConnectFailed):
            await client.get("https://example.org/")
        assert trio.current_time() - start == pytest.approx(4)
    assert await theirs.receive_some()  # the ClientHello
    assert await theirs.receive_some() == b""


async def test_the_callers_own_deadline_holds(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for function in (client.get, client.connect_websocket):
            with trio.move_on_after(1) as scope:
                await function("/")
            assert scope.cancelled_caught
            await peer.expect_rst(await peer.expect_headers(), frames.CANCEL)
        assert_clean(client, peer)


# A peer that is dead, and nobody said so.


@pytest.mark.parametrize(("interval", "timeout"), [(20, 20), (5, 1), (1, 30)])
async def test_a_dead_peer_is_noticed_in_time_by_everyone(
    autojump_clock: MockClock, interval: float, timeout: float
) -> None:
    timeouts = trio_h2ws.Timeouts(ping_interval=interval, ping_timeout=timeout, handshake=1000)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await theirs.send("last words")
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
        assert await calls.pop(0).result() == "last words"
        calls.append(peer.call(ws.receive))
        errors = [await call.error(trio_h2ws.ConnectionTimedOut, within=1000) for call in calls]
        assert trio.current_time() - start == pytest.approx(interval + timeout, abs=0.1)
        # Each has an exception object of its own.
        assert len({id(error) for error in errors}) == len(errors)
        assert all(isinstance(error, trio.BrokenResourceError) for error in errors)
        assert client.connections == []
        # And the next call dials.
        again = peer.call(client.get, "/again")
        other = peer.another()
        await other.respond(await other.expect_headers())
        await again.result()


async def test_a_peer_that_answers_pings_lives_on(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await trio.sleep(3600)
        assert 100 < len(peer.sent(hf.PingFrame)) < 200
        await theirs.send("still here")
        assert await ws.receive() == "still here"
        ws.abort()


async def test_a_peer_that_talks_needs_no_pings(autojump_clock: MockClock) -> None:
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


async def test_a_request_on_a_connection_that_died_while_idle_is_noticed_in_time(autojump_clock: MockClock) -> None:
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


async def test_a_pong_that_answers_nothing_is_no_measurement(autojump_clock: MockClock) -> None:
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
        await trio.sleep(100)  # a stream that waits is no idleness
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
async def test_an_idle_time_of_nothing_still_serves(autojump_clock: MockClock, idle: float) -> None:
    timeouts = trio_h2ws.Timeouts(idle=idle)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await trio.sleep(1)
        await peer.respond(request)
        await call.result()
        await peer.expect_eof()
        assert peer.dials == 1


# WebSockets.


async def test_a_handshake_without_an_answer_fails_in_time(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(handshake=2)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        call = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        start = trio.current_time()
        error = await call.error(trio_h2ws.WebSocketError, within=100)
        assert trio.current_time() - start == pytest.approx(2)
        assert "Timeouts.handshake" in str(error)
        await peer.expect_rst(request, frames.CANCEL)
        assert_clean(client, peer)


async def test_aclose_waits_no_longer_than_its_bound(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(close=3)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        start = trio.current_time()
        await ws.aclose()
        assert trio.current_time() - start == pytest.approx(3)
        await theirs.expect_close()
        await theirs.expect_rst()
        assert ws.close_code == 1006


async def test_a_server_that_ends_its_stream_after_its_close_gets_no_answer(autojump_clock: MockClock) -> None:
    # Some servers take any later DATA on that stream for an attack.
    async with scripted_peer() as peer, peer.open_client() as client:
        for how in ("end", "rst"):
            opening = peer.call(client.connect_websocket, "/")
            theirs = await peer.accept_websocket()
            ws = await opening.result()
            receiving = peer.call(ws.receive)
            await theirs.close(1001, "bye", end=how == "end")
            if how == "rst":
                await peer.rst(theirs, frames.NO_ERROR)
            error = await receiving.error(trio_h2ws.WebSocketClosed)
            assert (error.code, error.reason, error.clean, error.initiator) == (1001, "bye", True, "remote")
            await trio.sleep(10)
            assert theirs.request.body == b""
            assert not peer.sent(hf.DataFrame, theirs)
            await ws.aclose()
        assert_clean(client, peer)


async def test_a_server_that_waits_for_our_close_gets_it(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        start = trio.current_time()
        await theirs.close(3333, "x")
        await theirs.expect_close(3333)
        assert trio.current_time() - start == pytest.approx(0.05, abs=0.01)
        assert not theirs.request.ended  # no END_STREAM: it makes some servers lose their own Close
        await theirs.expect_rst(frames.CANCEL)
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.clean) == (3333, True)
        assert_clean(client, peer)
