"""When WebSockets hold every slot, work does not wait for ever: another connection, up to a bound, then an error."""

from __future__ import annotations

import trio

import trio_h2ws
from toolkit import Peer, assert_clean, frames, scripted_peer

TWO = {frames.MAX_CONCURRENT_STREAMS: 2, frames.ENABLE_CONNECT_PROTOCOL: 1}


async def fill(peer: Peer, client: trio_h2ws.Client, count: int = 2) -> list[trio_h2ws.WebSocket]:
    sockets = []
    for _ in range(count):
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket()
        sockets.append(await opening.result())
    return sockets


async def test_requests_starve_when_websockets_hold_all_slots() -> None:
    async with scripted_peer(TWO) as peer, peer.open_client() as client:
        sockets = await fill(peer, client)
        call = peer.call(client.get, "/")
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"other")
        assert (await call.result()).content == b"other"
        assert peer.dials == 2
        # A slot that comes free is used again; no third connection is needed.
        sockets.pop().abort()
        await peer.settle()
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(), body=b"first")
        assert (await call.result()).content == b"first"
        assert peer.dials == 2
        sockets.pop().abort()


async def test_more_websockets_than_slots() -> None:
    # Chrome: 130 sockets on 100 slots, 30 wait for ever.
    async with scripted_peer(TWO) as peer, peer.open_client() as client:
        sockets = []
        at = peer
        for _ in range(3):
            sockets += await fill(at, client)
            at = at.another()
        assert peer.dials == 3
        for ws in sockets:
            ws.abort()


async def test_past_the_bound_of_connections_there_is_a_clear_error() -> None:
    limits = trio_h2ws.Limits(max_connections_per_origin=2)
    async with scripted_peer(TWO) as peer, peer.open_client(limits=limits) as client:
        sockets = await fill(peer, client) + await fill(peer.another(), client)
        for function in (client.get, client.connect_websocket):
            call = peer.call(function, "/")
            error = await call.error(trio_h2ws.LimitExceeded)
            assert (error.bound, error.limit) == ("max_connections_per_origin", 2)
        assert peer.dials == 2
        sockets.pop().abort()
        await peer.settle()
        call = peer.call(client.get, "/")
        other = peer.another()
        await other.respond(await other.expect_headers())
        await call.result()
        for ws in sockets:
            ws.abort()


async def test_slots_held_by_requests_are_waited_for() -> None:
    async with scripted_peer(TWO) as peer, peer.open_client() as client:
        sockets = await fill(peer, client, 1)
        first = peer.call(client.get, "/1")
        request = await peer.expect_headers()
        second = peer.call(client.get, "/2")
        await peer.settle()
        assert peer.dials == 1
        await peer.respond(request)
        await first.result()
        await peer.respond(await peer.expect_headers())
        await second.result()
        assert peer.dials == 1
        sockets.pop().abort()


async def test_who_waits_behind_a_request_that_becomes_a_websocket_is_not_forgotten() -> None:
    # The last slot is held by a request; when it ends, a WebSocket that waited takes it, and others wait behind.
    async with scripted_peer(TWO) as peer, peer.open_client() as client:
        sockets = await fill(peer, client, 1)
        first = peer.call(client.get, "/1")
        request = await peer.expect_headers()
        opening = peer.call(client.connect_websocket, "/")
        await peer.settle()
        waiting = peer.call(client.get, "/2")
        await peer.settle()
        await peer.respond(request)
        await first.result()
        await peer.accept_websocket()
        sockets.append(await opening.result())
        other = peer.another()
        await other.respond(await other.expect_headers())
        await waiting.result()
        for ws in sockets:
            ws.abort()


async def test_a_hundred_cold_calls_and_few_slots_dial_once() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 5}) as peer, peer.open_client() as client:
        peer.serve()
        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(client.get, f"/{n}")
        assert peer.dials == 1
        assert len(peer.requests) == 100
        assert_clean(client, peer)


async def test_settings_that_allow_nothing_after_websockets_were_opened() -> None:
    async with scripted_peer(TWO) as peer, peer.open_client() as client:
        sockets = await fill(peer, client, 1)
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 0})
        await peer.settle()
        with trio.move_on_after(0.05) as scope:
            await client.get("/")
        # Nobody can say whether a slot will ever come free; waiting is the caller's choice, and it is cancellable.
        assert scope.cancelled_caught or peer.dials == 2
        for ws in sockets:
            ws.abort()
