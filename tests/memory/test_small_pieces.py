"""What is kept takes about its own size, in however small pieces it came.

The kind: the peer chooses the sizes of frames, chunks, fragments and messages, and each Python object takes about 50
bytes beside its content. Memory is measured while the client keeps 12,000 pieces, and nothing else grows.
"""

from __future__ import annotations

import gc
import gzip
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from servers.http1 import Peer as PeerHTTP1
from servers.memory_http1 import memory_http1
from toolkit import frames, open_websocket, scripted_peer

PIECES = 12_000
SLACK = 150_000  # bytes, for what does not depend on the number of pieces: what was read last, 64 KiB, above all
LIMITS = trio_h2ws.Limits(
    stream_window=16 * 2**20,
    max_fragments=None,
    max_queued_messages=64,
    max_idle_frames=PIECES,
)
SIZES = pytest.mark.parametrize("size", [2, 33, 100])


@contextmanager
def growth() -> Iterator[Callable[[], int]]:
    """A function that says by how many bytes the memory of this process has grown."""
    gc.collect()
    tracemalloc.start()

    def grown() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - start

    try:
        start = tracemalloc.get_traced_memory()[0]
        yield grown
    finally:
        tracemalloc.stop()


def bound(content: int) -> int:
    return content * 5 // 4 + SLACK


