"""A connection that died in silence, while nothing was sent on it: the next call finds that out soon."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from servers.http1 import Peer as Http1Peer
from servers.memory_http1 import memory_http1
from toolkit import Peer, open_websocket, scripted_peer


@asynccontextmanager
async def silent_since(seconds: float) -> AsyncIterator[tuple[Peer, trio_h2ws.Client]]:
    """A connection that has answered a request this long ago, and carries nothing any more."""
    async with scripted_peer() as peer, peer.open_client(timeouts=trio_h2ws.Timeouts(ping_interval=300)) as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await call.result()
        await trio.sleep(seconds)
        peer.pause()
        yield peer, client


async def test_a_get_on_a_dead_connection_is_answered_by_another(autojump_clock: MockClock) -> None:
    async with silent_since(30) as (peer, client):
        start = trio.current_time()
        call = peer.call(client.get, "/again")
        other = peer.another()
        request = await other.expect_headers(within=6)
        await other.respond(request, body=b"here")
        assert (await call.result()).content == b"here"
        assert trio.current_time() - start == pytest.approx(5, abs=0.1)
        # New calls go there at once.
        call = peer.call(client.get, "/new")
        await other.respond(await other.expect_headers())
        await call.result()
        # The old stream was reset.
        peer.resume()
        await peer.expect_rst(3)
        await peer.settle()
        assert [info.streams_in_use for info in client.connections] == [0, 0]


async def test_a_handshake_on_a_dead_connection_is_answered_by_another(autojump_clock: MockClock) -> None:
    async with silent_since(30) as (peer, client):
        opening = peer.call(client.connect_websocket, "/")
        other = peer.another()
        await other.accept_websocket(within=6)
        ws = await opening.result()
        assert ws.http_version == "HTTP/2"
        ws.abort()


async def test_what_was_open_stays_until_the_ping_timeout(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        await trio.sleep(15)
        peer.pause()
        call = peer.call(client.get, "/")
        other = peer.another()
        await other.respond(await other.expect_headers(within=6))
        await call.result()
        await trio.sleep(3)
        peer.resume()  # a server that was blocked for a moment
        await theirs.send("still here")
        assert await ws.receive() == "still here"
        # Calls return to it, as the oldest connection that works.
        await trio.sleep(0.1)
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(5))
        await call.result()
        ws.abort()


async def test_what_cannot_be_repeated_stays_until_the_ping_timeout(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(ping_interval=20, ping_timeout=20)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        ws, _ = await open_websocket(peer, client)
        await trio.sleep(15)
        peer.pause()
        start = trio.current_time()
        calls = [peer.call(client.post, "/a"), peer.call(ws.receive)]
        for call in calls:
            await call.error(trio_h2ws.ConnectionTimedOut, within=60)
        assert 19 < trio.current_time() - start <= 25.1
        assert peer.dials == 1


async def test_a_body_that_cannot_be_replayed_stays(autojump_clock: MockClock) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"once"

    async with silent_since(15) as (peer, client):
        call = peer.call(client.put, "/", content=content())
        await call.error(trio_h2ws.ConnectionTimedOut, within=350)
        assert peer.dials == 1


async def test_a_response_that_has_begun_stays(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        first = peer.call(client.get, "/a")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await trio.sleep(15)
        peer.auto_pong = False
        second = peer.call(client.get, "/b")
        other = peer.another()
        await other.respond(await other.expect_headers(within=6))
        await second.result()
        await peer.data(request, b"slow", end=True)
        assert (await first.result()).content == b"slow"


async def test_a_slow_server_that_answers_the_ping_keeps_its_calls(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await call.result()
        for _ in range(3):
            await trio.sleep(60)
            call = peer.call(client.get, "/slow")
            request = await peer.expect_headers()
            await trio.sleep(100)
            await peer.respond(request)
            await call.result()
        assert peer.dials == 1


async def test_any_byte_shows_that_the_connection_works(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_pong = False
        ws, theirs = await open_websocket(peer, client)
        await trio.sleep(15)
        call = peer.call(client.get, "/slow")
        request = await peer.expect_headers()
        await trio.sleep(4)
        await theirs.send("a message")
        await trio.sleep(10)
        await peer.respond(request)
        await call.result()
        assert peer.dials == 1
        ws.abort()


async def test_a_busy_connection_is_not_probed(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for _ in range(20):
            await trio.sleep(5)
            call = peer.call(client.get, "/")
            await peer.respond(await peer.expect_headers())
            await call.result()
        assert len(peer.sent(hf.PingFrame)) == 1  # the first one, for the round trip


async def test_without_probes_the_ping_timeout_decides(autojump_clock: MockClock) -> None:
    for timeouts in (trio_h2ws.Timeouts(probe_after=None), trio_h2ws.Timeouts(probe_timeout=None)):
        async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
            call = peer.call(client.get, "/")
            await peer.respond(await peer.expect_headers())
            await call.result()
            await trio.sleep(30)
            peer.pause()
            call = peer.call(client.get, "/")
            await call.error(trio_h2ws.ConnectionTimedOut, within=60)


async def test_without_retries_a_call_stays(autojump_clock: MockClock) -> None:
    limits = trio_h2ws.Limits(max_retries=0)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await call.result()
        await trio.sleep(30)
        peer.auto_pong = False
        call = peer.call(client.get, "/slow")
        request = await peer.expect_headers()
        await trio.sleep(15)
        await peer.respond(request)
        await call.result()


# HTTP/1.1 has no PING.


@pytest.mark.parametrize(("method", "seconds", "connections"), [("GET", 30, 1), ("POST", 30, 2), ("POST", 5, 1)])
async def test_http1_repeats_or_dials(
    method: str, seconds: float, connections: int, autojump_clock: MockClock
) -> None:
    async def serve(peer: Http1Peer) -> None:
        while await peer.request() is not None:
            await peer.respond(200)

    async with memory_http1(serve) as servers:
        await servers.client.get("/")
        await trio.sleep(seconds)
        await servers.client.request(method, "/")
        assert servers.accepted == connections
