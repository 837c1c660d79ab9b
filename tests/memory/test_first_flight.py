"""Requests are sent before the server's SETTINGS have come. What these refute is repaired, unseen by the caller.

The kind: what a client assumed was wrong, and a call fails by it, is lost, or is processed twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import frames, scripted_peer


async def test_a_request_is_sent_before_the_first_settings() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=b"body")
        request = await peer.expect_headers()
        await peer.expect_end(request)
        assert request.body == b"body"
        await peer.settings({})
        await peer.respond(request)
        assert (await call.result()).status == 200


async def test_a_hundred_streams_are_opened_before_the_settings_and_the_others_wait() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        calls = [peer.call(client.get, f"/{n}") for n in range(150)]
        await peer.settle()
        assert len(peer.requests) == 100
        assert client.connections[0].streams_allowed == 100
        peer.serve()
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 1000})
        for n, call in enumerate(calls):
            assert (await call.result()).content == f"/{n}".encode()
        assert peer.dials == 1


async def test_a_lower_bound_of_ours_holds_before_the_settings() -> None:
    limits = trio_h2ws.Limits(max_streams=3)
    async with scripted_peer(settings=None) as peer, peer.open_client(limits=limits) as client:
        calls = [peer.call(client.get, f"/{n}") for n in range(5)]
        await peer.settle()
        assert len(peer.requests) == 3
        peer.serve()
        await peer.settings({})
        for call in calls:
            await call.result()


async def test_no_more_of_a_body_than_the_default_windows_allow_precedes_the_settings() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        calls = [peer.call(client.post, f"/{n}", content=bytes(50_000)) for n in range(3)]
        await peer.settle()
        assert sum(len(request.body) for request in peer.requests.values()) == 65_535
        peer.serve()
        await peer.settings({frames.INITIAL_WINDOW_SIZE: 100_000})
        await peer.window_update(0, 1_000_000)
        for call in calls:
            await call.result()


async def test_smaller_windows_in_the_settings_stop_the_body() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=bytes(40_000))
        request = await peer.expect_headers()
        await peer.expect_end(request)
        await peer.settings({frames.INITIAL_WINDOW_SIZE: 10})
        other = peer.call(client.post, "/other", content=bytes(100))
        second = await peer.expect_headers()
        await peer.settle()
        assert len(second.body) == 10
        await peer.window_update(second, 90)
        for each in (request, second):
            await peer.respond(each)
        await call.result()
        await other.result()


async def test_streams_over_the_announced_bound_are_sent_again_when_the_server_refuses_them() -> None:
    """Requests that are not idempotent as well: the server says that it has not processed them."""
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        calls = [peer.call(client.post, f"/{n}", content=f"body {n}") for n in range(10)]
        first = [await peer.expect_headers() for _ in range(10)]
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 2})
        for request in first[2:]:
            await peer.rst(request, frames.REFUSED_STREAM)
        await peer.settle()
        assert len(peer.requests) == 10  # the others wait for one of the two slots
        peer.serve()
        for request in first[:2]:
            await peer.respond(request, body=request.path.encode())
        for n, call in enumerate(calls):
            assert (await call.result()).content.startswith(f"/{n}".encode())
        assert len(peer.requests) == 18  # the two, and eight twice
        assert peer.dials == 1


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_that_ends_before_its_settings_may_have_processed_the_request(method: str) -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        sent = peer.call(client.request, method, "/")
        waiting = peer.call(client.connect_websocket, "/")
        await peer.expect_headers()
        await peer.close()
        error = await sent.error(trio_h2ws.ConnectionLost)
        assert not isinstance(error, trio_h2ws.ConnectFailed)
        assert error.may_have_been_processed
        assert "the server did not start HTTP/2" in str(error)
        assert peer.dials == 1
        # The WebSocket was not sent.
        error = await waiting.error(trio_h2ws.ConnectFailed)
        assert not error.may_have_been_processed


async def test_a_body_that_exists_only_once_waits_for_the_settings() -> None:
    asked = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal asked
        asked += 1
        yield b"once"

    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        once = peer.call(client.post, "/once", content=parts())
        again = peer.call(client.post, "/again", content=[b"a", b"gain"])
        request = await peer.expect_headers()
        await peer.settle()
        assert request.path == "/again"  # it overtakes the call that came before it
        assert len(peer.requests) == 1
        assert asked == 0
        await peer.settings({})
        await peer.respond(request)
        peer.serve()
        await once.result()
        await again.result()
        assert asked == 1


async def test_a_large_header_list_waits_for_the_settings() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        call = peer.call(client.get, "/", headers={"x-large": "x" * 10_000})
        await peer.expect_preface()
        await peer.settle()
        assert peer.requests == {}
        await peer.settings({frames.MAX_HEADER_LIST_SIZE: 5_000})
        error = await call.error(trio_h2ws.LocalProtocolError)
        assert "MAX_HEADER_LIST_SIZE" in str(error)


async def test_settings_that_have_come_with_the_handshake_are_obeyed_at_once() -> None:
    settings = {frames.MAX_CONCURRENT_STREAMS: 2}
    async with scripted_peer(settings, transport="tls") as peer:
        for _ in range(5):
            async with peer.network.open_client() as client:
                calls = [peer.network.peer(peer.dials).call(client.get, f"/{n}") for n in range(3)]
                server = peer.network.peer(peer.dials)
                server.serve()
                for call in calls:
                    await call.result()


async def test_a_cancelled_request_of_the_first_flight_leaves_the_connection_whole() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        call.cancel()
        await call.over()
        await peer.expect_rst(request, frames.CANCEL)
        await peer.settings({})
        peer.serve()
        await client.get("/next")
        assert peer.dials == 1
        assert len(peer.sent(hf.GoAwayFrame)) == 0


async def test_a_goaway_with_the_settings_sends_the_requests_to_another_connection() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=b"x")
        await peer.expect_headers()
        await peer.raw(frames.settings({}) + frames.goaway(0))
        other = peer.another()
        await other.settings({})
        other.serve()
        assert (await call.result()).status == 200


async def test_settings_that_do_not_come_end_the_requests_in_time(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(connect=3)
    async with scripted_peer(settings=None) as peer, peer.open_client(timeouts=timeouts) as client:
        start = trio.current_time()
        call = peer.call(client.get, "/")
        error = await call.error(trio_h2ws.ConnectionTimedOut, within=60)
        assert trio.current_time() - start == pytest.approx(3)
        assert "no SETTINGS came within 3 s (Timeouts.connect)" in str(error)
        await peer.expect_eof()
