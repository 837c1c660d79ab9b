"""HTTP/1.1: what the application leaves unread holds back its own exchange, and nothing else.

The kind: the reader sleeps while `Limits.stream_window` bytes are unread, and whatever makes that wait pointless (the
response is whole, its block is left, the connection ends) must wake it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from servers.http1 import Peer
from servers.memory_http1 import memory_http1
from toolkit.inside import assert_clean

SECONDS = 20.0
WHOLE = 300_000  # more than stream_window, and it arrives in a few reads


async def sizes(peer: Peer) -> None:
    """`/N` is answered with N bytes."""
    while (request := await peer.request()) is not None:
        await peer.respond(200, b"x" * int(request.target[1:]))


async def quickly(client: trio_h2ws.Client, size: int = 2) -> None:
    with trio.fail_after(SECONDS):
        assert len((await client.get(f"/{size}")).content) == size


@pytest.mark.parametrize("size", [262_144, WHOLE, 393_216])
async def test_an_unread_response_does_not_stall_the_next_request(size: int, autojump_clock: MockClock) -> None:
    async with memory_http1(sizes) as server:
        for _ in range(3):
            async with server.client.stream("GET", f"/{size}"):
                await trio.sleep(0.1)
            await quickly(server.client)
        await quickly(server.client, 1_000_000)
        assert_clean(server.client)


async def test_a_request_beside_an_unread_response_is_answered(autojump_clock: MockClock) -> None:
    async with memory_http1(sizes) as server:
        async with server.client.stream("GET", f"/{WHOLE}") as first:
            await trio.sleep(0.1)
            await quickly(server.client)
            async with server.client.stream("GET", f"/{WHOLE}") as second:
                await trio.sleep(0.1)
                await quickly(server.client)
                assert len(await second.read()) == WHOLE
            assert len(await first.read()) == WHOLE
        await quickly(server.client)
        assert server.accepted == 1


async def test_reading_late_gives_no_credit_to_the_next_response(autojump_clock: MockClock) -> None:
    """A whole response that is read beside the next one does not count for that one."""
    sent = 0

    async def serve(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.respond(200, b"x" * WHOLE)
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n")
        for _ in range(1000):
            await peer.send(b"y" * 10_000)
            sent += 10_000
            await trio.sleep(0.001)

    async with memory_http1(serve) as server:
        async with server.client.stream("GET", "/") as first:
            await trio.sleep(0.1)
            async with server.client.stream("GET", "/") as second:
                assert len(await first.read()) == WHOLE
                await trio.sleep(5)
                assert second.connection.id == first.connection.id
                assert second.connection.bytes_in < 2 * WHOLE + 262_144
                assert len(await second.read()) == 10_000_000 == sent


async def test_an_unread_response_does_not_hide_the_end_of_the_connection(autojump_clock: MockClock) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"x" * WHOLE)
        await trio.sleep(1)

    async with memory_http1(serve) as server:
        for turn in (1, 2):
            async with server.client.stream("GET", "/") as response:
                await trio.sleep(0.5)
                assert len(server.client.connections) == 1
                await trio.sleep(1)
                assert server.client.connections == []
                assert len(await response.read()) == WHOLE
            # Not even a POST is lost.
            assert (await server.client.post("/", content=b"pay")).status == 200
            await trio.sleep(1.5)
            assert server.accepted == 2 * turn


async def test_leaving_an_endless_response_frees_the_origin(autojump_clock: MockClock) -> None:
    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if request.target == "/2":
                await peer.respond(200, b"ok")
                continue
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
            while True:
                await peer.send(b"x" * 10_000)
                await trio.sleep(0.001)

    async with memory_http1(serve) as server:
        for _ in range(3):
            async with server.client.stream("GET", "/endless"):
                await trio.sleep(1)
            await quickly(server.client)
        assert len(server.client.connections) == 1


@pytest.mark.parametrize("end", [True, False])
async def test_a_sleeping_reader_hears_the_end_when_it_reads_on(end: bool, autojump_clock: MockClock) -> None:
    """The peer ends the connection in the middle of a body while the application does not read."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n" + b"x" * WHOLE)
        await trio.sleep(1)
        if not end:
            await trio.sleep_forever()

    async with memory_http1(serve) as server:
        count = 0
        async with server.client.stream("GET", "/") as response:
            await trio.sleep(2)
            with trio.move_on_after(5) as scope:
                try:
                    async for piece in response:
                        count += len(piece)
                except (trio_h2ws.ConnectionLost, trio_h2ws.RemoteProtocolError):
                    assert end
            assert scope.cancelled_caught is not end
        assert count == WHOLE


async def test_the_client_ends_while_its_reader_sleeps(autojump_clock: MockClock) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n" + b"x" * WHOLE)
        await peer.gone()

    start = trio.current_time()
    async with memory_http1(serve) as server:
        async with trio.open_nursery() as nursery:

            async def hang() -> None:
                async with server.client.stream("GET", "/"):
                    await trio.sleep_forever()

            nursery.start_soon(hang)
            await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
    assert trio.current_time() - start < 2


async def test_an_unread_response_during_an_upload_does_not_stall_it(autojump_clock: MockClock) -> None:
    """The response is whole before the request is; the upload goes on, and then the connection is reused."""
    got = 0

    async def serve(peer: Peer) -> None:
        nonlocal got
        await peer.head()
        await peer.respond(200, b"x" * WHOLE)
        while piece := await peer.piece():
            got += len(piece)
        await sizes(peer)

    async def parts() -> AsyncIterator[bytes]:
        for _ in range(50):
            await trio.sleep(0.05)
            yield b"y" * 10_000

    async with memory_http1(serve) as server:
        async with server.client.stream("POST", "/", content=parts()) as response:
            await trio.sleep(5)
            assert got == 500_000
            await quickly(server.client)
            assert len(await response.read()) == WHOLE
        assert server.accepted == 1


# After Upgrade.


async def test_an_unread_websocket_can_be_closed(autojump_clock: MockClock) -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        socket = await peer.accept_websocket(request)
        for _ in range(200):
            await peer.send(b"\x82\x7e\x27\x10" + b"x" * 10_000)
        await socket.echo()

    async with memory_http1(serve) as server:
        for _ in range(2):
            with trio.fail_after(SECONDS):
                ws = await server.client.connect_websocket("ws://server.test/")
                await trio.sleep(1)
                await ws.aclose()
            await trio.sleep(1)
            assert (ws.close_code, len(server.client.connections)) == (1000, 0)


async def test_a_websocket_that_is_read_late_loses_nothing(autojump_clock: MockClock) -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        await peer.accept_websocket(request)
        for _ in range(200):
            await peer.send(b"\x82\x7e\x27\x10" + b"x" * 10_000)
        await peer.send(b"\x88\x02\x03\xe8")
        await peer.gone()

    async with memory_http1(serve) as server:
        ws = await server.client.connect_websocket("ws://server.test/")
        await trio.sleep(1)
        assert ws.connection.bytes_in < 1_000_000
        count = 0
        async for message in ws:
            count += len(message)
        assert count == 2_000_000


async def test_aborting_an_unread_websocket_frees_its_connection(autojump_clock: MockClock) -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        await peer.accept_websocket(request)
        while True:
            await peer.send(b"\x82\x7e\x27\x10" + b"x" * 10_000)
            await trio.sleep(0.001)

    async with memory_http1(serve) as server:
        ws = await server.client.connect_websocket("ws://server.test/")
        await trio.sleep(2)
        ws.abort()
        await trio.sleep(2)
        assert server.client.connections == []
