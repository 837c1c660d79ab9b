"""Of the body of a response that the caller does not get, only the beginning is read and kept.

The kind: a server makes a client spend time and memory on bytes that nobody will look at: the body of a redirect that
is followed, of a 421 after which the request moves, of a refused handshake.
"""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from servers.http1 import Peer as PeerHTTP1
from servers.memory_http1 import memory_http1
from toolkit import assert_clean, frames, scripted_peer

KIB = 1024
KEPT = 8 * KIB
LOCATION = {"location": "/next"}


@pytest.mark.parametrize("limit", [1 << 30, 1000, None])
async def test_a_redirects_stream_is_reset_after_its_beginning(limit: int | None) -> None:
    """As soon as more has come than is kept. `max_body_size` is for the response that the caller gets."""
    limits = trio_h2ws.Limits(max_body_size=limit)
    kept = KEPT if limit is None else min(KEPT, limit)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        call = peer.call(client.get, "/")
        for _ in range(3):
            request = await peer.expect_headers()
            await peer.respond(request, 302, LOCATION, body=b"x" * (kept + 1), end=False)
            await peer.expect_rst(request, frames.CANCEL)
        request = await peer.expect_headers()
        await peer.respond(request, body=b"y" * 1000)
        response = await call.result()
        assert response.content == b"y" * 1000
        for redirect in response.history:
            assert (redirect.status, redirect.content) == (302, b"x" * min(KEPT, kept + 1))
        await peer.settle()
        assert_clean(client)
        assert peer.dials == 1


@pytest.mark.parametrize("size", [0, 1, KEPT, KEPT + 1])
async def test_a_redirect_says_whether_its_body_was_cut(size: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(), 302, LOCATION, body=b"x" * size)
        await peer.respond(await peer.expect_headers())
        response = await call.result()
        (redirect,) = response.history
        assert redirect.content == b"x" * min(size, KEPT)
        assert redirect.may_be_truncated is (size > KEPT)
        assert not response.may_be_truncated


async def test_a_bomb_in_a_redirect_costs_little() -> None:
    bomb = gzip.compress(bytes(8 << 20))
    assert len(bomb) > KEPT - 100
    small = gzip.compress(bytes(200_000))
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        tracemalloc.start()
        for body in (bomb[:KEPT], small) * 5:
            request = await peer.expect_headers()
            await peer.respond(request, 302, {**LOCATION, "content-encoding": "gzip"}, body=body)
        await peer.respond(await peer.expect_headers())
        response = await call.result()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert [redirect.content for redirect in response.history] == [bytes(KEPT)] * 10
        assert all(redirect.may_be_truncated for redirect in response.history)
        assert peak < 2 << 20


@pytest.mark.parametrize("body", [b"plain", gzip.compress(b"x" * 100)[:-9], gzip.compress(b"x" * 100) + b"rest"])
async def test_a_redirect_with_a_corrupt_body_is_followed(body: bytes) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(), 302, {**LOCATION, "content-encoding": "gzip"}, body=body)
        await peer.respond(await peer.expect_headers(), body=b"here")
        assert (await call.result()).content == b"here"


async def once() -> AsyncIterator[bytes]:
    yield b"body"


@pytest.mark.parametrize(
    ("status", "headers", "options"),
    [
        (200, {}, {}),
        (404, LOCATION, {}),
        (304, LOCATION, {}),
        (302, {}, {}),
        (302, LOCATION, {"follow_redirects": False}),
        (307, LOCATION, {"content": once}),
        (421, {}, {}),
    ],
)
async def test_a_response_that_the_caller_gets_is_whole(
    status: int, headers: dict[str, str], options: dict[str, Any]
) -> None:
    body = b"" if status == 304 else b"x" * 100_000
    given = {name: value() if callable(value) else value for name, value in options.items()}

    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", **given)
        request = await peer.expect_headers()
        await peer.expect_end(request)
        await peer.respond(request, status, headers, body=body)
        response = await call.result()
        assert (response.status, response.content, response.history) == (status, body, ())
        assert not response.may_be_truncated


@pytest.mark.parametrize("location", ["https://a..test/", "/again"])
async def test_a_redirect_that_fails_is_not_read(location: str) -> None:
    """Its Location is bad, or it is one too many: the error does not wait for a body."""
    async with scripted_peer() as peer, peer.open_client(limits=trio_h2ws.Limits(max_redirects=0)) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, 302, {"location": location}, body=b"x" * 20_000, end=False)
        await call.error(trio_h2ws.LimitExceeded if location == "/again" else trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(request)
        await peer.settle()
        assert_clean(client)


# HTTP/1.1 can't end one response alone.


def serve_redirect(body: bytes, *, length: int | None = None) -> Callable[[PeerHTTP1], Awaitable[None]]:
    async def serve(peer: PeerHTTP1) -> None:
        while (request := await peer.request()) is not None:
            if request.target == "/next":
                await peer.respond(200, b"here")
                continue
            size = len(body) if length is None else length
            await peer.send(b"HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: %d\r\n\r\n" % size)
            for start in range(0, len(body), 4 * KIB):
                await peer.send(body[start : start + 4 * KIB])

    return serve


@pytest.mark.parametrize(("size", "connections"), [(KEPT, 1), (64 * KIB, 1), (64 * KIB + 1, 2), (1 << 20, 2)])
async def test_a_redirect_over_http1_is_drained_a_little(
    size: int, connections: int, autojump_clock: MockClock
) -> None:
    async with memory_http1(serve_redirect(b"x" * size)) as server:
        response = await server.client.get("/")
        assert response.content == b"here"
        assert response.history[0].content == b"x" * KEPT
        assert server.accepted == connections


async def test_a_redirect_that_breaks_while_it_is_drained_is_followed(autojump_clock: MockClock) -> None:
    async def serve(peer: PeerHTTP1) -> None:
        while (request := await peer.request()) is not None:
            if request.target == "/next":
                await peer.respond(200, b"here")
                continue
            head = b"HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 99999\r\n\r\n"
            await peer.send(head + b"x" * 20_000)
            return

    async with memory_http1(serve) as server:
        assert (await server.client.get("/")).content == b"here"


# Handshakes.


async def test_a_followed_redirect_of_a_handshake_is_not_read(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for _ in range(2):
            opening = peer.call(client.connect_websocket, "/", follow_redirects=True)
            began = trio.current_time()
            request = await peer.expect_headers()
            await peer.respond(request, 302, LOCATION, body=b"without an end", end=False)
            await peer.expect_rst(request)
            await peer.accept_websocket()
            ws = await opening.result()
            assert trio.current_time() - began < 0.5
            ws.abort()
        opening = peer.call(client.connect_websocket, "/", follow_redirects=False)
        await peer.respond(await peer.expect_headers(), 302, LOCATION, body=b"elsewhere")
        assert (await opening.error(trio_h2ws.WebSocketRejected)).body == b"elsewhere"


@pytest.mark.parametrize("status", [302, 403, 421, 426])
async def test_a_refused_handshake_keeps_little(status: int, autojump_clock: MockClock) -> None:
    """Its body is neither inflated nor kept beyond `max_rejection_body`."""
    bomb = gzip.compress(bytes(100 << 20))
    limits = trio_h2ws.Limits()
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/", http2="require")
        request = await peer.expect_headers()
        tracemalloc.start()
        await peer.respond(request, status, {**LOCATION, "content-encoding": "gzip"}, body=bomb)
        error = await opening.error(trio_h2ws.WebSocketRejected)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert error.body == bomb[: limits.max_rejection_body]
        assert peak < 2 << 20
