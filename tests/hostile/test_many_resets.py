"""Requests that are cancelled in large numbers: the server is given time to read the resets, and no call waits."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, frames, open_websocket, scripted_peer

MAX_CONCURRENT_STREAMS = 3


async def cancel(peer: Peer, client: trio_h2ws.Client, count: int) -> None:
    """Send requests and give them up, as many at once as the server allows."""
    if not client.connections:
        first = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await first.result()
    for at in range(0, count, 5):
        calls = [peer.call(client.get, "/") for _ in range(min(5, count - at))]
        await peer.settle()
        for call in calls:
            call.cancel()
            await call.over()
    await peer.settle()


def pings(peer: Peer) -> int:
    return len(peer.sent(hf.PingFrame))


async def test_a_few_cancelled_requests_cost_no_ping(autojump_clock: MockClock) -> None:
    async with scripted_peer({MAX_CONCURRENT_STREAMS: 5}) as peer, peer.open_client() as client:
        await cancel(peer, client, 100)
        assert pings(peer) == 1  # the first one, for the round trip
        assert len(peer.sent(hf.RstStreamFrame)) == 100


async def test_past_a_rate_the_slots_wait_for_a_ping(autojump_clock: MockClock) -> None:
    async with scripted_peer({MAX_CONCURRENT_STREAMS: 5}) as peer, peer.open_client() as client:
        await cancel(peer, client, 100)
        peer.auto_pong = False
        before = trio.current_time()
        await cancel(peer, client, 5)
        assert trio.current_time() == before  # the cancelled calls did not wait
        assert len(peer.sent(hf.RstStreamFrame)) == 105
        waiting = peer.call(client.get, "/after")
        await peer.settle()
        assert len(peer.sent(hf.HeadersFrame)) == 106  # it has no slot yet
        assert pings(peer) == 2
        # The PING left after the first of the resets: the other slots wait for a second one.
        await peer.ping(peer.sent(hf.PingFrame)[-1].opaque_data, ack=True)
        request = await peer.expect_headers(213)
        await peer.settle()
        assert pings(peer) == 3
        await peer.respond(request)
        await waiting.result()


async def test_a_server_that_answers_gets_any_number_of_requests(autojump_clock: MockClock) -> None:
    async with scripted_peer({MAX_CONCURRENT_STREAMS: 5}) as peer, peer.open_client() as client:
        await cancel(peer, client, 1000)
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(2003))
        await call.result()
        assert peer.dials == 1


async def test_slots_return_without_an_answer_after_a_while(autojump_clock: MockClock) -> None:
    async with scripted_peer({MAX_CONCURRENT_STREAMS: 5}) as peer, peer.open_client() as client:
        await cancel(peer, client, 100)
        peer.auto_pong = False
        await cancel(peer, client, 5)
        before = trio.current_time()
        call = peer.call(client.get, "/after")
        request = await peer.expect_headers(213, within=20)
        assert 4 < trio.current_time() - before < 6
        await peer.respond(request)
        await call.result()


@pytest.mark.parametrize("goaway", [False, True])
async def test_the_error_of_a_connection_that_ended_names_the_resets(goaway: bool, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, _ = await open_websocket(peer, client)
        await cancel(peer, client, 150)
        if goaway:
            await peer.goaway(2**31 - 1, frames.ENHANCE_YOUR_CALM)
        await peer.close()
        with pytest.raises(trio_h2ws.ConnectionLost, match="150 of its requests were given up"):
            await ws.receive()


async def test_the_next_connection_is_retired_in_time(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await cancel(peer, client, 200)
        await peer.close()
        again = peer.call(client.get, "/")
        other = peer.another()
        await other.respond(await other.expect_headers())
        await again.result()
        ws, theirs = await open_websocket(other, client)
        await cancel(other, client, 100)
        assert [info.draining for info in client.connections] == [True]
        # What was open goes on, and what is new uses another connection.
        await theirs.send("still here")
        assert await ws.receive() == "still here"
        call = peer.call(client.get, "/")
        third = other.another()
        await third.respond(await third.expect_headers())
        await call.result()
        ws.abort()
