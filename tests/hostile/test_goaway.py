"""GOAWAY and REFUSED_STREAM: what was begun finishes, the rest is retried elsewhere, unseen by the user."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Call, Peer, Request, assert_clean, connection_of, frames, scripted_peer
from toolkit.inside import set_next_stream_id


async def begin(peer: Peer, client: trio_h2ws.Client, *paths: str) -> dict[str, tuple[Call[Any], Request]]:
    begun = {}
    for path in paths:
        call = peer.call(client.get, path)
        begun[path] = (call, await peer.expect_headers())
    return begun


async def test_streams_up_to_the_last_id_finish() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/a", "/b")
        await peer.goaway(begun["/b"][1])
        await peer.settle()
        for path, (call, request) in begun.items():
            await peer.respond(request, body=b"x" * 500_000)
            assert len((await call.result()).content) == 500_000, path
        await peer.expect_goaway(0)
        await peer.expect_eof()
        assert peer.dials == 1


async def test_streams_above_the_last_id_are_retried_unseen() -> None:
    # nginx at keepalive_requests sends GOAWAY(5), and never answers 7, 9 and 11, which were already sent.
    async with scripted_peer() as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/1", "/2", "/3", "/4")
        await peer.goaway(begun["/2"][1])
        other = peer.another()
        again = [await other.expect_headers() for _ in range(2)]
        assert {request.path for request in again} == {"/3", "/4"}
        for request in again:
            await other.respond(request, body=request.path.encode())
        for path in ("/3", "/4"):
            assert (await begun[path][0].result()).content == path.encode()
        for path in ("/1", "/2"):
            call, request = begun[path]
            await peer.respond(request, body=path.encode())
            assert (await call.result()).content == path.encode()
        assert peer.dials == 2


async def test_a_handshake_above_the_last_id_is_retried() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.expect_headers()
        await peer.goaway(0)
        theirs = await peer.another().accept_websocket()
        ws = await opening.result()
        await theirs.send("well")
        assert await ws.receive() == "well"
        ws.abort()


async def test_new_calls_use_a_new_connection_at_once() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/old")
        await peer.goaway()
        await peer.settle()
        call = peer.call(client.get, "/new")
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"new")
        assert (await call.result()).content == b"new"
        assert [info.draining for info in client.connections] == [True, False]
        call, request = begun["/old"]
        await peer.respond(request)
        await call.result()
        await peer.expect_eof()
        assert [info.draining for info in client.connections] == [False]


async def test_a_call_that_waits_for_a_slot_uses_the_new_connection() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/old")
        waiting = [peer.call(client.get, f"/{n}") for n in range(3)]
        await peer.settle()
        await peer.goaway(begun["/old"][1])
        other = peer.another()
        other.serve()
        for n, call in enumerate(waiting):
            assert (await call.result()).content == f"/{n}".encode()
        call, request = begun["/old"]
        await peer.respond(request)
        await call.result()
        assert peer.dials == 2


async def test_a_graceful_shutdown_in_two_steps_loses_no_request() -> None:
    # HAProxy, nghttpx and Apache send GOAWAY(2^31-1), keep the streams, and soon send GOAWAY with the last id.
    async with scripted_peer() as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/a", "/b")
        opening = peer.call(client.connect_websocket, "/ws")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await peer.goaway()
        with trio.fail_after(5):
            await ws.draining.wait()
        await peer.goaway(begun["/a"][1])
        # "/b" and the WebSocket are above it: the request is retried, the WebSocket ends.
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"b")
        assert (await begun["/b"][0].result()).content == b"b"
        with pytest.raises((trio_h2ws.RequestNotProcessed, trio_h2ws.ConnectionLost, trio_h2ws.WebSocketClosed)):
            await ws.receive()
        call, request = begun["/a"]
        await peer.respond(request, body=b"a")
        assert (await call.result()).content == b"a"
        await peer.expect_eof()
        del theirs


async def test_a_last_id_that_grows_changes_nothing() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/a", "/b")
        await peer.goaway(begun["/a"][1])
        other = peer.another()
        request = await other.expect_headers()
        await peer.goaway(begun["/b"][1])
        await peer.settle()
        await other.respond(request)
        await begun["/b"][0].result()
        call, first = begun["/a"]
        await peer.respond(first)
        await call.result()


async def test_goaway_and_the_end_may_share_a_read() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        post = peer.call(client.post, "/a")
        first = await peer.expect_headers()
        begun = await begin(peer, client, "/b")
        await peer.goaway(first, frames.INTERNAL_ERROR, b"too much")
        await peer.close()
        # The first may have been processed; the second was not.
        error = await post.error(trio_h2ws.ConnectionTerminated)
        assert (error.error_code, error.debug_data) == (frames.INTERNAL_ERROR, b"too much")
        assert "too much" in str(error)
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"b")
        assert (await begun["/b"][0].result()).content == b"b"


@pytest.mark.parametrize("code", [frames.NO_ERROR, frames.INTERNAL_ERROR, 0xDEAD])
async def test_goaway_with_any_code_lets_streams_finish(code: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/a")
        call, request = begun["/a"]
        await peer.goaway(request, code)
        await peer.respond(request, body=b"well")
        assert (await call.result()).content == b"well"


async def test_goaway_on_a_connection_without_streams_closes_it() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/a")
        await peer.respond(begun["/a"][1])
        await begun["/a"][0].result()
        await peer.goaway(1)
        await peer.expect_goaway(0)
        await peer.expect_eof()
        assert client.connections == []
        call = peer.call(client.get, "/b")
        other = peer.another()
        await other.respond(await other.expect_headers())
        await call.result()


async def test_a_response_above_the_last_id_is_ignored() -> None:
    # Some servers send HEADERS after GOAWAY(2^31-1), and even a response for a stream that they gave up.
    async with scripted_peer() as peer, peer.open_client() as client:
        begun = await begin(peer, client, "/a", "/b")
        await peer.goaway(begun["/a"][1])
        await peer.respond(begun["/b"][1], body=b"ignored")
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"from the other")
        assert (await begun["/b"][0].result()).content == b"from the other"
        await peer.respond(begun["/a"][1])
        await begun["/a"][0].result()


async def test_goaway_on_every_connection_ends_in_an_error(
    autojump_clock: MockClock,
) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def say_goaway(each: Peer) -> None:
            while True:
                await each.connected.wait()
                await each.until(lambda each=each: each.requests or each.eof, within=10**9)
                if not each.eof:
                    await each.goaway(0)
                each = each.another()

        peer.start_soon(say_goaway, peer)
        call = peer.call(client.get, "/")
        await call.error(trio_h2ws.RequestNotProcessed, within=10_000)
        assert peer.dials <= trio_h2ws.Limits().max_retries + 1


@pytest.mark.parametrize("how", ["goaway", "close", "goaway and close"])
async def test_an_end_of_every_connection_ends_in_an_error(autojump_clock: MockClock, how: str) -> None:
    dials = 0

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        nonlocal dials
        dials += 1
        if dials > 100:
            await trio.sleep_forever()
        ours, theirs = trio.testing.memory_stream_pair()
        await theirs.send_all(frames.settings({}) + (frames.goaway(0) if "goaway" in how else b""))
        if "close" in how:
            await theirs.send_eof()
        kept.append(theirs)
        return ours

    kept: list[Any] = []
    async with trio_h2ws.open_client(open_stream=open_stream, http2="require") as client:
        with trio.move_on_after(1000) as scope:
            with pytest.raises(trio_h2ws.H2WSError):
                await client.get("http://peer.test/")
        assert dials <= 20
        assert not scope.cancelled_caught
        await trio.sleep(0.1)
        assert client.connections == []
    for stream in kept:
        await stream.aclose()


# REFUSED_STREAM.


async def test_a_refused_stream_is_retried_unseen() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for start in (
            lambda: client.get("/a"),
            lambda: client.post("/a", content=b"replayable" * 10_000),
            lambda: client.post("/a", json={"a": 1}),
        ):
            call = peer.call(start)
            first = await peer.expect_headers()
            await peer.rst(first, frames.REFUSED_STREAM)
            second = await peer.expect_headers()
            assert second.fields == first.fields
            await peer.expect_end(second)
            await peer.respond(second, body=b"well")
            assert (await call.result()).content == b"well"
        assert peer.dials == 1
        await peer.settle()
        assert_clean(client)


async def test_a_refused_handshake_is_retried_unseen() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.rst(await peer.expect_headers(), frames.REFUSED_STREAM)
        await peer.accept_websocket()
        (await opening.result()).abort()


async def test_endless_refusals_end_in_an_error_after_growing_pauses(autojump_clock: MockClock) -> None:
    limits = trio_h2ws.Limits(max_retries=4)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        for start in (lambda: client.get("/"), lambda: client.connect_websocket("/")):
            call = peer.call(start)
            times = []
            for _ in range(5):
                request = await peer.expect_headers(within=100)
                times.append(trio.current_time())
                await peer.rst(request, frames.REFUSED_STREAM)
            await call.error(trio_h2ws.RequestNotProcessed, within=100)
            pauses = [later - earlier for earlier, later in pairwise(times)]
            assert pauses[0] < 0.05
            assert pauses[1] > 0.05
            assert pauses[3] > pauses[1]
            assert sum(pauses) < 10


@pytest.mark.parametrize("how", ["refused", "goaway"])
async def test_a_body_that_cannot_be_replayed_is_not_retried(how: str) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"once"
        yield b"only"

    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=parts())
        request = await peer.expect_headers()
        await peer.expect_end(request)
        if how == "refused":
            await peer.rst(request, frames.REFUSED_STREAM)
        else:
            await peer.goaway(0)
        await call.error(trio_h2ws.RequestNotProcessed)
        await peer.settle()
        assert peer.dials == 1
        assert len(peer.requests) == 1


async def test_a_cancelled_call_is_not_retried() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.rst(request, frames.REFUSED_STREAM)
        second = await peer.expect_headers()
        await peer.rst(second, frames.REFUSED_STREAM)
        await trio.sleep(0.01)
        call.cancel()
        await call.over()
        await trio.sleep(0.3)
        assert len(peer.requests) == 2
        assert_clean(client)


async def test_a_waiting_call_survives_hypercorns_shutdown() -> None:
    # Without a GOAWAY: a new request gets RST_STREAM(NO_ERROR) and MAX_CONCURRENT_STREAMS = 0; then the end.
    async with scripted_peer() as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        request = await peer.expect_headers()
        await peer.rst(request, frames.NO_ERROR)
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 0})
        await first.error(trio_h2ws.StreamReset)
        second = peer.call(client.get, "/second")
        await peer.settle()
        await peer.close()
        other = peer.another()
        await other.respond(await other.expect_headers())
        await second.result()


async def test_stream_ids_that_run_out_retire_the_connection() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        await peer.respond(await peer.expect_headers())
        await first.result()
        set_next_stream_id(connection_of(client), 2**31 - 3)
        # The peer derives stream ids from the number of requests, so it needs to know about the gap.
        peer.requests = _Gap(peer.requests)
        calls = []
        for path in ("/second to last", "/last"):
            calls.append(peer.call(client.get, path))
            request = await peer.expect_headers()
        assert request.stream == 2**31 - 1
        beyond = peer.call(client.get, "/beyond")
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"other")
        assert (await beyond.result()).content == b"other"
        for stream in (2**31 - 3, 2**31 - 1):
            await peer.respond(stream)
        for call in calls:
            await call.result()
        await peer.expect_goaway(0)
        await peer.expect_eof()


class _Gap(dict[int, Request]):
    """The peer's table of requests, for a client that jumped to the last stream ids."""

    def __len__(self) -> int:
        return (max(self, default=-1) + 1) // 2 if max(self, default=0) > 10 else 2**30 - 2
