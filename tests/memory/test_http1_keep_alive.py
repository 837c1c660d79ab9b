"""HTTP/1.1: `Keep-Alive: timeout=N, max=M` says when a server ends the connection, and the client ends it sooner.

The kind: a request that is sent on a connection whose end is known beforehand. A POST that meets it is lost.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.memory_http1 import memory_http1


def closing_after(seconds: float, value: str) -> Callable[[Peer], Awaitable[None]]:
    """A server that ends a connection on which no request began for this long, as if bytes took no time."""

    async def serve(peer: Peer) -> None:
        while True:
            with trio.move_on_after(seconds) as scope:
                if await peer.request() is None:
                    return
            if scope.cancelled_caught:
                return
            await peer.respond(200, b"ok", [("Keep-Alive", value)])

    return serve


@pytest.mark.parametrize("seconds", [1, 2, 5, 60])
@pytest.mark.parametrize("idle", [300.0, None])
async def test_a_connection_is_not_used_when_the_server_is_about_to_close_it(
    seconds: int, idle: float | None, autojump_clock: MockClock
) -> None:
    serve = closing_after(seconds, f"timeout={seconds}")
    timeouts = trio_h2ws.Timeouts(idle=idle, probe_after=None)
    async with memory_http1(serve, timeouts=timeouts) as server:
        assert (await server.client.post("/", content=b"pay")).status == 200
        for pause in (-0.05, -0.2, -0.0001, 0.0, 0.05):
            before = server.accepted
            await trio.sleep(seconds + pause)
            assert (await server.client.post("/", content=b"pay")).status == 200
            assert server.accepted == before + 1
        # Long before that end it is used again.
        for _ in range(20):
            before = server.accepted
            await trio.sleep(seconds * 0.4)
            assert (await server.client.post("/", content=b"pay")).status == 200
            assert server.accepted == before


async def test_an_idle_connection_is_closed_before_the_server_does(autojump_clock: MockClock) -> None:
    start = 0.0
    closed: list[float] = []

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"ok", [("Keep-Alive", "timeout=5")])
        await peer.gone()
        closed.append(trio.current_time() - start)

    async with memory_http1(serve) as server:
        await server.client.get("/")
        start = trio.current_time()
        await trio.sleep(100)
        assert server.client.connections == []
    assert closed == [pytest.approx(4.0, abs=0.01)]


@pytest.mark.parametrize("value", ["timeout=1000000", "timeout=" + "9" * 30, "timeout=-1", "300", "timeout=soon"])
async def test_the_clients_own_bound_remains(value: str, autojump_clock: MockClock) -> None:
    async with memory_http1(closing_after(math.inf, value)) as server:
        await server.client.get("/")
        await trio.sleep(299)
        assert len(server.client.connections) == 1
        await trio.sleep(2)
        assert server.client.connections == []


@pytest.mark.parametrize("value", ["timeout=0", "max=0", "timeout=5, max=0"])
async def test_a_connection_with_nothing_left_is_not_reused(value: str, autojump_clock: MockClock) -> None:
    async with memory_http1(closing_after(math.inf, value)) as server:
        for turn in (1, 2, 3):
            assert (await server.client.post("/", content=b"pay")).content == b"ok"
            assert server.accepted == turn


async def test_requests_of_a_connection_are_counted(autojump_clock: MockClock) -> None:
    async def serve(peer: Peer) -> None:
        for left in (2, 1, None):
            await peer.request()
            await peer.respond(200, b"ok", [] if left is None else [("keep-alive", f"max={left}")])
        await peer.gone()

    async with memory_http1(serve) as server:
        for turn in range(9):
            assert (await server.client.post("/", content=b"pay")).content == b"ok"
            assert server.accepted == turn // 3 + 1


async def test_a_long_response_is_not_idle(autojump_clock: MockClock) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=2\r\ncontent-length: 10\r\n\r\n")
            for _ in range(10):
                await trio.sleep(1)
                await peer.send(b"x")

    async with memory_http1(serve) as server:
        for _ in range(3):
            assert (await server.client.get("/")).content == b"x" * 10
            await trio.sleep(0.5)
        assert server.accepted == 1


async def test_many_requests_make_no_heap_of_timers(autojump_clock: MockClock) -> None:
    """The connection is idle for a moment after each of them."""
    serve = closing_after(5, "timeout=5")
    async with memory_http1(serve) as server:
        for _ in range(200):
            await server.client.get("/")
            await trio.sleep(0.1)
        assert server.accepted == 1
        [connection] = server.client.connections
        await trio.sleep(3.5)
        assert [each.id for each in server.client.connections] == [connection.id]
        await trio.sleep(1)
        assert server.client.connections == []


@pytest.mark.slow
@pytest.mark.parametrize("tls", [True, False])
async def test_posts_around_the_servers_end_all_succeed(tls: bool) -> None:
    """On real sockets, with a server that closes a connection after a second."""
    done = []
    async with open_http1(closing_after(1.0, "timeout=1"), tls=tls) as server:

        async def post(pause: float) -> None:
            async with server.open_client() as client:
                await client.post("/", content=b"pay")
                await trio.sleep(pause)
                assert (await client.post("/", content=b"pay")).status == 200
                done.append(pause)

        async with trio.open_nursery() as nursery:
            for step in range(-8, 9):
                nursery.start_soon(post, 1.0 + step * 0.0125)
    assert len(done) == 17
