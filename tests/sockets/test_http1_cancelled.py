"""HTTP/1.1: calls that are given up, readers that are slow, clients that are left."""

from __future__ import annotations

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import until


async def test_a_cancelled_request_takes_its_connection_with_it_and_nothing_else() -> None:
    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if request.target == "/hang":
                await peer.gone()
                return
            await peer.respond(200, b"hello")

    async with open_http1(serve) as server, server.open_client() as client:
        for _ in range(5):
            with trio.move_on_after(0.02):
                await client.get("/hang")
            assert (await client.get("/")).content == b"hello"
        await trio.testing.wait_all_tasks_blocked()
        await until(lambda: server.alive <= 1)
        assert len(client.connections) == 1


async def test_leaving_a_stream_early_leaves_the_client_usable() -> None:
    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            await peer.respond(200, b"x" * (10_000_000 if request.target == "/big" else 5))

    async with open_http1(serve) as server, server.open_client() as client:
        async with client.stream("GET", "/big") as response:
            await response.__anext__()
        assert (await client.get("/")).content == b"xxxxx"
        assert server.accepted == 2


async def test_a_slow_reader_holds_the_server_back_and_nobody_else() -> None:
    sent = 0

    async def serve(peer: Peer) -> None:
        nonlocal sent
        while (request := await peer.request()) is not None:
            if request.target != "/big":
                await peer.respond(200, b"small")
                continue
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
            for _ in range(10_000):
                await peer.send(b"x" * 10_000)
                sent += 10_000

    async with open_http1(serve, tls=False) as server, server.open_client() as client:
        async with client.stream("GET", "/big") as response:
            before = -1
            while before != sent:
                before = sent
                assert (await client.get("/")).content == b"small"
                await trio.sleep(0.1)
            # The window, one read, and what the two sockets hold.
            assert sent < 20_000_000
            assert response.connection.bytes_in < 1_000_000
            count = 0
            async for piece in response:
                count += len(piece)
            assert count == 100_000_000


async def test_leaving_the_client_ends_what_hangs() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with open_http1(serve) as server:
        async with trio.open_nursery() as nursery, server.open_client() as client:

            async def hang() -> None:
                with pytest.raises(trio_h2ws.ConnectionLost):
                    await client.get("/")

            nursery.start_soon(hang)
            await until(lambda: server.accepted and client.connections)
            await trio.sleep(0.01)
        await until(lambda: not server.alive)


async def test_goodbye_is_said_before_the_end() -> None:
    """Without the close_notify a server can't tell our end from a cut, and some log an error for each."""
    clean: list[bool] = []

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200)
        assert isinstance(peer.stream, trio.SSLStream)
        try:
            clean.append(await peer.stream.receive_some(1) == b"")
        except trio.BrokenResourceError:
            clean.append(False)

    async with open_http1(serve) as server:
        async with server.open_client() as client:
            await client.get("/")
        await until(lambda: clean)
    assert clean == [True]
