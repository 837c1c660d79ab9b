"""A call may be cancelled at any await. Its stream ends, its slot and its credit come back, and the next call
works."""

from __future__ import annotations

from collections.abc import AsyncIterator

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, assert_clean, connection_of, frames, scripted_peer
from toolkit.inside import send_window_of


async def next_one_works(peer: Peer, client: trio_h2ws.Client) -> None:
    call = peer.call(client.get, "/next")
    request = await peer.expect_headers()
    assert request.path == "/next"
    await peer.respond(request, body=b"works")
    assert (await call.result()).content == b"works"
    await peer.settle()
    assert peer.dials == 1
    assert_clean(client, peer)


async def test_cancelling_before_the_response_resets_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        call.cancel()
        await peer.expect_rst(request, frames.CANCEL)
        await next_one_works(peer, client)


async def test_cancelling_during_the_response_resets_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"x" * 100_000, end=False)
        await peer.settle()
        call.cancel()
        await peer.expect_rst(request, frames.CANCEL)
        await next_one_works(peer, client)


async def test_cancelling_as_a_request_is_sent_leaves_hpack_in_step() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()
        await client.get("/warm")
        for _ in range(10):
            with trio.CancelScope() as scope:
                scope.cancel()
                await client.get("/never")
        # HPACK is still in step, and nothing waits for a response that will never arrive.
        response = await client.get("/after", headers={"x-new": "y"})
        assert response.content == b"/after"
        await peer.settle()
        assert_clean(client, peer)


async def test_the_callers_deadline_resets_the_stream(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for function in (client.get, client.connect_websocket):
            with trio.move_on_after(1) as scope:
                await function("/")
            assert scope.cancelled_caught
            await peer.expect_rst(await peer.expect_headers(), frames.CANCEL)
        assert_clean(client, peer)


async def test_leaving_a_stream_early_resets_it() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def leave() -> None:
            async with client.stream("GET", "/large") as response:
                async for chunk in response:
                    assert chunk
                    return

        call = peer.call(leave)
        request = await peer.expect_headers()
        await peer.respond(request, body=b"x" * 50_000, end=False)
        await peer.expect_rst(request, frames.CANCEL)
        await call.result()
        await next_one_works(peer, client)


async def test_a_users_error_in_a_stream_block_resets_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def fail() -> None:
            async with client.stream("GET", "/"):
                raise LookupError("mine")

        call = peer.call(fail)
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await call.error(LookupError)
        await peer.expect_rst(request, frames.CANCEL)
        await next_one_works(peer, client)


async def test_a_stream_read_to_its_end_is_not_reset() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def read() -> bytes:
            async with client.stream("GET", "/") as response:
                return await response.read()

        call = peer.call(read)
        request = await peer.expect_headers()
        await peer.respond(request, body=b"all")
        assert await call.result() == b"all"
        await next_one_works(peer, client)
        assert peer.sent(hf.RstStreamFrame) == []


async def test_cancelling_an_upload_resets_its_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False

        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 10_000

        call = peer.call(client.post, "/", content=parts())
        request = await peer.expect_headers()
        await peer.expect_data(request, 65_535)
        call.cancel()
        await peer.expect_rst(request, frames.CANCEL)
        await call.over()
        # The credit of the connection that was used comes back only when the peer returns it.
        await peer.settle()
        assert send_window_of(connection_of(client)) == 0
        await peer.window_update(0, 65_535)
        peer.let_send += 65_535
        await next_one_works(peer, client)


async def test_cancelling_a_large_body_stops_sending_it() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=b"x" * 1_000_000)
        request = await peer.expect_headers()
        await peer.expect_data(request, 65_535)
        call.cancel()
        await peer.expect_rst(request, frames.CANCEL)
        await peer.window_update(0, 65_535)
        peer.let_send += 65_535
        await next_one_works(peer, client)
        assert len(request.body) == 65_535


async def test_the_next_call_waits_for_the_dial_of_a_cancelled_one() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.expect_preface()
        call.cancel()
        await call.over()
        again = peer.call(client.get, "/again")
        await peer.settings({})
        await peer.respond(await peer.expect_headers(3))
        await again.result()
        assert peer.dials == 1


async def test_a_cancelled_wait_for_a_slot_takes_none() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/1")
        request = await peer.expect_headers()
        second = peer.call(client.get, "/2")
        await peer.settle()
        second.cancel()
        await second.over()
        await peer.respond(request)
        await first.result()
        await next_one_works(peer, client)


async def test_a_slot_given_to_a_cancelled_call_is_returned() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/1")
        await peer.expect_headers()
        second = peer.call(client.get, "/2")
        third = peer.call(client.get, "/3")
        await peer.settle()
        # The slot passes on as the first call is cancelled; then the second is cancelled as well.
        first.cancel()
        while not first.done:
            await trio.lowlevel.checkpoint()
        second.cancel()
        served = await peer.expect_headers()
        if served.path == "/2":
            await peer.expect_rst(served, frames.CANCEL)
            served = await peer.expect_headers()
        await peer.respond(served)
        await third.result()
        await next_one_works(peer, client)


# WebSockets.


