"""Stream slots: MAX_CONCURRENT_STREAMS, first come, first served; another connection when WebSockets hold them
all."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Call, Peer, assert_clean, frames, scripted_peer
from trio_h2ws.testing import open_server


async def begin(peer: Peer, client: trio_h2ws.Client, count: int) -> list[Call[trio_h2ws.Response]]:
    """Begin that many requests, one after the other."""
    calls = []
    for n in range(count):
        calls.append(peer.call(client.get, f"/{n}"))
        await peer.settle()
    return calls


async def test_slots_are_given_first_come_first_served() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 2}) as peer, peer.open_client() as client:
        calls = await begin(peer, client, 6)
        assert [request.path for request in peer.requests.values()] == ["/0", "/1"]
        # The second request ends first: the third gets its slot.
        for answered, served in ((3, "/2"), (1, "/3"), (5, "/4"), (7, "/5")):
            await peer.respond(answered)
            await peer.settle()
            assert list(peer.requests.values())[-1].path == served
        for left in (9, 11):
            await peer.respond(left)
        for call in calls:
            await call.result()
        assert_clean(client, peer)


async def test_a_cancelled_waiter_is_skipped() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        calls = await begin(peer, client, 4)
        calls[1].cancel()
        calls[2].cancel()
        await peer.respond(1)
        await peer.settle()
        assert [request.path for request in peer.requests.values()] == ["/0", "/3"]
        await peer.respond(3)
        await calls[3].result()
        assert_clean(client, peer)


async def test_a_cancelled_request_frees_its_slot() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        calls = await begin(peer, client, 2)
        calls[0].cancel()
        await peer.expect_rst(1, frames.CANCEL)
        await peer.settle()
        await peer.respond(3)
        await calls[1].result()


async def test_more_slots_serve_waiting_calls_at_once() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        await begin(peer, client, 5)
        assert len(peer.requests) == 1
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 3})
        await peer.settle()
        assert len(peer.requests) == 3


async def test_no_stream_opens_until_enough_slots_are_free() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 3}) as peer, peer.open_client() as client:
        await begin(peer, client, 5)
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 1})
        for stream in (1, 3):
            await peer.respond(stream)
            await peer.settle()
            assert len(peer.requests) == 3
        await peer.respond(5)
        await peer.settle()
        assert len(peer.requests) == 4


async def test_calls_wait_while_no_streams_are_allowed() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/round")
        await peer.respond(await peer.expect_headers())
        await call.result()
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 0})
        await peer.settle()
        calls = await begin(peer, client, 3)
        assert len(peer.requests) == 1
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 2})
        await peer.settle()
        assert {request.path for request in list(peer.requests.values())[1:]} == {"/0", "/1"}
        for stream in (3, 5):
            await peer.respond(stream)
        await peer.settle()
        await peer.respond(7)
        for call in calls:
            await call.result()
        assert peer.dials == 1
        assert_clean(client, peer)


async def test_a_call_that_opens_no_stream_gives_its_slot_away() -> None:
    settings = {frames.MAX_CONCURRENT_STREAMS: 1, frames.MAX_HEADER_LIST_SIZE: 1000}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        first = await begin(peer, client, 1)
        too_large = peer.call(client.get, "/large", headers={"x-large": "x" * 2000})
        await peer.settle()
        third = peer.call(client.get, "/third")
        await peer.settle()
        await peer.respond(1)
        await first[0].result()
        await too_large.error(trio_h2ws.LocalProtocolError)
        await peer.settle()
        await peer.respond(3)
        assert peer.requests[3].path == "/third"
        await third.result()


async def test_max_streams_bounds_a_connection() -> None:
    limits = trio_h2ws.Limits(max_streams=2)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        await begin(peer, client, 3)
        assert len(peer.requests) == 2
        assert client.connections[0].streams_allowed == 2


async def test_a_promised_slot_can_be_taken_back(autojump_clock: MockClock) -> None:
    """One read brings the end of a response and new SETTINGS. The end frees a slot, which is promised to the next
    waiter; the SETTINGS take it back, and are acknowledged at once. The waiter must not open its stream: servers
    answer one stream too many with REFUSED_STREAM, or end the connection."""
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 2}) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        ends_soon = await peer.expect_headers()
        second = peer.call(client.get, "/second")
        stays = await peer.expect_headers()
        third = peer.call(client.get, "/third")
        await peer.settle()

        answer = frames.headers(ends_soon.stream, frames.encode(peer.encoder, {":status": "204"}), end=True)
        await peer.raw(answer + frames.settings({frames.MAX_CONCURRENT_STREAMS: 1}))
        await first.result()
        await peer.settle()
        assert len(peer.sent(hf.HeadersFrame)) == 2

        await peer.respond(stays)
        await second.result()
        await peer.respond(await peer.expect_headers(), body=b"third")
        assert (await third.result()).content == b"third"
        await peer.settle()
        assert peer.dials == 1
        assert_clean(client, peer)


# A slot and a cancellation at once.


ONE_SLOT = {frames.MAX_CONCURRENT_STREAMS: 1, frames.ENABLE_CONNECT_PROTOCOL: 1}


ONE_CONNECTION = trio_h2ws.Limits(max_connections_per_origin=1)


async def test_a_refusal_in_a_cancelled_scope_is_limit_exceeded(autojump_clock: MockClock) -> None:
    """The pool answers before the waiter is asleep. Rescheduling a running task in a cancelled scope is a
    TrioInternalError."""
    async with scripted_peer(ONE_SLOT) as peer, peer.open_client(limits=ONE_CONNECTION) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        with trio.CancelScope() as scope:
            scope.cancel()
            with pytest.raises(trio_h2ws.LimitExceeded):
                await client.get("/")
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        await ws.send("still here")
        assert await theirs.expect_message() == "still here"
        ws.abort()
        await theirs.expect_rst()
        assert_clean(client, peer)


async def test_a_slot_given_in_a_cancelled_scope_is_returned(autojump_clock: MockClock) -> None:
    """A new call gets the free slot at once, although cancelled ones are still in the queue before it."""
    async with scripted_peer(ONE_SLOT) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        request = await peer.expect_headers()
        second = peer.call(client.get, "/second")
        await peer.settle()
        second.cancel()
        await second.over()
        await peer.respond(request)
        await first.result()
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.get("/never")
        assert scope.cancelled_caught
        peer.serve()
        assert (await client.get("/next")).content == b"/next"
        await peer.settle()
        assert_clean(client, peer)


# WebSockets may hold slots for ever: other calls get another connection, up to a bound, and then an error.


TWO = {frames.MAX_CONCURRENT_STREAMS: 2, frames.ENABLE_CONNECT_PROTOCOL: 1}


async def fill(peer: Peer, client: trio_h2ws.Client, count: int = 2) -> list[trio_h2ws.WebSocket]:
    sockets = []
    for _ in range(count):
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket()
        sockets.append(await opening.result())
    return sockets


async def test_a_request_gets_a_connection_when_websockets_hold_all() -> None:
    async with scripted_peer(TWO) as peer, peer.open_client() as client:
        sockets = await fill(peer, client)
        call = peer.call(client.get, "/")
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"other")
        assert (await call.result()).content == b"other"
        assert peer.dials == 2
        # A freed slot is used again; no third connection is needed.
        sockets.pop().abort()
        await peer.settle()
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(), body=b"first")
        assert (await call.result()).content == b"first"
        assert peer.dials == 2
        sockets.pop().abort()


async def test_more_websockets_than_slots_get_more_connections() -> None:
    # In Chrome 30 of 130 WebSockets wait for ever on 100 slots.
    async with scripted_peer(TWO) as peer, peer.open_client() as client:
        sockets = []
        at = peer
        for _ in range(3):
            sockets += await fill(at, client)
            at = at.another()
        assert peer.dials == 3
        for ws in sockets:
            ws.abort()


async def test_beyond_max_connections_the_error_names_the_bound() -> None:
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


async def test_a_call_waits_for_slots_that_requests_hold() -> None:
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


async def test_a_call_that_waits_after_a_new_websocket_is_served() -> None:
    # A request holds the last slot; when it ends, a waiting WebSocket takes it, and other calls wait after that.
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


async def test_many_first_calls_and_few_slots_dial_once() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 5}) as peer, peer.open_client() as client:
        peer.serve()
        async with trio.open_nursery() as nursery:
            for n in range(100):
                nursery.start_soon(client.get, f"/{n}")
        assert peer.dials == 1
        assert len(peer.requests) == 100
        assert_clean(client, peer)


async def test_a_call_may_wait_while_settings_allow_no_stream() -> None:
    async with scripted_peer(TWO) as peer, peer.open_client() as client:
        sockets = await fill(peer, client, 1)
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 0})
        await peer.settle()
        with trio.move_on_after(0.05) as scope:
            await client.get("/")
        # It is not known whether a slot will ever be free; the caller may wait, and cancel.
        assert scope.cancelled_caught or peer.dials == 2
        for ws in sockets:
            ws.abort()


async def test_a_websocket_waits_for_the_slot_of_a_closing_one() -> None:
    """A closing WebSocket does not count as holding its slot for good: no LimitExceeded while the slot is about to be
    free."""
    limits = trio_h2ws.Limits(max_connections_per_origin=1)
    async with open_server(memory=True, settings={3: 2}) as server:
        async with trio_h2ws.open_client(
            ssl_context=server.ssl_context, open_stream=server.open_stream, limits=limits
        ) as client:
            for _ in range(3):
                sockets = [await client.connect_websocket(f"{server.ws_url}/ws/close/1000") for _ in range(2)]
                for ws in sockets:
                    assert [message async for message in ws]
                    await ws.aclose()
            assert len(client.connections) == 1
