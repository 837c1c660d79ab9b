"""A slow task or peer holds up no other, and memory stays within the bounds."""

from __future__ import annotations

from collections.abc import AsyncIterator

import hyperframe.frame as hf
import pytest
import trio
import trio.testing

import trio_h2ws
from toolkit import assert_clean, connection_of, frames, scripted_peer
from toolkit.inside import messages_of, stream_of, streams_of
from trio_h2ws.testing import open_server

KIB = 1024


async def test_unread_streams_hold_their_window_and_slow_no_other() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, trio.open_nursery() as nursery:
        windows = trio_h2ws.Limits().stream_window

        async def never_read() -> None:
            async with client.stream("GET", "/unread"):
                await trio.sleep_forever()

        for _ in range(90):
            nursery.start_soon(never_read)
        requests = [await peer.expect_headers() for _ in range(90)]
        for request in requests:
            await peer.respond(request, body=b"x" * windows, end=False)
        await peer.settle()
        # 23 MB in all, more than the connection's window, which is credited on receipt.
        assert all(peer.room(request) == 0 for request in requests)
        assert peer.may_send > 8 * 1024 * KIB
        call = peer.call(client.get, "/read")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"y" * 3_000_000)
        assert len((await call.result()).content) == 3_000_000
        streams = streams_of(connection_of(client))
        assert sum(stream.unread for stream in streams.values()) == 90 * windows
        nursery.cancel_scope.cancel()


