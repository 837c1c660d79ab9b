"""One test for each known fault of another client. The names say what holds here."""

from __future__ import annotations

from collections.abc import AsyncIterator

import hyperframe.frame as hf
import pytest
import trio

import trio_h2ws
from toolkit import assert_clean, bystanders, connection_of, frames, scripted_peer
from toolkit.inside import replace_streams, streams_of

# httpx and httpx2.


async def test_a_cancelled_request_sends_rst_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        call.cancel()
        await peer.expect_rst(request, frames.CANCEL)


async def test_an_unread_body_does_not_block_the_connection() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        leave = trio.Event()

        async def never_read() -> None:
            async with client.stream("GET", "/40MB"):
                await leave.wait()

        unread = peer.call(never_read)
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await peer.raw(frames.body(request.stream, bytes(peer.room(request)), end=False))
        peer.may_send -= peer.room(request)
        for _ in range(3):
            call = peer.call(client.get, "/")
            await peer.respond(await peer.expect_headers(), body=bytes(5_000_000))
            assert len((await call.result()).content) == 5_000_000
        leave.set()
        await unread.result()
        await peer.expect_rst(request, frames.CANCEL)


async def test_cancelled_requests_give_their_streams_back() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for _ in range(250):
            call = peer.call(client.get, "/")
            await peer.expect_headers()
            call.cancel()
            await call.over()
        call = peer.call(client.get, "/next")
        await peer.respond(await peer.expect_headers())
        await call.result()
        await peer.settle()
        assert_clean(client, peer)


async def test_one_streams_timeout_leaves_its_siblings_alone() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 10) as beside:
        sibling = peer.call(client.get, "/sibling")
        request = await peer.expect_headers()
        with trio.move_on_after(0.01):
            await client.get("/too slow")
        await beside.check()
        await peer.respond(request, body=b"well")
        assert (await sibling.result()).content == b"well"


async def test_a_graceful_goaway_lets_the_request_finish() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/3MB")
        request = await peer.expect_headers()
        await peer.respond(request, body=bytes(100_000), end=False)
        await peer.goaway(request)
        await peer.data(request, bytes(2_900_000), end=True)
        assert len((await call.result()).content) == 3_000_000


async def test_refused_stream_and_goaway_0_are_retried() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=b"body")
        await peer.rst(await peer.expect_headers(), frames.REFUSED_STREAM)
        await peer.expect_headers()
        await peer.goaway(0)
        other = peer.another()
        request = await other.expect_headers()
        await other.expect_end(request)
        await other.respond(request, body=b"well")
        assert (await call.result()).content == b"well"


async def test_a_cancel_while_headers_are_written_keeps_hpack_in_step() -> None:
    async with scripted_peer(transport="lockstep") as peer, peer.open_client() as client:
        warm = peer.call(client.get, "/warm")
        await peer.respond(await peer.expect_headers())
        await warm.result()
        await peer.settle()
        peer.pause()
        # The socket accepts nothing: the tasks are cancelled while these headers are being written.
        calls = [peer.call(client.get, f"/{n}", headers={"x-new": f"{n}" * 100}) for n in range(20)]
        await trio.testing.wait_all_tasks_blocked()
        for call in calls:
            call.cancel()
        for call in calls:
            await call.over()
        peer.resume()
        call = peer.call(client.get, "/after", headers={"x-after": "y" * 100})
        while (request := await peer.expect_headers()).path != "/after":
            pass
        assert request["x-after"] == "y" * 100
        await peer.respond(request, body=b"in step")
        assert (await call.result()).content == b"in step"


# niquests.


async def test_a_pending_receive_blocks_no_send() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 3) as beside:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        receiving = peer.call(ws.receive)
        await peer.settle()
        await ws.send("meanwhile")
        assert await theirs.expect_message() == "meanwhile"
        await beside.check()
        await theirs.send("at last")
        assert await receiving.result() == "at last"
        ws.abort()


async def test_closing_one_websocket_leaves_its_siblings_open() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 9):
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        closing = peer.call(ws.aclose)
        await theirs.expect_close()
        # No empty END_STREAM frame: a server that has dropped the stream may end its connection for it.
        await theirs.close()
        await closing.result()
        await theirs.expect_rst(frames.CANCEL)
        assert not theirs.request.ended