async def test_cancelling_a_handshake_resets_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        call.cancel()
        await peer.expect_rst(request, frames.CANCEL)
        await next_one_works(peer, client)


async def test_cancelling_a_websocket_block_resets_at_once() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def listen() -> None:
            async with client.websocket("/") as ws:
                await ws.receive()

        call = peer.call(listen)
        theirs = await peer.accept_websocket()
        await peer.settle()
        call.cancel()
        await theirs.expect_rst(frames.CANCEL)
        await call.over()
        assert theirs.request.body == b""
        await next_one_works(peer, client)


async def test_a_cancelled_receive_takes_nothing() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await theirs.send("one")
        await theirs.send("two")
        await peer.settle()
        with trio.CancelScope() as scope:
            scope.cancel()
            await ws.receive()
        assert scope.cancelled_caught
        with trio.move_on_after(0):
            await ws.receive()
        assert [await ws.receive(), await ws.receive()] == ["one", "two"]
        with trio.move_on_after(0.01):
            await ws.receive()
        await theirs.send("three")
        assert await ws.receive() == "three"
        ws.abort()


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_cancelled_send_sends_nothing_or_all(size: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        sent = 0
        for n in range(40):
            with trio.move_on_after(0.001 if n % 2 else 0) as scope:
                await ws.send(f"{n}".ljust(size))
            sent += not scope.cancelled_caught
        peer.auto_credit = True
        await peer.window_update(0, 65_535)
        await peer.window_update(theirs, 65_535)
        await ws.send("last")
        received = []
        while (message := await theirs.expect_message()) != "last":
            received.append(message)
        assert len(received) == sent
        assert all(len(message) == size for message in received)
        ws.abort()


async def test_cancelling_a_closing_handshake_resets_at_once() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        closing = peer.call(ws.aclose)
        await theirs.expect_close()
        closing.cancel()
        await theirs.expect_rst(frames.CANCEL)
        await closing.over()
        assert closing.cancelled
        await next_one_works(peer, client)


async def test_a_pong_for_a_cancelled_ping_answers_no_other() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        with trio.move_on_after(0.01):
            await ws.ping()
        late = await theirs.expect_frame(frames.PING)
        ping = peer.call(ws.ping)
        await theirs.expect_frame(frames.PING)
        await theirs.frame(frames.PONG, late.payload)
        await peer.settle()
        assert not ping.done
        ws.abort()


# The whole client.


async def test_a_cancelled_client_closes_without_waiting(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_peer() as peer:
        with trio.CancelScope() as scope:
            async with peer.open_client() as client:
                opening = peer.call(client.connect_websocket, "/")
                await peer.accept_websocket()
                await opening.result()
                call = peer.call(client.get, "/")
                await peer.expect_headers()
                start = trio.current_time()
                scope.cancel()
                await trio.sleep_forever()
        assert scope.cancelled_caught
        assert trio.current_time() == start
        await call.over()
        await peer.expect_eof()


async def test_the_client_works_in_a_shielded_clean_up() -> None:
    async with scripted_peer() as peer:
        with trio.CancelScope() as scope:
            async with peer.open_client() as client:
                peer.serve()
                try:
                    scope.cancel()
                    await trio.sleep_forever()
                finally:
                    # The first one dials, the second one finds the connection alive.
                    with trio.CancelScope(shield=True):
                        assert (await client.post("/sorry", content=iter([b"!"]))).content == b"/sorry!"
                        assert (await client.get("/bye")).content == b"/bye"
        assert scope.cancelled_caught


# Late frames.


async def test_late_frames_are_credited_and_not_answered() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"x" * 1000, end=False)
        await peer.settle()
        call.cancel()
        await peer.expect_rst(request, frames.CANCEL)
        # The peer has not read the reset yet: it sends all that the stream's window allows, with trailers.
        room = peer.room(request)
        await peer.data(request, b"y" * room)
        await peer.window_update(request, 1000)
        await peer.headers(request, {"x-trailer": "1"}, end=True)
        await next_one_works(peer, client)
        assert len(peer.sent(hf.RstStreamFrame)) == 1


async def test_many_small_late_frames_are_not_a_flood() -> None:
    # Each cancelled stream may have a window of frames in flight, and neither side is at fault.
    async with scripted_peer() as peer, peer.open_client() as client:
        calls = [peer.call(client.get, f"/{n}") for n in range(20)]
        requests = [await peer.expect_headers() for _ in calls]
        for request in requests:
            await peer.respond(request, end=False)
        await peer.settle()
        for call in calls:
            call.cancel()
        for request in requests:
            await peer.expect_rst(request, frames.CANCEL)
        for request in requests:
            await peer.raw(frames.body(request.stream, b"z" * 50_000, size=100))
            peer.may_send -= 50_000
        await next_one_works(peer, client)


@pytest.mark.slow
async def test_many_late_responses_are_not_a_flood() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await next_one_works(peer, client)
        for _ in range(60):
            calls = [peer.call(client.get, "/") for _ in range(50)]
            requests = [await peer.expect_headers() for _ in calls]
            for call in calls:
                call.cancel()
            for request in requests:
                await peer.window_update(request, 100)
                await peer.respond(request, body=b"late")
        await next_one_works(peer, client)
