"""Floods are bounded, in memory and in time: beyond a named bound the connection (or the stream) ends, with a
code."""

from __future__ import annotations

import time
import tracemalloc
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import hpack
import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, PeerSocket, assert_clean, bystanders, connection_of, frames, open_websocket, scripted_peer
from toolkit.inside import messages_of, raw_bytes_of, streams_of

MIB = 1024 * 1024


@contextmanager
def bounded(memory: int, seconds: float) -> Iterator[None]:
    """Fail if the block needs more memory at any moment, or more CPU time (tracing slows everything down)."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        start = time.process_time()
        yield
        spent = time.process_time() - start
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak - before < memory, f"{(peak - before) / MIB:.1f} MiB"
    assert spent < seconds, f"{spent:.2f} s"


async def send_all(peer: Peer, flood: bytes) -> None:
    """Send it, or as much as the client reads before it leaves."""
    for at in range(0, len(flood), 65_536):
        try:
            await peer.raw(flood[at : at + 65_536])
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return


USELESS: dict[str, bytes] = {
    "PING": frames.ping(),
    "unasked answers to PING": frames.ping(ack=True),
    "SETTINGS": frames.settings({}),
    "SETTINGS that change a window": frames.settings({frames.INITIAL_WINDOW_SIZE: 1000}),
    "unasked answers to SETTINGS": frames.settings(ack=True),
    "empty DATA": frames.data(1),
    "DATA of padding": frames.data(1, pad=50),
    "PRIORITY": frames.priority(1),
    "PRIORITY of idle streams": frames.priority(9999),
    "WINDOW_UPDATE of the connection": frames.window_update(0, 1),
    "WINDOW_UPDATE of a stream": frames.window_update(1, 1),
    "unknown frames": frames.raw(0xBE),
    "unknown frames with a payload": frames.raw(0xBE, 0, 1, b"x" * 100),
    "ALTSVC": frames.raw(10, 0, 0, b"\0\0"),
    "GOAWAY": frames.goaway(),
}


@pytest.mark.slow
@pytest.mark.parametrize("frame", USELESS.values(), ids=USELESS)
async def test_a_flood_of_useless_frames_ends_the_connection(frame: bytes) -> None:
    limits = trio_h2ws.Limits()
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await peer.settle()
        with bounded(20 * MIB, 10):
            await send_all(peer, frame * 20_000)
            await peer.expect_goaway(frames.ENHANCE_YOUR_CALM)
        error = await call.error(trio_h2ws.LimitExceeded)
        # Many PINGs in one read make us owe more than is allowed before we can write anything.
        assert error.bound in ("max_idle_frames", "max_owed_bytes")
        assert error.limit == getattr(limits, error.bound)
        assert f"Limits.{error.bound}" in str(error)
        await peer.expect_eof()


@pytest.mark.parametrize("frame", USELESS.values(), ids=USELESS)
async def test_a_thousand_useless_frames_are_not_a_flood(frame: bytes) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        for _ in range(20):
            await peer.raw(frame * 50)
        await peer.settle()
        await peer.data(request, b"well", end=True)
        assert (await call.result()).content == b"well"


async def test_slow_pings_are_never_a_flood(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        for _ in range(500):
            await peer.raw(frames.ping() * 100)
            await trio.sleep(1)
        await peer.respond(request)
        await call.result()


@pytest.mark.slow
async def test_unread_answers_are_bounded() -> None:
    async with scripted_peer(transport="lockstep") as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.expect_headers()
        await peer.settle()
        peer.auto_pong = False
        peer.pause()
        await send_all(peer, frames.ping() * 1000)
        with trio.move_on_after(1):
            await send_all(peer, frames.ping() * 10_000)
        error = await call.error(trio_h2ws.LimitExceeded)
        assert error.bound in ("max_owed_bytes", "max_idle_frames")


async def test_a_flood_of_settings_ends_the_connection() -> None:
    # CVE-2020-11080. Unknown settings may have any code.
    async with scripted_peer() as peer, peer.open_client() as client:
        await peer.exchange(client)
        call = peer.call(client.get, "/")
        await peer.expect_headers()
        full = [frames.settings({n: n for n in range(100 + k * 2700, 2800 + k * 2700)}) for k in range(20)]
        flood = b"".join(full) * 100
        with bounded(20 * MIB, 10):
            await send_all(peer, flood)
            await peer.expect_goaway(frames.ENHANCE_YOUR_CALM)
        assert (await call.error(trio_h2ws.LimitExceeded)).bound == "max_idle_frames"


async def test_endless_informational_responses_end_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 2):
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await send_all(peer, frames.headers(request.stream, frames.literals([(":status", "103")])) * 1000)
        error = await call.error(trio_h2ws.LimitExceeded)
        assert (error.bound, error.limit) == ("max_informational", trio_h2ws.Limits().max_informational)
        await peer.expect_rst(request, frames.ENHANCE_YOUR_CALM)


async def test_a_flood_for_a_closed_stream_ends_the_connection() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request)
        await call.result()
        for frame in (frames.rst(1), frames.window_update(1, 1), frames.headers(1, b"\x88"), frames.data(1, b"x")):
            await send_all(peer, frame * 100)
        await peer.settle()
        # Answered once, and not a hundred times.
        assert len(peer.sent(hf.RstStreamFrame)) == 1
        await send_all(peer, frames.rst(1) * 10_000)
        await peer.expect_goaway(frames.ENHANCE_YOUR_CALM)


async def test_streams_that_are_reset_at_once_leave_nothing() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for _ in range(1000):
            call = peer.call(client.get, "/")
            await peer.rst(await peer.expect_headers(), frames.INTERNAL_ERROR)
            await call.error(trio_h2ws.StreamReset)
        assert_clean(client, peer)
        assert peer.dials == 1


async def test_late_frames_for_a_cancelled_stream_are_bounded() -> None:
    limits = trio_h2ws.Limits(stream_window=10_000, max_stream_window=10_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await peer.settle()
        call.cancel()
        await peer.expect_rst(request)
        await send_all(peer, frames.data(request.stream, b"x") * 20_000)
        await peer.expect_goaway(frames.ENHANCE_YOUR_CALM)


async def test_a_push_promise_ends_the_connection() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        block = hpack.Encoder().encode([(":method", "GET"), (":path", "/pushed")])
        await send_all(peer, frames.push_promise(request.stream, 2, block) * 1000)
        await peer.expect_goaway(frames.PROTOCOL_ERROR)
        await call.error(trio_h2ws.RemoteProtocolError)


# Header blocks.


@pytest.mark.parametrize("piece", [b"", b"\x88", b"x" * 16_000], ids=["empty", "small", "large"])
async def test_endless_continuation_ends_the_connection(piece: bytes) -> None:
    # CVE-2024-27316 and its relatives.
    async with scripted_peer() as peer, peer.open_client() as client:
        await peer.exchange(client)
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        flood = frames.headers(request.stream, b"", end_headers=False)
        flood += frames.continuation(request.stream, piece) * 500
        with bounded(20 * MIB, 5):
            await send_all(peer, flood)
            await peer.expect_goaway(frames.ENHANCE_YOUR_CALM)
        assert (await call.error(trio_h2ws.LimitExceeded)).bound in (
            "max_continuation_frames",
            "max_header_list_size",
        )


async def test_a_header_list_over_the_bound_ends_the_connection() -> None:
    limits = trio_h2ws.Limits(max_header_list_size=10_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        assert client.connections == []
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        assert peer.client_settings[frames.MAX_HEADER_LIST_SIZE] == 10_000
        await peer.respond(request, headers={f"x-{n}": "y" * 100 for n in range(60)})
        await call.result()
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, headers={f"x-{n}": "y" * 100 for n in range(100)})
        error = await call.error(trio_h2ws.LimitExceeded)
        assert error.bound == "max_header_list_size"
        await peer.expect_goaway(frames.ENHANCE_YOUR_CALM)


async def test_an_hpack_bomb_ends_the_connection() -> None:
    # CVE-2016-6581: one entry of 4 KB, and then a byte for each of its copies.
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        bomb = b"\x88" + frames.literal(b"x-bomb", b"y" * 4000, index=True) + frames.indexed(62) * 12_000
        with bounded(20 * MIB, 5):
            await send_all(peer, frames.headers(request.stream, bomb))
            await peer.expect_goaway(frames.ENHANCE_YOUR_CALM)
        assert (await call.error(trio_h2ws.LimitExceeded)).bound == "max_header_list_size"


async def test_many_empty_fields_cost_little() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        flood = b"\x88" + frames.literal(b"a", b"") * 3900
        with bounded(20 * MIB, 5):
            await send_all(peer, frames.headers(request.stream, flood, end=True))
            await call.over()
        assert len((await call.result()).headers) == 3900


async def test_endless_integers_and_strings_end_the_connection() -> None:
    for block in (b"\x7f" + b"\xff" * 16_000, b"\x40\x7f" + b"\xff" * 10_000 + b"\x7f", b"\x3f" + b"\x80" * 16_000):
        async with scripted_peer() as peer, peer.open_client() as client:
            call = peer.call(client.get, "/")
            request = await peer.expect_headers()
            with bounded(20 * MIB, 5):
                await send_all(peer, frames.headers(request.stream, block))
                await peer.expect_goaway(frames.COMPRESSION_ERROR)
            await call.error(trio_h2ws.RemoteProtocolError)


# Bodies.


@pytest.mark.slow
@pytest.mark.parametrize("layers", [1, 2])
async def test_a_body_that_inflates_beyond_the_bound_is_an_error(layers: int) -> None:
    limits = trio_h2ws.Limits(max_body_size=MIB)
    bomb = bytes(200 * MIB)
    for _ in range(layers):
        bomb = zlib.compress(bomb)

    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:

        async def read() -> bytes:
            async with client.stream("GET", "/") as response:
                return await response.read()

        async def iterate() -> None:
            async with client.stream("GET", "/") as response:
                async for piece in response:
                    assert len(piece) <= MIB
                    return

        headers = {"content-encoding": ", ".join(["deflate"] * layers)}
        for function in (lambda: client.get("/"), read):
            call = peer.call(function)
            request = await peer.expect_headers()
            with bounded(8 * MIB, 5):
                await peer.respond(request, headers=headers, body=bomb)
                error = await call.error(trio_h2ws.LimitExceeded)
            assert error.bound == "max_body_size"
        call = peer.call(iterate)
        request = await peer.expect_headers()
        with bounded(8 * MIB, 5):
            await peer.respond(request, headers=headers, body=bomb)
            await call.result()
        await peer.settle()
        assert_clean(client, peer)


# WebSockets.


async def test_unread_pongs_end_the_websocket() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 2):
        ws, theirs = await open_websocket(peer, client)
        peer.auto_credit = False
        receiving = peer.call(ws.receive)
        with bounded(20 * MIB, 10):
            for _ in range(100):
                await theirs.raw(frames.ws(frames.PING, b"x" * 125) * 100)
                if receiving.done:
                    break
        error = await receiving.error(trio_h2ws.WebSocketClosed)
        assert error.code == 1008
        # What we owe stays within the bound of the send buffer.
        stream = streams_of(connection_of(client)).get(theirs.stream)
        assert stream is None or stream.out_size <= 2 * trio_h2ws.Limits().max_send_buffer
        peer.auto_credit = True
        await peer.window_update(0, 65_535)


@pytest.mark.slow
async def test_one_websocket_ping_a_second_is_never_a_flood(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        for _ in range(5000):
            await theirs.frame(frames.PING, b"x")
            await theirs.expect_frame(frames.PONG)
            await trio.sleep(1)
        ws.abort()


@pytest.mark.parametrize("opcode", [frames.PING, frames.PONG])
async def test_a_flood_of_control_frames_ends_the_websocket(opcode: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 2):
        ws, theirs = await open_websocket(peer, client)
        receiving = peer.call(ws.receive)
        with bounded(20 * MIB, 10):
            await peer.data(theirs, frames.ws(opcode) * 50_000)
            error = await receiving.error(trio_h2ws.WebSocketClosed)
        assert error.code == 1008
        assert "Limits.max_idle_frames" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "tiny"])
async def test_a_message_in_tiny_fragments_ends_the_websocket(payload: bytes) -> None:
    # CVE-2026-12151
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 2):
        ws, theirs = await open_websocket(peer, client)
        receiving = peer.call(ws.receive)
        flood = frames.ws(frames.BINARY, fin=False) + frames.ws(frames.CONT, payload, fin=False) * 30_000
        with bounded(20 * MIB, 10):
            await peer.data(theirs, flood)
            error = await receiving.error(trio_h2ws.WebSocketClosed)
        assert error.code == 1008
        assert "Limits.max_fragments" in str(error)


async def test_empty_messages_wait_in_the_window() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        with bounded(20 * MIB, 10):
            await peer.data(theirs, frames.ws(frames.TEXT) * 100_000)
            await peer.settle()
            assert len(messages_of(ws).messages) <= trio_h2ws.Limits().max_queued_messages
        for _ in range(1000):
            assert await ws.receive() == ""
        ws.abort()


@pytest.mark.parametrize("fragments", [1, 100])
async def test_a_message_over_the_bound_ends_the_websocket(fragments: int) -> None:
    limits = trio_h2ws.Limits(max_message_size=100_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client, bystanders(peer, client, 2):
        ws, theirs = await open_websocket(peer, client)
        receiving = peer.call(ws.receive)
        await theirs.send(b"x" * 100_000)
        assert await receiving.result() == b"x" * 100_000
        receiving = peer.call(ws.receive)
        size = 100_001 // fragments + 1
        for n in range(fragments):
            await theirs.frame(frames.CONT if n else frames.BINARY, b"x" * size, fin=n == fragments - 1)
        error = await receiving.error(trio_h2ws.WebSocketClosed)
        assert error.code == 1009
        assert "Limits.max_message_size" in str(error)
        await theirs.expect_close(1009)
        await theirs.expect_rst()


async def test_an_unread_message_over_the_bound_waits_in_the_window() -> None:
    # It could still be received in parts, so it is not an error yet.
    limits = trio_h2ws.Limits(max_message_size=100_000, stream_window=50_000, max_stream_window=50_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client, bystanders(peer, client, 2):
        ws, theirs = await open_websocket(peer, client)
        peer.start_soon(flood_forever, theirs)
        await peer.settle()
        assert raw_bytes_of(ws) + streams_of(connection_of(client))[theirs.stream].unread <= 200_000
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.code == 1009


async def flood_forever(theirs: PeerSocket) -> None:
    try:
        await theirs.raw(frames.ws(frames.BINARY, length=10 * MIB))
        for _ in range(10):
            await theirs.raw(bytes(MIB))
    except AssertionError:
        pass  # no more credit, as expected


@pytest.mark.slow
@pytest.mark.parametrize("split", [1000, 16_000])
async def test_a_message_that_inflates_too_far_ends_the_websocket(split: int) -> None:
    # CVE-2026-1526: 200 KB become 200 MB.
    limits = trio_h2ws.Limits(max_message_size=MIB)
    deflate = zlib.compressobj(wbits=-15)
    bomb = deflate.compress(bytes(200 * MIB)) + deflate.flush(zlib.Z_SYNC_FLUSH)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client, bystanders(peer, client, 2):
        ws, theirs = await open_websocket(peer, client, headers={"sec-websocket-extensions": "permessage-deflate"})
        receiving = peer.call(ws.receive)
        data = frames.ws(frames.BINARY, bomb[:-4], rsv=4)
        with bounded(8 * MIB, 5):
            for at in range(0, len(data), split):
                await peer.data(theirs, data[at : at + split])
            error = await receiving.error(trio_h2ws.WebSocketClosed)
        assert error.code == 1009
        await theirs.expect_close(1009)


async def test_fragments_that_inflate_too_far_end_the_websocket() -> None:
    limits = trio_h2ws.Limits(max_message_size=MIB)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        ws, theirs = await open_websocket(peer, client, headers={"sec-websocket-extensions": "permessage-deflate"})
        receiving = peer.call(ws.receive)
        deflate = zlib.compressobj(wbits=-15)
        with bounded(16 * MIB, 5):
            for n in range(100):
                part = deflate.compress(bytes(MIB)) + deflate.flush(zlib.Z_SYNC_FLUSH)
                await theirs.frame(frames.CONT if n else frames.BINARY, part, fin=False, rsv=0 if n else 4)
                if receiving.done:
                    break
            error = await receiving.error(trio_h2ws.WebSocketClosed)
        assert error.code == 1009


@pytest.mark.slow
async def test_many_waiting_chunks_at_the_end_take_linear_time() -> None:
    # Many chunks wait when the stream ends; joining them one by one would take quadratic time.
    limits = trio_h2ws.Limits(stream_window=16 * MIB)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        ws, theirs = await open_websocket(peer, client)
        message = frames.ws(frames.BINARY, b"x" * 1000)
        data = message * (12 * MIB // len(message))
        start = time.process_time()
        await peer.data(theirs, data, size=1004, end=True)
        count = 0
        with pytest.raises(trio_h2ws.WebSocketClosed):
            while True:
                assert len(await ws.receive()) == 1000
                count += 1
        assert count == len(data) // len(message)
        assert time.process_time() - start < 3
