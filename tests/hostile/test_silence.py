"""A silent, slow or stuck peer delays no call beyond its deadline, and no other call at all."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import assert_clean, frames, scripted_peer


async def test_our_settings_need_no_acknowledgement() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_ack = False
        for _ in range(3):
            call = peer.call(client.get, "/")
            await peer.respond(await peer.expect_headers(), body=b"x" * 100_000)
            assert len((await call.result()).content) == 100_000
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket()
        (await opening.result()).abort()


async def test_unasked_acknowledgements_of_settings_are_ignored() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        for _ in range(5):
            await peer.settings(ack=True)
        await peer.respond(request)
        await call.result()


async def test_settings_that_drip_in_meet_the_deadline(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(connect=5)
    async with scripted_peer(settings=None) as peer, peer.open_client(timeouts=timeouts) as client:

        async def drip() -> None:
            for byte in frames.settings({n: n for n in range(100, 200)}):
                await trio.sleep(1)
                try:
                    await peer.raw(bytes((byte,)))
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return

        call = peer.call(client.get, "/")
        await peer.expect_preface()
        start = trio.current_time()
        peer.start_soon(drip)
        await call.error(trio_h2ws.ConnectionTimedOut, within=60)
        assert trio.current_time() - start == pytest.approx(5)


async def test_a_response_that_drips_in_meets_the_callers_deadline(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def drip() -> None:
            request = await peer.expect_headers()
            await peer.respond(request, end=False)
            while request.reset is None:
                await trio.sleep(1)
                await peer.data(request, b"x")

        peer.start_soon(drip)
        start = trio.current_time()
        with trio.move_on_after(30) as scope:
            await client.get("/")
        assert scope.cancelled_caught
        assert trio.current_time() - start == pytest.approx(30)
        await trio.sleep(2)
        assert_clean(client)


async def test_keepalive_notices_a_frame_that_never_ends(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.settle()
        await peer.raw(frames.raw(0, 0, request.stream, b"half", length=10_000))
        # Whatever follows would be part of that frame; the peer has left.
        peer.auto_pong = False
        await call.error(trio_h2ws.ConnectionTimedOut, within=100)


async def test_keepalive_notices_a_peer_that_stops_reading(
    autojump_clock: MockClock,
) -> None:
    settings = {frames.INITIAL_WINDOW_SIZE: 2**31 - 1, frames.ENABLE_CONNECT_PROTOCOL: 1}
    async with scripted_peer(settings, transport="lockstep") as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket()
        ws = await opening.result()
        await peer.window_update(0, 2**31 - 1 - 65_535)
        await peer.settle()
        start = trio.current_time()
        peer.pause()

        async def send() -> None:
            while True:
                await ws.send(b"x" * 100_000)

        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 100_000

        calls = [peer.call(send), peer.call(client.post, "/", content=parts()), peer.call(client.get, "/")]
        for call in calls:
            await call.error(trio_h2ws.ConnectionTimedOut, within=100)
        assert trio.current_time() - start <= 40.1


async def test_a_caller_can_leave_a_peer_that_stops_reading(autojump_clock: MockClock) -> None:
    async with scripted_peer(transport="lockstep") as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket()
        ws = await opening.result()
        await peer.settle()
        peer.pause()
        with trio.move_on_after(3) as scope:
            while True:
                await ws.send(b"x" * 100_000)
        assert scope.cancelled_caught
        start = trio.current_time()
        with trio.move_on_after(3) as scope:
            await client.get("/")
        assert scope.cancelled_caught
        with trio.move_on_after(3) as scope:
            await ws.aclose()
        assert scope.cancelled_caught
        assert trio.current_time() - start == pytest.approx(6)


async def test_a_websocket_without_credit_closes_in_time(autojump_clock: MockClock) -> None:
    settings = {frames.INITIAL_WINDOW_SIZE: 0, frames.ENABLE_CONNECT_PROTOCOL: 1}
    timeouts = trio_h2ws.Timeouts(close=2)
    async with scripted_peer(settings) as peer, peer.open_client(timeouts=timeouts) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await ws.send("never leaves")
        start = trio.current_time()
        await ws.aclose()
        assert trio.current_time() - start == pytest.approx(2)
        await theirs.expect_rst(frames.CANCEL)
        assert_clean(client)


async def test_a_lost_connection_fails_each_call_with_a_new_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket()
        ws = await opening.result()
        calls = [peer.call(ws.receive), peer.call(ws.ping)]
        for _ in range(5):
            calls.append(peer.call(client.post, "/"))
            await peer.expect_headers()
        await peer.close()
        errors = [await call.error(trio_h2ws.ConnectionLost) for call in calls]
        assert len({id(error) for error in errors}) == 7
        with pytest.raises(trio_h2ws.ConnectionLost):
            await ws.send("x")
        assert client.connections == []


async def test_a_cut_inside_tls_is_a_lost_connection() -> None:
    async with scripted_peer(transport="tls") as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"half", end=False)
        await peer.close()
        await call.error(trio_h2ws.ConnectionLost)
        again = peer.call(client.get, "/")
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"whole")
        assert (await again.result()).content == b"whole"


async def test_a_response_just_before_the_end_is_delivered() -> None:
    # The server says why, and closes: its response is read although our writes already fail.
    async with scripted_peer(transport="socket") as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, 503, body=b"going down")
        await peer.goaway(request)
        await peer.close()
        response = await call.result()
        assert (response.status, response.content) == (503, b"going down")


async def test_a_handshake_that_apache_ignores_times_out(autojump_clock: MockClock) -> None:
    # It allows 100 streams and serves 6 until requests have completed; the seventh handshake gets no answer.
    timeouts = trio_h2ws.Timeouts(handshake=2)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        sockets = []
        for _ in range(6):
            opening = peer.call(client.connect_websocket, "/")
            await peer.accept_websocket()
            sockets.append(await opening.result())
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        await opening.error(trio_h2ws.WebSocketError, within=100)
        await peer.expect_rst(request, frames.CANCEL)
        for ws in sockets:
            ws.abort()
