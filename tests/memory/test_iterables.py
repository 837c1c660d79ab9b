"""An argument that is an iterator is made a list once: whatever is sent again is the same.

An iterator is used up by its first use. The second socket of a group, a successor, a retry, a redirect would go out
without it, in silence: without authentication, for example.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from servers.memory_http1 import memory_http1
from toolkit import Peer, PeerSocket, scripted_peer
from toolkit.peer import Request

REFUSED_STREAM = 7


def generator() -> Iterator[tuple[str, str]]:
    yield "authorization", "Bearer secret"
    yield "x-mine", "1"


KINDS: dict[str, Callable[[], Any]] = {
    "generator": generator,
    "iterator": lambda: iter([*generator()]),
    "map": lambda: map(tuple, [*generator()]),
    "view": lambda: dict(generator()).items(),
    "headers": lambda: trio_h2ws.Headers([(b"authorization", b"Bearer secret"), (b"x-mine", b"1")]),
    "mapping": lambda: dict(generator()),
}
KIND = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)


def check(request: Request) -> None:
    assert request.get("authorization") == "Bearer secret"
    assert request.get("x-mine") == "1"


async def accept(peer: Peer, count: int, **answer: Any) -> list[PeerSocket]:
    sockets = [await peer.accept_websocket(**answer) for _ in range(count)]
    for socket in sockets:
        check(socket.request)
    return sockets


@KIND
async def test_every_socket_of_a_group_has_the_headers(make: Callable[[], Any]) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        names = (name for name in ("v1", "v2"))
        manager = client.open_websocket_group((url for url in ("/a", "/b", "/c")), headers=make(), subprotocols=names)
        opening = peer.call(manager.__aenter__)
        sockets = await accept(peer, 3, headers=[("sec-websocket-protocol", "v2")])
        assert {socket.request.path for socket in sockets} == {"/a", "/b", "/c"}
        assert {socket.request["sec-websocket-protocol"] for socket in sockets} == {"v1, v2"}
        group = await opening.result()
        assert {ws.subprotocol for ws in group.websockets} == {"v2"}
        for ws in group.websockets:
            ws.abort()


@KIND
async def test_every_successor_has_the_headers(make: Callable[[], Any], autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        given = make()
        sockets = client.reconnecting_websocket("/", headers=given, subprotocols=iter(["v1"]))
        if isinstance(given, dict):
            given.clear()
        for _ in range(3):
            opening = peer.call(sockets.__anext__)
            (theirs,) = await accept(peer, 1, headers=[("sec-websocket-protocol", "v1")])
            assert theirs.request["sec-websocket-protocol"] == "v1"
            ws = await opening.result()
            assert ws.subprotocol == "v1"
            await theirs.close(1012)


@KIND
async def test_every_try_of_a_handshake_has_the_headers(make: Callable[[], Any]) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/", headers=make(), follow_redirects=True)
        first = await peer.expect_headers()
        await peer.rst(first, REFUSED_STREAM)
        second = await peer.expect_headers()
        await peer.respond(second, 307, [("location", "/there")])
        (theirs,) = await accept(peer, 1)
        for request in (first, second):
            check(request)
        assert theirs.request.path == "/there"
        (await opening.result()).abort()


async def test_a_handshake_over_http1_has_the_headers_of_the_first() -> None:
    heads: list[Any] = []

    async def serve(peer: Any) -> None:
        request = await peer.request()
        heads.append(request)
        if len(heads) == 1:
            await peer.respond(307, headers=[("location", "/there")])
        else:
            await (await peer.accept_websocket(request)).echo()

    async with memory_http1(serve) as servers:
        headers = generator()
        ws = await servers.client.connect_websocket("/", headers=headers, follow_redirects=True)
        assert [head.headers["authorization"] for head in heads] == ["Bearer secret"] * 2
        ws.abort()


@KIND
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_every_try_of_a_request_has_the_headers(make: Callable[[], Any], method: str) -> None:
    """Headers and trailers, after a refusal, a redirect and the end of the connection."""
    async with scripted_peer() as peer, peer.open_client() as client:
        options: dict[str, Any] = {"headers": make()}
        if method == "POST":
            options |= {"content": [b"a", b"b"], "trailers": iter([("x-sum", "5")])}
        call = peer.call(client.request, method, "/", **options)
        for answer in ("refuse", "redirect", "goaway"):
            request = await peer.expect_headers()
            check(request)
            if method == "POST":
                await peer.expect_end(request)
                assert request.trailers == [(b"x-sum", b"5")]
                assert request.body == b"ab"
            if answer == "refuse":
                await peer.rst(request, REFUSED_STREAM)
            elif answer == "redirect":
                await peer.respond(request, 307, [("location", "/there")])
            else:
                await peer.goaway(0)
        other = peer.another()
        request = await other.expect_headers()
        check(request)
        if method == "POST":
            await other.expect_end(request)
            assert request.trailers == [(b"x-sum", b"5")]
        await other.respond(request)
        assert (await call.result()).status == 200


@KIND
async def test_every_call_of_a_client_has_its_headers(make: Callable[[], Any]) -> None:
    async with scripted_peer() as peer, peer.open_client(headers=make()) as client:
        for _ in range(2):
            call = peer.call(client.get, "/")
            request = await peer.expect_headers()
            check(request)
            await peer.respond(request)
            await call.result()
        opening = peer.call(client.connect_websocket, "/")
        await accept(peer, 1)
        (await opening.result()).abort()


async def test_a_list_of_parts_that_changes_is_sent_as_it_was() -> None:
    """Another task changes it while the message waits for room."""
    limits = trio_h2ws.Limits(max_send_buffer=1)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        peer.auto_credit = False
        parts: list[Any] = ["x" * 70_000, "b", "c"]
        sending = peer.call(ws.send, parts)
        await peer.settle()
        assert not sending.done
        parts[1:] = [5]
        await peer.window_update(0, 100_000)
        await peer.window_update(theirs, 100_000)
        await sending.result()
        pieces = [(await theirs.expect_frame()).payload for _ in range(4)]
        assert pieces[1:] == [b"b", b"c", b""]
        await trio.lowlevel.checkpoint()
        ws.abort()
