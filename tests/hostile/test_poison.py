"""A request that ends its connection does not end the next one for others, time and again.

It goes once to the connection that others use, and then alone; at once if it is the newest, and has large headers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

import trio_h2ws
from toolkit import Peer, Request, assert_clean, frames, open_websocket, scripted_peer

LARGE = {"cookie": "c" * 9000, "accept-language": "en"}


async def close(peer: Peer, request: Request) -> None:
    await peer.close()


async def shut_out(peer: Peer, request: Request) -> None:
    """As HAProxy does it, with headers over 16 KB."""
    await peer.goaway(request.stream - 2 if request.stream > 1 else 0, frames.COMPRESSION_ERROR)
    await peer.close()


async def terminate(peer: Peer, request: Request) -> None:
    """As nginx does it."""
    await peer.goaway(request, frames.ENHANCE_YOUR_CALM)
    await peer.close()


End = Callable[[Peer, Request], Awaitable[None]]


async def use(peer: Peer, client: trio_h2ws.Client) -> Any:
    """Calls that others make: one is answered, and a WebSocket stays. Returns a check that it is still open."""
    call = peer.call(client.get, "/before")
    await peer.respond(await peer.expect_headers())
    await call.result()
    ws, theirs = await open_websocket(peer, client)

    async def check() -> None:
        await theirs.send("still here")
        assert await ws.receive() == "still here"
        ws.abort()

    return check


@pytest.mark.parametrize("end", [close, shut_out])
async def test_what_ends_two_connections_goes_alone(end: End) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await use(peer, client)
        poison = peer.call(client.get, "/poison")
        await end(peer, await peer.expect_headers())
        second = peer.another()
        again = await second.expect_headers()  # the first end may have been due to anything
        answered = peer.call(client.get, "/answered")
        await second.respond(await second.expect_headers())
        await answered.result()
        beside = peer.call(client.get, "/beside")
        await second.expect_headers()
        await second.raw(frames.goaway(0, frames.COMPRESSION_ERROR) if end is shut_out else b"")
        if end is close:
            await second.close()
        await peer.settle()
        others = {again.path: poison, "/beside": beside}
        third, fourth = second.another(), second.another().another()
        alone, shared = (third, fourth) if "/poison" in paths(third) else (fourth, third)
        assert paths(alone) == ["/poison"]
        assert paths(shared) == ["/beside"]
        check = await use_after(shared, client)
        assert paths(alone) == ["/poison"]
        await end(alone, await alone.expect_headers())
        await others["/beside"].result()
        kind = trio_h2ws.RequestNotProcessed if end is shut_out else trio_h2ws.ConnectionLost
        error = await poison.error(kind)
        assert "this one carried nothing else" in str(error)
        assert error.may_have_been_processed == (end is close)
        await check()
        assert peer.dials == 4


def paths(peer: Peer) -> list[str]:
    return [request.path for request in peer.requests.values()]


async def use_after(peer: Peer, client: trio_h2ws.Client) -> Any:
    await peer.respond(await peer.expect_headers())
    return await use(peer, client)


@pytest.mark.parametrize("end", [close, shut_out, terminate])
async def test_large_headers_go_alone_at_once(end: End) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await use(peer, client)
        poison = peer.call(client.get, "/poison", headers=LARGE)
        await end(peer, await peer.expect_headers())
        alone = peer.another()
        again = await alone.expect_headers()
        await peer.settle()
        assert client.connections[-1].draining  # nothing else goes there
        shared = alone.another()
        check = await use(shared, client)
        await end(alone, again)
        await poison.over()
        error = poison.failure
        assert isinstance(error, trio_h2ws.H2WSError)
        assert error.may_have_been_processed == (end is not shut_out)
        assert "9,006 of them in 'cookie'" in str(error)
        await check()
        assert (peer.dials, len(alone.requests)) == (3, 1)
        await peer.settle()
        assert client.connections[-1].calm is None  # a server that objects to one request does not ask for calm
        assert_clean(client)


async def test_a_large_post_is_not_repeated_but_says_so() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await use(peer, client)
        call = peer.call(client.post, "/" + "x" * 9000, content=b"once")
        await terminate(peer, await peer.expect_headers())
        error = await call.error(trio_h2ws.ConnectionTerminated)
        assert error.may_have_been_processed
        assert "9,001 of them in the URL" in str(error)
        assert peer.dials == 1


async def test_large_headers_below_newer_ones_stay_with_them() -> None:
    """Which of them it was is not known yet."""
    async with scripted_peer() as peer, peer.open_client() as client:
        await use(peer, client)
        large = peer.call(client.get, "/large", headers=LARGE)
        await peer.settle()
        newest = peer.call(client.get, "/newest")
        await peer.settle()
        await peer.close()
        other = peer.another()
        for _ in range(2):
            await other.respond(await other.expect_headers())
        await large.result()
        await newest.result()
        assert peer.dials == 2


async def test_an_answer_on_its_own_connection_is_the_answer() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await use(peer, client)
        call = peer.call(client.get, "/", headers=LARGE)
        await shut_out(peer, await peer.expect_headers())
        alone = peer.another()
        await alone.respond(await alone.expect_headers(), 431, body=b"too large")
        assert (await call.result()).status == 431
        await alone.expect_goaway(0)
        await alone.expect_eof()
        assert client.connections == []
        assert_clean(client)


async def test_few_go_alone_at_a_time() -> None:
    limits = trio_h2ws.Limits(max_connections_per_origin=2)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        await use(peer, client)
        calls = [peer.call(client.get, f"/{n}") for n in range(5)]
        await peer.settle()
        await peer.close()
        await peer.settle()
        second = peer.another()
        assert len(second.requests) == 5
        await second.close()
        at = second
        for left in (5, 4, 3, 2, 1):
            await peer.settle()
            assert peer.dials == 2 + min(5, 5 - left + 2)
            at = at.another()
            await at.respond(await at.expect_headers())
        for call in calls:
            await call.result()
        await peer.settle()
        assert_clean(client)


async def test_a_cancelled_call_leaves_nothing_alone() -> None:
    async def hang() -> None:
        await trio.sleep_forever()

    async with scripted_peer() as peer, peer.open_client() as client:
        await use(peer, client)
        call = peer.call(client.get, "/", headers=LARGE)
        await peer.expect_headers()
        peer.network.before_dial = hang
        await peer.close()
        await peer.settle()
        call.cancel()
        await call.over()
        await peer.settle()
        assert client.connections == []
        assert_clean(client)


async def test_a_handshake_does_not_go_alone() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await use(peer, client)
        opening = peer.call(client.connect_websocket, "/")
        for _ in range(2):
            await peer.expect_headers()
            await peer.close()
            peer = peer.another()
        await opening.error(trio_h2ws.ConnectionLost)
        assert peer.dials == 2