def data_frames(stream: int, size: int) -> bytes:
    return b"".join([frames.data(stream, b"xy" * (size // 2) + b"z" * (size % 2))] * PIECES)


@SIZES
async def test_an_unread_body_takes_about_its_size(size: int, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:
        go_on = trio.Event()

        async def stream() -> int:
            async with client.stream("GET", "/") as response:
                await go_on.wait()
                return len(await response.read())

        call = peer.call(stream)
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        many = data_frames(request.stream, size)
        with growth() as grown:
            await peer.raw(many)
            await peer.settle()
            assert size * PIECES <= grown() < bound(size * PIECES)
        await peer.data(request, end=True)
        go_on.set()
        assert await call.result() == size * PIECES


@SIZES
async def test_a_collected_body_takes_about_its_size(size: int, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        many = data_frames(request.stream, size)
        with growth() as grown:
            await peer.raw(many)
            await peer.settle()
            assert size * PIECES <= grown() < bound(size * PIECES)
            await peer.data(request, end=True)
            response = await call.result()
            assert len(response.content) == size * PIECES
            assert grown() < bound(size * PIECES)


async def test_a_body_read_as_it_comes_takes_about_its_size(autojump_clock: MockClock) -> None:
    pieces = 10_000
    deadlines = 250_000  # bytes: of the peer's deadlines Trio keeps up to a thousand that are over
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:

        async def stream() -> int:
            async with client.stream("GET", "/") as response:
                return len(await response.read())

        call = peer.call(stream)
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        with growth() as grown:
            for _ in range(pieces):
                await peer.raw(frames.data(request.stream, b"xy"))
                await trio.testing.wait_all_tasks_blocked()
            assert grown() < bound(2 * pieces) + deadlines
        await peer.data(request, end=True)
        assert await call.result() == 2 * pieces


async def test_a_body_decoded_in_small_pieces_takes_about_its_size(autojump_clock: MockClock) -> None:
    """A gzip body of many members gives a piece for each."""
    data = gzip.compress(b"xy") * PIECES
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:
        for streamed in (False, True):

            async def read(streamed: bool = streamed) -> int:
                if not streamed:
                    return len((await client.get("/")).content)
                async with client.stream("GET", "/") as response:
                    return len(await response.read())

            call = peer.call(read)
            request = await peer.expect_headers()
            await peer.respond(request, headers={"content-encoding": "gzip"}, body=data, end=False)
            await peer.settle()
            with growth() as grown:
                await peer.data(request, end=True)
                assert await call.result() == 2 * PIECES
                peak = tracemalloc.get_traced_memory()[1]
                assert grown() < SLACK
            assert peak < bound(len(data) + 2 * 2 * PIECES)


@pytest.mark.parametrize("size", [2, 100])
async def test_frames_that_wait_for_room_take_about_their_size(size: int, autojump_clock: MockClock) -> None:
    """The queue of messages is full, and every further message comes in a DATA frame. It stays so after the end."""
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:
        ws, theirs = await open_websocket(peer, client)
        many = frames.data(theirs.stream, frames.ws(frames.BINARY, b"x" * size)) * PIECES
        with growth() as grown:
            await peer.raw(many)
            await peer.settle()
            assert size * PIECES <= grown() < bound((size + 2) * PIECES)
            await peer.rst(theirs)
            await peer.settle()
            assert size * PIECES <= grown() < bound((size + 2) * PIECES)
        for _ in range(PIECES):
            assert await ws.receive() == b"x" * size
        with pytest.raises(trio_h2ws.WebSocketClosed):
            await ws.receive()


FRAGMENTS = [
    pytest.param(frames.BINARY, b"xy", id="binary, 2 bytes"),
    pytest.param(frames.BINARY, b"x" * 100, id="binary, 100 bytes"),
    pytest.param(frames.TEXT, b"xy", id="text, 2 bytes"),
    pytest.param(frames.TEXT, b"xy" * 50, id="text, 100 bytes"),
]


@pytest.mark.parametrize("frame_each", [False, True], ids=["together", "a DATA frame each"])
@pytest.mark.parametrize(("opcode", "piece"), FRAGMENTS)
async def test_a_message_in_fragments_takes_about_its_size(
    opcode: int, piece: bytes, frame_each: bool, autojump_clock: MockClock
) -> None:
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:
        ws, theirs = await open_websocket(peer, client)
        await theirs.raw(frames.ws(opcode, piece, fin=False))
        one = frames.ws(frames.CONT, piece, fin=False)
        many = (
            frames.data(theirs.stream, one) * PIECES
            if frame_each
            else frames.body(theirs.stream, one * PIECES, end=False)
        )
        with growth() as grown:
            await peer.raw(many)
            await peer.settle()
            size = len(piece) * PIECES
            assert size <= grown() < bound(size)
        await theirs.raw(frames.ws(frames.CONT, b""))
        assert len(await ws.receive()) == size + len(piece)
        ws.abort()


@pytest.mark.parametrize("piece", [b"xy", b"xy" * 50])
async def test_parts_that_are_not_taken_take_about_their_size(piece: bytes, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:
        ws, theirs = await open_websocket(peer, client)
        await theirs.raw(frames.ws(frames.BINARY, b"first", fin=False))
        parts = ws.receive_parts()
        assert await anext(parts) == b"first"
        one = frames.ws(frames.CONT, piece, fin=False)
        many = frames.data(theirs.stream, one) * PIECES
        with growth() as grown:
            await peer.raw(many)
            await peer.settle()
            assert len(piece) * PIECES <= grown() < bound(len(one) * PIECES)
        await theirs.raw(frames.ws(frames.CONT, b"last"))
        assert b"".join([part async for part in parts]) == piece * PIECES + b"last"
        ws.abort()


@pytest.mark.parametrize("text", ["", "xy", "x" * 10])
async def test_queued_messages_are_bounded_with_their_objects(text: str, autojump_clock: MockClock) -> None:
    limits = trio_h2ws.Limits(max_queued_messages=10**9, max_queued_bytes=100_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        ws, theirs = await open_websocket(peer, client)
        one = frames.ws(frames.TEXT, text)
        with growth() as grown:
            await theirs.raw(one * (limits.stream_window // len(one)))
            await peer.settle()
            assert grown() < bound(limits.max_queued_bytes + limits.stream_window)
        for _ in range(limits.stream_window // len(one)):
            assert await ws.receive() == text
        ws.abort()


# HTTP/1.1.


@pytest.mark.parametrize("size", [2, 100])
@pytest.mark.parametrize("collected", [False, True], ids=["unread", "collected"])
async def test_a_body_in_small_chunks_takes_about_its_size(
    size: int, collected: bool, autojump_clock: MockClock
) -> None:
    chunk = b"x" * size
    many = (b"%x\r\n%b\r\n" % (len(chunk), chunk)) * PIECES
    go_on = trio.Event()

    async def serve(peer: PeerHTTP1) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + many)
        await go_on.wait()
        await peer.send(b"0\r\n\r\n")

    async def get(client: trio_h2ws.Client) -> bytes:
        if collected:
            return (await client.get("/")).content
        async with client.stream("GET", "/") as response:
            await go_on.wait()
            return await response.read()

    async with memory_http1(serve, limits=LIMITS) as server, trio.open_nursery() as nursery:
        with growth() as grown:

            async def check() -> None:
                assert await get(server.client) == chunk * PIECES

            nursery.start_soon(check)
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert len(chunk) * PIECES <= grown() < bound(len(chunk) * PIECES)
        go_on.set()


@pytest.mark.parametrize("kind", ["fragments", "messages"])
async def test_frames_that_arrive_one_by_one_take_about_their_size(kind: str, autojump_clock: MockClock) -> None:
    """Over HTTP/1.1, as fragments of one message, or as messages that wait for room."""
    pieces = PIECES // 3
    one = frames.ws(frames.CONT if kind == "fragments" else frames.TEXT, "xy", fin=kind != "fragments")
    begin, go_on = trio.Event(), trio.Event()

    async def serve(peer: PeerHTTP1) -> None:
        request = await peer.request()
        assert request is not None
        await peer.accept_websocket(request)
        await begin.wait()
        await peer.send(frames.ws(frames.TEXT, "", fin=False) if kind == "fragments" else b"")
        for _ in range(pieces):
            await peer.send(one)
        await go_on.wait()
        await peer.send(frames.ws(frames.CONT, "") if kind == "fragments" else b"")
        await peer.gone()

    async with memory_http1(serve, limits=LIMITS) as server:
        ws = await server.client.connect_websocket("ws://server.test/", compression=None)
        with growth() as grown:
            begin.set()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert 2 * pieces <= grown() < bound(len(one) * pieces)
        go_on.set()
        if kind == "fragments":
            assert await ws.receive() == "xy" * pieces
        else:
            for _ in range(pieces):
                assert await ws.receive() == "xy"
        ws.abort()


# Header lists that are kept: 1xx responses and trailers.

HEADERS = trio_h2ws.Limits(max_header_list_size=16_384, max_informational=8)
HEADERS_HTTP1 = trio_h2ws.Limits(max_header_list_size=65_536, max_informational=8)


@pytest.mark.parametrize("value", [b"ab", b"x" * 26])
async def test_header_lists_take_five_times_their_bound(value: bytes, autojump_clock: MockClock) -> None:
    bound = HEADERS.max_header_list_size
    many = range(bound // (34 + len(value)) - 5)
    async with scripted_peer() as peer, peer.open_client(limits=HEADERS) as client:
        go_on = trio.Event()

        async def stream() -> int:
            async with client.stream("GET", "/") as response:
                await go_on.wait()
                return len(response.informational) + len(response.trailers)

        call = peer.call(stream)
        request = await peer.expect_headers()
        block = frames.literals([(b"%02x" % (n % 256), value) for n in many])
        # Each is different: of a block that is remembered, the fields are shared.
        early = [frames.literals([(b":status", b"103"), (b"n", b"%d" % n)]) + block for n in range(8)]
        with growth() as grown:
            await peer.raw(b"".join(frames.headers(request.stream, fields) for fields in early))
            await peer.raw(frames.headers(request.stream, frames.literals([(b":status", b"200")])))
            await peer.raw(frames.headers(request.stream, block, end=True))
            await peer.settle()
            assert 9 * bound < grown() < 9 * 5 * bound + SLACK
        go_on.set()
        assert await call.result() == 8 + len(many)


@pytest.mark.parametrize("value", [b"", b"x" * 26])
async def test_header_lists_over_http1_take_five_times_their_bound(value: bytes, autojump_clock: MockClock) -> None:
    bound = HEADERS_HTTP1.max_header_list_size
    begin, go_on = trio.Event(), trio.Event()

    async def serve(peer: PeerHTTP1) -> None:
        await peer.request()
        await begin.wait()
        fields = b"".join([b"%02x:%b\r\n" % (n % 256, value) for n in range(bound // 32 - 5)]) + b"\r\n"
        await peer.send((b"HTTP/1.1 103 Fine\r\n" + fields) * 8)
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + fields)
        await peer.gone()

    async with memory_http1(serve, limits=HEADERS_HTTP1) as server, trio.open_nursery() as nursery:

        async def check() -> None:
            async with server.client.stream("GET", "/") as response:
                await go_on.wait()
                assert await response.read() == b""
                assert len(response.informational) == 8
                assert len(response.trailers) == bound // 32 - 5

        nursery.start_soon(check)
        await trio.testing.wait_all_tasks_blocked(0.01)
        with growth() as grown:
            begin.set()
            await trio.testing.wait_all_tasks_blocked(0.01)
            assert 9 * bound < grown() < 9 * 5 * bound + SLACK
        go_on.set()
