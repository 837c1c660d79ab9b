"""A server ends a connection without a GOAWAY, just as a request arrives.

What the server may have done is not known then. A request that may be done twice is sent once more, on a new
connection, if the old one had served others before; anything else fails with an error that says so.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, Request, assert_clean, frames, open_websocket, scripted_peer


async def get_answered(peer: Peer, client: trio_h2ws.Client) -> None:
    """After it the connection has served a request."""
    call = peer.call(client.get, "/before")
    await peer.respond(await peer.expect_headers())
    await call.result()


async def lose(peer: Peer, request: Request) -> None:
    await peer.close()


async def lose_after_goaway(peer: Peer, request: Request) -> None:
    await peer.goaway(request)
    await peer.close()


Lose = Callable[[Peer, Request], Awaitable[None]]


@pytest.mark.parametrize("transport", ["memory", "socket", "tls"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"])
async def test_an_idempotent_request_is_sent_once_more(method: str, transport: Any) -> None:
    async with scripted_peer(transport=transport) as peer, peer.open_client() as client:
        await get_answered(peer, client)
        body = b"whole" if method == "PUT" else None
        call = peer.call(client.request, method, "/lost", content=body)
        await lose(peer, await peer.expect_headers())
        other = peer.another()
        again = await other.expect_headers()
        assert (again[":method"], again.path) == (method, "/lost")
        assert (await other.expect_end(again)).body == (body or b"")
        await other.respond(again, 200)
        assert (await call.result()).status == 200
        await peer.settle() if transport == "memory" else None
        assert peer.dials == 2
        assert_clean(client)


async def test_a_request_is_sent_again_after_a_tcp_reset() -> None:
    async with scripted_peer(transport="socket") as peer, peer.open_client() as client:
        await get_answered(peer, client)
        call = peer.call(client.get, "/lost")
        await peer.expect_headers()
        assert isinstance(peer.stream, trio.SocketStream)
        peer.stream.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await peer.close()
        other = peer.another()
        await other.respond(await other.expect_headers())
        await call.result()


@pytest.mark.parametrize("lose", [lose, lose_after_goaway])
async def test_each_of_many_requests_is_sent_once_more(lose: Lose) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)
        calls = {}
        for n in range(20):
            calls[f"/{n}"] = peer.call(client.get, f"/{n}")
            request = await peer.expect_headers()
        await lose(peer, request)
        other = peer.another()
        for _ in calls:
            again = await other.expect_headers()
            await other.respond(again, body=again.path.encode())
        for path, call in calls.items():
            assert (await call.result()).content == path.encode()
        assert peer.dials == 2
        assert len(other.requests) == 20


@pytest.mark.parametrize("method", ["POST", "PATCH", "LOCK"])
@pytest.mark.parametrize("lose", [lose, lose_after_goaway])
async def test_what_may_not_be_done_twice_is_sent_once(method: str, lose: Lose) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)
        call = peer.call(client.request, method, "/pay", content=b"5 euros")
        request = await peer.expect_headers()
        await lose(peer, request)
        await call.over()
        assert isinstance(call.failure, trio_h2ws.ConnectionLost)
        assert call.failure.may_have_been_processed
        await peer.settle()
        assert peer.dials == 1


async def test_a_request_on_a_new_connection_is_not_repeated() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        calls = []
        for n in range(3):
            calls.append(peer.call(client.get, f"/{n}"))
            await peer.expect_headers()
        await peer.close()
        for call in calls:
            await call.error(trio_h2ws.ConnectionLost)
        assert peer.dials == 1


@pytest.mark.parametrize("began", ["informational", "head", "body", "half a head"])
async def test_a_request_with_the_beginning_of_an_answer_is_not_repeated(began: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        if began == "half a head":
            block = frames.encode(peer.encoder, [(":status", "200")])
            await peer.raw(frames.headers(request.stream, block, end_headers=False))
        else:
            await peer.respond(request, 103 if began == "informational" else 200, end=False)
        if began == "body":
            await peer.data(request, b"half")
        await peer.close()
        await call.error(trio_h2ws.ConnectionLost)
        await peer.settle()
        assert peer.dials == 1


async def test_a_streamed_body_that_has_begun_is_not_repeated() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"once"
        await trio.sleep_forever()

    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)
        call = peer.call(client.put, "/", content=parts())
        await peer.expect_data(await peer.expect_headers())
        await peer.close()
        error = await call.error(trio_h2ws.ConnectionLost)
        assert error.may_have_been_processed
        await peer.settle()
        assert peer.dials == 1


async def test_a_streamed_answer_is_asked_for_once_more() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)

        async def read() -> bytes:
            async with client.stream("GET", "/lost") as response:
                return await response.read()

        call = peer.call(read)
        await peer.expect_headers()
        await peer.close()
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"whole")
        assert await call.result() == b"whole"


async def test_a_handshake_is_sent_once_more() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)
        opening = peer.call(client.connect_websocket, "/")
        await peer.expect_headers()
        await peer.close()
        await peer.another().accept_websocket()
        (await opening.result()).abort()


async def test_an_open_websocket_counts_as_served_before() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, _ = await open_websocket(peer, client)
        call = peer.call(client.get, "/")
        await peer.expect_headers()
        await peer.close()
        other = peer.another()
        await other.respond(await other.expect_headers())
        await call.result()
        with pytest.raises(trio_h2ws.ConnectionLost):
            await ws.send("x")


async def test_an_error_of_the_retry_says_that_the_first_may_have_been_processed(autojump_clock: MockClock) -> None:
    """The last try did nothing, for sure; but the caller asks about the call."""
    limits = trio_h2ws.Limits(max_retries=2)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        await get_answered(peer, client)
        call = peer.call(client.get, "/")
        await peer.expect_headers()
        await peer.close()
        other = peer.another()
        for _ in range(2):
            await other.rst(await other.expect_headers(), frames.REFUSED_STREAM)
        error = await call.error(trio_h2ws.RequestNotProcessed)
        assert error.may_have_been_processed


async def test_a_failed_dial_of_the_retry_says_that_the_first_may_have_been_processed() -> None:
    async def refuse() -> None:
        raise OSError("connection refused")

    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)
        call = peer.call(client.get, "/")
        await peer.expect_headers()
        peer.network.before_dial = refuse
        await peer.close()
        error = await call.error(trio_h2ws.ConnectFailed)
        assert error.may_have_been_processed
        later = await peer.call(client.get, "/").error(trio_h2ws.ConnectFailed)
        assert not later.may_have_been_processed


async def test_each_redirect_may_meet_an_idle_connection() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)
        call = peer.call(client.get, "/1")
        for number in (2, 3, 4):
            await peer.expect_headers()
            await peer.close()
            peer = peer.another()
            await peer.respond(await peer.expect_headers(), 302, {"location": f"/{number}"})
        await peer.respond(await peer.expect_headers(), body=b"there")
        response = await call.result()
        assert (response.content, len(response.history)) == (b"there", 3)


async def test_one_budget_counts_every_reason(autojump_clock: MockClock) -> None:
    """Lost, refused, refused with GOAWAY on ever new connections: `max_retries` retries in all."""
    limits = trio_h2ws.Limits(max_retries=5)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        await get_answered(peer, client)
        call = peer.call(client.get, "/")
        await peer.expect_headers()
        await peer.close()
        sent, peer = 1, peer.another()
        for end in ("refused", "goaway", "refused", "goaway", "refused"):
            request = await peer.expect_headers(within=100)
            sent += 1
            if end == "refused":
                await peer.rst(request, frames.REFUSED_STREAM)
            else:
                await peer.goaway(0)
            if end == "goaway" or sent > 3:  # after the second end it is alone on each connection
                peer = peer.another()
        await call.error(trio_h2ws.RequestNotProcessed, within=100)
        assert sent == 1 + limits.max_retries


async def test_a_client_that_is_closed_sends_nothing_again() -> None:
    async with scripted_peer() as peer:
        async with peer.open_client() as client:
            await get_answered(peer, client)
            call = peer.call(client.get, "/")
            await peer.expect_headers()
        await call.error(trio_h2ws.ConnectionLost)
        assert peer.dials == 1


# A server says GOAWAY, promises to process what is under way, and then drops it.


async def begin_on_new_connection(peer: Peer, client: trio_h2ws.Client, method: str = "GET") -> tuple[Any, Request]:
    call = peer.call(client.request, method, "/dropped")
    return call, await peer.expect_headers()


@pytest.mark.parametrize("code", [frames.NO_ERROR, frames.PROTOCOL_ERROR, frames.INTERNAL_ERROR, 99])
async def test_a_dropped_promise_is_asked_for_once_more(code: int) -> None:
    """Whatever the GOAWAY said, and even if the connection was new."""
    async with scripted_peer() as peer, peer.open_client() as client:
        call, request = await begin_on_new_connection(peer, client)
        await peer.goaway(request, code)
        await peer.close()
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"kept")
        assert (await call.result()).content == b"kept"
        await peer.settle()
        assert peer.dials == 2
        assert_clean(client)


@pytest.mark.parametrize("began", ["informational", "head", "whole body"])
async def test_a_dropped_end_is_asked_for_once_more(began: str) -> None:
    """Hypercorn drops a body, or only its END_STREAM, after it has sent what was before it."""
    async with scripted_peer() as peer, peer.open_client() as client:
        call, request = await begin_on_new_connection(peer, client)
        if began == "informational":
            await peer.respond(request, 103, end=False)
        else:
            await peer.respond(request, 200, {"content-length": "4"}, end=False)
        if began == "whole body":
            await peer.data(request, b"kept")
        await peer.goaway(request)
        await peer.close()
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"kept")
        assert (await call.result()).content == b"kept"


async def test_half_a_body_before_the_end_is_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call, request = await begin_on_new_connection(peer, client)
        await peer.respond(request, end=False)
        await peer.data(request, b"half")
        await peer.goaway(request)
        await peer.close()
        await call.error(trio_h2ws.ConnectionTerminated)
        await peer.settle()
        assert peer.dials == 1


async def test_a_post_that_was_dropped_says_that_it_may_be_done() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call, request = await begin_on_new_connection(peer, client, "POST")
        await peer.goaway(request)
        await peer.close()
        error = await call.error(trio_h2ws.ConnectionTerminated)
        assert error.may_have_been_processed
        assert peer.dials == 1


async def test_the_first_goaway_is_the_reason() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, _ = await open_websocket(peer, client)
        call, request = await begin_on_new_connection(peer, client, "POST")
        await peer.goaway(request, frames.NO_ERROR, b"enough")
        await peer.goaway(request, frames.PROTOCOL_ERROR)
        await peer.close()
        error = await call.error(trio_h2ws.ConnectionTerminated)
        assert (error.error_code, error.debug_data) == (frames.NO_ERROR, b"enough")
        assert "the last said PROTOCOL_ERROR" in str(error)
        with pytest.raises(trio_h2ws.ConnectionTerminated) as caught:
            await ws.receive()
        assert caught.value.error_code == frames.NO_ERROR


async def test_a_goaway_is_answered_with_a_ping() -> None:
    """A server that has forgotten the connection shows it at once, and nothing waits for its idle end."""
    async with scripted_peer() as peer, peer.open_client() as client:
        await get_answered(peer, client)
        await peer.expect_ping()
        call, request = await begin_on_new_connection(peer, client)
        await peer.goaway(request)
        await peer.expect_ping()
        await peer.close()
        other = peer.another()
        await other.respond(await other.expect_headers())
        await call.result()