async def test_no_extended_connect_is_sent_without_the_setting() -> None:
    # h2o answers an extended CONNECT that it did not offer with GOAWAY.
    async with scripted_peer({}) as peer, peer.open_client() as client:
        call = peer.call(client.connect_websocket, "/")
        error = await call.error(trio_h2ws.HTTP2NotAvailable)
        assert error.reason == "setting-absent"
        assert peer.sent(hf.HeadersFrame) == []


# undici.


async def test_a_refused_websocket_handshake_is_retried() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.connect_websocket, "/")
        await peer.rst(await peer.expect_headers(), frames.REFUSED_STREAM)
        await peer.accept_websocket()
        (await call.result()).abort()


async def test_messages_that_we_send_are_compressed() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket({"sec-websocket-extensions": "permessage-deflate"})
        ws = await opening.result()
        await ws.send("x" * 100_000)
        frame = await theirs.expect_frame(frames.TEXT)
        assert frame.rsv == 4
        assert len(frame.payload) < 1000
        ws.abort()


# trio-websocket.


async def test_pings_and_closes_pass_a_slow_consumer() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        for n in range(30):
            await theirs.send(f"{n}")
        await theirs.frame(frames.PING, b"alive?")
        assert (await theirs.expect_frame(frames.PONG)).payload == b"alive?"
        await theirs.close(1000)
        await theirs.expect_close(1000)
        assert [message async for message in ws] == [f"{n}" for n in range(30)]


async def test_the_users_exception_comes_out_bare() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()
        with pytest.raises(LookupError, match="mine"):
            async with client.websocket("/") as ws:
                await ws.send("x")
                raise LookupError("mine")


# Others, as their users reported.


async def test_a_cancelled_upload_gives_its_stream_back() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        gone = []

        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 1000
                    await trio.lowlevel.checkpoint()
            finally:
                gone.append(True)

        for _ in range(20):
            call = peer.call(client.post, "/", content=parts())
            request = await peer.expect_headers()
            await peer.expect_data(request, 10_000)
            call.cancel()
            await peer.expect_rst(request, frames.CANCEL)
            await call.over()
        await peer.settle()
        assert len(gone) == 20
        assert_clean(client, peer)


async def test_each_task_gets_its_own_exception_object() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        calls = [peer.call(client.get, "/") for _ in range(10)]
        for _ in calls:
            await peer.expect_headers()
        await peer.close()
        errors = [await call.error(trio_h2ws.ConnectionLost) for call in calls]
        assert len({id(error) for error in errors}) == 10
        assert len({id(error.__traceback__) for error in errors}) == 10


async def test_frames_in_flight_for_a_reset_stream_get_no_more_resets() -> None:
    # h2: 16 frames in flight, 16 more RST_STREAMs, which looks like a rapid reset to the server.
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await peer.settle()
        call.cancel()
        await call.over()
        await peer.raw(frames.data(request.stream, bytes(10_000)) * 16)
        peer.may_send -= 160_000
        await peer.settle()
        assert len(peer.sent(hf.RstStreamFrame)) == 1
        assert_clean(client, peer)


async def test_opening_a_stream_costs_the_same_with_many_open() -> None:
    # h2 visits all streams for each new one. This counts the visits, since times would be noisy.
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 10_000, frames.ENABLE_CONNECT_PROTOCOL: 1}) as peer:
        async with peer.open_client() as client:
            peer.serve()
            async with trio.open_nursery() as nursery:
                for _ in range(500):
                    nursery.start_soon(client.connect_websocket, "/")
            connection = connection_of(client)
            assert len(streams_of(connection)) == 500

            class CountedStreams(dict):  # type: ignore[type-arg]
                visits = 0

                def __iter__(self):  # type: ignore[no-untyped-def]
                    CountedStreams.visits += 1
                    return super().__iter__()

                def values(self):  # type: ignore[no-untyped-def]
                    CountedStreams.visits += 1
                    return super().values()

                def items(self):  # type: ignore[no-untyped-def]
                    CountedStreams.visits += 1
                    return super().items()

            replace_streams(connection, CountedStreams)
            for _ in range(10):
                await client.get("/")
            assert CountedStreams.visits == 0