async def test_a_stream_gets_credit_only_when_it_is_read() -> None:
    limits = trio_h2ws.Limits(stream_window=200_000, max_stream_window=200_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        seen = bytearray()
        go = trio.Semaphore(0)

        async def read() -> None:
            async with client.stream("GET", "/") as response:
                await go.acquire()
                async for chunk in response:
                    seen.extend(chunk)
                    await go.acquire()

        call = peer.call(read)
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        for _ in range(20):
            await peer.data(request, b"x" * 10_000)
        await peer.settle()
        assert peer.room(request) == 0
        # A chunk has all that has come, until that is 64 KiB. Credit is sent when half of the window is owed.
        for taken, room in ((70_000, 0), (140_000, 140_000), (200_000, 140_000)):
            go.release()
            await peer.settle()
            assert (len(seen), peer.room(request)) == (taken, room)
        await peer.data(request, end=True)
        go.release()
        await call.result()
        await peer.settle()
        assert_clean(client, peer)


async def test_padding_is_credited() -> None:
    limits = trio_h2ws.Limits(stream_window=10_000, max_stream_window=10_000, connection_window=65_535)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        for _ in range(500):
            await peer.data(request, b"x", pad=255)
        await peer.data(request, end=True)
        assert (await call.result()).content == b"x" * 500
        await peer.settle()
        assert_clean(client, peer)


async def test_a_window_grows_when_it_limits_the_rate(autojump_clock: trio.testing.MockClock) -> None:
    # A link with 100 ms one way: with a fixed window of 256 KiB, 20 MB would take 16 s.
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_pong = False
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        payload = await peer.expect_ping()
        await trio.sleep(0.2)
        await peer.ping(payload, ack=True)
        await peer.respond(request, end=False)
        start = trio.current_time()
        left = 20_000_000
        while left:
            room = min(left, peer.room(request))
            await peer.data(request, b"x" * room)
            left -= room
            await trio.sleep(0.2)
        await peer.data(request, end=True)
        assert len((await call.result()).content) == 20_000_000
        assert trio.current_time() - start < 4
        assert connection_of(client).info().round_trip_time == pytest.approx(0.2, abs=0.01)


async def test_a_window_never_grows_beyond_its_bound(autojump_clock: trio.testing.MockClock) -> None:
    limits = trio_h2ws.Limits(stream_window=100_000, max_stream_window=300_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        peer.auto_pong = False
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        payload = await peer.expect_ping()
        await trio.sleep(1)
        await peer.ping(payload, ack=True)
        await peer.respond(request, end=False)
        for _ in range(20):
            await peer.data(request, b"x" * peer.room(request))
            await peer.settle()
            assert peer.room(request) <= 300_000
        assert peer.room(request) > 150_000
        await peer.data(request, end=True)
        await call.result()


# Sending.


async def test_send_waits_while_the_peer_gives_no_credit() -> None:
    limits = trio_h2ws.Limits(max_send_buffer=10_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        peer.auto_credit = False
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(100):
                await ws.send(b"x" * 1000)
                sent += 1

        sending = peer.call(send)
        await peer.settle()
        # The window's 65,535 bytes have been sent, and about 10,000 wait.
        assert 65 + 9 <= sent <= 65 + 11
        assert len(theirs.request.body) == 65_535
        peer.auto_credit = True
        await peer.window_update(0, 65_535)
        await peer.window_update(theirs, 65_535)
        await sending.result()
        for _ in range(100):
            assert await theirs.expect_message() == b"x" * 1000
        ws.abort()


async def test_send_waits_while_the_peer_does_not_read_the_socket() -> None:
    settings = {frames.ENABLE_CONNECT_PROTOCOL: 1, frames.INITIAL_WINDOW_SIZE: 2**31 - 1}
    async with scripted_peer(settings, transport="lockstep") as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await peer.window_update(0, 2**31 - 1 - 65_535)
        await peer.settle()
        peer.auto_credit = False
        peer.pause()
        sent = 0

        async def send() -> None:
            nonlocal sent
            for _ in range(1000):
                await ws.send(b"x" * 10_000)
                sent += 1

        sending = peer.call(send)
        await peer.settle()
        assert sent < 50
        with trio.move_on_after(0.01) as scope:
            await ws.send("no space left")
        assert scope.cancelled_caught
        peer.resume()
        await sending.result(within=20)
        assert await theirs.expect_message() == b"x" * 10_000
        ws.abort()


async def test_one_blocked_upload_does_not_stop_another() -> None:
    settings = {frames.INITIAL_WINDOW_SIZE: 1000, frames.ENABLE_CONNECT_PROTOCOL: 1}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        await peer.exchange(client)
        peer.auto_credit = False
        blocked = peer.call(client.post, "/blocked", content=b"x" * 5000)
        first = await peer.expect_headers()
        await peer.expect_data(first, 1000)
        other = peer.call(client.post, "/other", content=b"y" * 5000)
        second = await peer.expect_headers()
        await peer.window_update(second, 4000)
        await peer.expect_end(second)
        await peer.respond(second)
        await other.result()
        assert len(first.body) == 1000
        await peer.window_update(first, 4000)
        await peer.expect_end(first)
        await peer.respond(first)
        await blocked.result()


async def test_uploads_share_the_connection_fairly() -> None:
    settings = {frames.INITIAL_WINDOW_SIZE: 2**31 - 1}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        peer.auto_credit = False
        large = peer.call(client.post, "/large", content=b"x" * 10_000_000)
        first = await peer.expect_headers()
        await peer.expect_data(first, 65_535)
        small = peer.call(client.post, "/small", content=b"y" * 20_000)
        second = await peer.expect_headers()
        # The connection's window opens for far less than the large upload wants; the small one gets its turns.
        for _ in range(4):
            await peer.window_update(0, 2 * 16_384)
            await peer.settle()
        assert second.ended
        await peer.respond(second)
        await small.result()
        large.cancel()
        await large.over()


async def test_our_data_frames_stay_small_whatever_the_peer_allows() -> None:
    settings = {frames.MAX_FRAME_SIZE: 2**24 - 1, frames.INITIAL_WINDOW_SIZE: 2**31 - 1}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=b"x" * 10_000_000)
        request = await peer.expect_headers()
        await peer.expect_data(request, 65_535)
        await peer.window_update(0, 2**30)
        await peer.expect_end(request)
        await peer.respond(request)
        await call.result()
        assert max(frame.body_len for frame in peer.sent(hf.DataFrame)) <= 128 * KIB


async def test_two_senders_keep_their_messages_whole() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()

        async def send(letter: str) -> None:
            for n in range(50):
                await ws.send(letter * (n * 500))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send, "a")
            nursery.start_soon(send, "b")
        messages = [await theirs.expect_message() for _ in range(100)]
        for letter in "ab":
            own = [message for message in messages if str(message)[:1] in (letter, "")]
            assert sorted(len(message) for message in own if message) == [n * 500 for n in range(1, 50)]
        assert all(len(set(message)) <= 1 for message in messages)
        ws.abort()


async def test_many_senders_take_turns() -> None:
    limits = trio_h2ws.Limits(max_send_buffer=1000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        sent = [0] * 10

        async def send(n: int) -> None:
            while True:
                await ws.send(f"{n}".ljust(2000))
                sent[n] += 1

        async with trio.open_nursery() as nursery:
            for n in range(10):
                nursery.start_soon(send, n)
            for _ in range(200):
                await theirs.expect_message()
            nursery.cancel_scope.cancel()
        assert max(sent) - min(sent) <= 2  # first come, first served
        ws.abort()


async def test_a_new_sender_does_not_overtake_one_just_woken() -> None:
    settings = {frames.INITIAL_WINDOW_SIZE: 0, frames.ENABLE_CONNECT_PROTOCOL: 1}  # so nothing is sent
    limits = trio_h2ws.Limits(max_send_buffer=1)
    async with scripted_peer(settings=settings) as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket()
        ws = await opening.result()
        stream = stream_of(ws)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.send, "first")
            await trio.testing.wait_all_tasks_blocked()
            nursery.start_soon(ws.send, "waiting")
            await trio.testing.wait_all_tasks_blocked()
            # The buffer empties: the waiting sender is woken, but has not run yet.
            stream.out.clear()
            stream.out_size = 0
            stream.on_drained()
            with trio.move_on_after(0.1):
                await ws.send("newcomer")
            assert [len(message) for message in stream.out] == [2 + 4 + len("waiting")]
            nursery.cancel_scope.cancel()
        ws.abort()


# Receiving WebSockets.


async def test_a_slow_consumer_stops_only_its_own_peer() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/slow")
        slow = await peer.accept_websocket()
        slow_ws = await opening.result()
        opening = peer.call(client.connect_websocket, "/quick")
        quick = await peer.accept_websocket()
        quick_ws = await opening.result()

        async def flood() -> None:
            for _ in range(5000):
                await peer.data(slow, frames.ws(frames.BINARY, b"x" * 1000), within=10**9)

        peer.start_soon(flood)
        await peer.settle()
        assert peer.room(slow) < 1004
        for n in range(100):
            await quick.send(f"{n}")
            assert await quick_ws.receive() == f"{n}"
        held = streams_of(connection_of(client))[slow.stream].unread + messages_of(slow_ws).queued_bytes
        limits = trio_h2ws.Limits()
        assert held <= limits.stream_window + limits.max_queued_bytes
        # And nothing is lost.
        for _ in range(5000):
            assert await slow_ws.receive() == b"x" * 1000
        slow_ws.abort()
        quick_ws.abort()


async def test_a_message_larger_than_the_window_arrives() -> None:
    limits = trio_h2ws.Limits(stream_window=1000, max_stream_window=1000, max_queued_bytes=500)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        peer.start_soon(theirs.send, b"x" * 100_000)
        assert await ws.receive() == b"x" * 100_000
        ws.abort()


# Both directions.


async def test_a_streaming_echo_never_stalls() -> None:
    total = 8 * 1024 * KIB
    async with open_server(memory=True, tls=False) as server:
        async with trio_h2ws.open_client(open_stream=server.open_stream, http2="require") as client:

            async def parts() -> AsyncIterator[bytes]:
                for _ in range(total // 50_000 + 1):
                    yield b"x" * 50_000

            received = 0
            async with client.stream("POST", f"{server.url}/echo", content=parts()) as response:
                async for chunk in response:
                    received += len(chunk)
            assert received == (total // 50_000 + 1) * 50_000
        assert server.stats.errors == []
