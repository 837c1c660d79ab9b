"""One connection for an origin: one dial for all who wait, and stream slots in the order of coming."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest
import trio

import trio_h2ws
from toolkit import Call, Peer, assert_clean, connection_of, frames, scripted_peer
from trio_h2ws.testing import open_server


async def test_a_hundred_requests_and_a_hundred_websockets_dial_once() -> None:
    async with open_server(memory=True) as server:
        async with (
            trio_h2ws.open_client(ssl_context=server.ssl_context, open_stream=server.open_stream) as client,
            trio.open_nursery() as nursery,
        ):

            async def request(n: int) -> None:
                response = await client.post(f"{server.url}/echo", content=f"{n}".encode())
                assert response.content == f"{n}".encode()

            async def websocket(n: int) -> None:
                async with client.websocket(f"{server.ws_url}/ws/echo") as ws:
                    await ws.send(f"{n}")
                    assert await ws.receive() == f"{n}"

            for n in range(100):
                nursery.start_soon(request, n)
                nursery.start_soon(websocket, n)
        assert server.stats.tcp_connections == 1
        assert server.stats.tls_handshakes == 1
        assert server.stats.errors == []


async def test_http_and_ws_urls_share_the_connection() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()
        await client.get(peer.url + "/")
        async with client.websocket(peer.url.replace("http", "ws") + "/echo") as ws:
            await ws.send("x")
            assert await ws.receive() == "x"
        assert peer.dials == 1


async def test_cancelling_who_began_the_dial_does_not_fail_the_others() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        await peer.settle()
        others = [peer.call(client.get, f"/{n}") for n in range(3)]
        await peer.settle()
        first.cancel()
        await first.over()
        await peer.settings(frames_ready())
        peer.serve()
        for n, other in enumerate(others):
            assert (await other.result()).content == f"/{n}".encode()
        assert peer.dials == 1


async def test_a_dial_that_everybody_left_serves_the_next_call() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        await peer.settle()
        first.cancel()
        await first.over()
        second = peer.call(client.get, "/second")
        await peer.settings(frames_ready())
        peer.serve()
        assert (await second.result()).content == b"/second"
        assert peer.dials == 1


async def test_a_failed_dial_fails_all_who_wait_each_with_its_own_error_and_the_next_call_dials_again() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        calls = [peer.call(client.get, "/") for _ in range(3)]
        await peer.settle()
        await peer.close()
        errors = [await call.error(trio_h2ws.ConnectFailed) for call in calls]
        assert len({id(error) for error in errors}) == 3
        again = peer.call(client.get, "/again")
        other = peer.another()
        await other.settings(frames_ready())
        other.serve()
        assert (await again.result()).content == b"/again"


async def test_open_stream_that_raises_is_a_failed_dial() -> None:
    async def refuse(host: str, port: int) -> trio.abc.Stream:
        raise ConnectionRefusedError("nobody is at home")

    async with trio_h2ws.open_client(open_stream=refuse) as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match="nobody is at home"):
            await client.get("https://nowhere.test/")


def frames_ready(**more: int) -> dict[int, int]:
    return {frames.MAX_CONCURRENT_STREAMS: 100, frames.ENABLE_CONNECT_PROTOCOL: 1}


# Slots.


async def test_slots_follow_max_concurrent_streams_first_come_first_served() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 2}) as peer, peer.open_client() as client:
        calls = await begin(peer, client, 6)
        assert [request.path for request in peer.requests.values()] == ["/0", "/1"]
        # The slot of the second comes free first: the third in line takes it.
        for answered, served in ((3, "/2"), (1, "/3"), (5, "/4"), (7, "/5")):
            await peer.respond(answered)
            await peer.settle()
            assert list(peer.requests.values())[-1].path == served
        for left in (9, 11):
            await peer.respond(left)
        for call in calls:
            await call.result()
        assert_clean(client, peer)


async def test_a_cancelled_waiter_is_passed_over() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        calls = await begin(peer, client, 4)
        calls[1].cancel()
        calls[2].cancel()
        await peer.respond(1)
        await peer.settle()
        assert [request.path for request in peer.requests.values()] == ["/0", "/3"]
        await peer.respond(3)
        await calls[3].result()
        assert_clean(client, peer)


async def test_a_cancelled_request_frees_its_slot() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        calls = await begin(peer, client, 2)
        calls[0].cancel()
        await peer.expect_rst(1, frames.CANCEL)
        await peer.settle()
        await peer.respond(3)
        await calls[1].result()


async def test_more_slots_serve_those_who_wait_at_once() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 1}) as peer, peer.open_client() as client:
        await begin(peer, client, 5)
        assert len(peer.requests) == 1
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 3})
        await peer.settle()
        assert len(peer.requests) == 3


async def test_fewer_slots_wait_until_enough_streams_have_ended() -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 3}) as peer, peer.open_client() as client:
        await begin(peer, client, 5)
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 1})
        for stream in (1, 3):
            await peer.respond(stream)
            await peer.settle()
            assert len(peer.requests) == 3
        await peer.respond(5)
        await peer.settle()
        assert len(peer.requests) == 4


async def test_no_slots_and_slots_again() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await peer_round(peer, client)
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 0})
        await peer.settle()
        calls = await begin(peer, client, 3)
        assert len(peer.requests) == 1
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 2})
        await peer.settle()
        assert {request.path for request in list(peer.requests.values())[1:]} == {"/0", "/1"}
        for stream in (3, 5):
            await peer.respond(stream)
        await peer.settle()
        await peer.respond(7)
        for call in calls:
            await call.result()
        assert peer.dials == 1
        assert_clean(client, peer)


async def test_a_call_that_never_opens_its_stream_gives_its_slot_to_the_next() -> None:
    settings = {frames.MAX_CONCURRENT_STREAMS: 1, frames.MAX_HEADER_LIST_SIZE: 1000}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        first = await begin(peer, client, 1)
        too_large = peer.call(client.get, "/large", headers={"x-large": "x" * 2000})
        await peer.settle()
        third = peer.call(client.get, "/third")
        await peer.settle()
        await peer.respond(1)
        await first[0].result()
        await too_large.error(trio_h2ws.LocalProtocolError)
        await peer.settle()
        await peer.respond(3)
        assert peer.requests[3].path == "/third"
        await third.result()


async def test_a_client_can_bound_its_streams_itself() -> None:
    limits = trio_h2ws.Limits(max_streams=2)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        await begin(peer, client, 3)
        assert len(peer.requests) == 2
        assert client.connections[0].streams_allowed == 2


async def begin(peer: Peer, client: trio_h2ws.Client, count: int) -> list[Call[trio_h2ws.Response]]:
    """So many requests, begun in this order."""
    calls = []
    for n in range(count):
        calls.append(peer.call(client.get, f"/{n}"))
        await peer.settle()
    return calls


async def peer_round(peer: Peer, client: trio_h2ws.Client) -> None:
    """One request and its response."""
    call = peer.call(client.get, "/round")
    await peer.respond(await peer.expect_headers())
    await call.result()


# What SETTINGS say about WebSockets.


async def test_the_first_settings_are_awaited_before_anything_is_sent() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        opening = peer.call(client.connect_websocket, "/")
        await peer.expect_preface()
        await peer.settle()
        assert peer.requests == {}
        await peer.settings(frames_ready())
        peer.serve()
        await call.result()
        (await opening.result()).abort()


@pytest.mark.parametrize("settings", [{}, {frames.ENABLE_CONNECT_PROTOCOL: 0}], ids=["absent", "zero"])
async def test_without_the_setting_no_extended_connect_is_ever_sent(settings: dict[int, int]) -> None:
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        for _ in range(2):
            opening = peer.call(client.connect_websocket, "/")
            error = await opening.error(trio_h2ws.HTTP2NotAvailable)
            assert error.reason == "setting-absent"
        # A later frame does not change it: only the first one counts.
        await peer.settings({frames.ENABLE_CONNECT_PROTOCOL: 1})
        await peer_round(peer, client)
        opening = peer.call(client.connect_websocket, "/")
        await opening.error(trio_h2ws.HTTP2NotAvailable)
        assert [request[":method"] for request in peer.requests.values()] == ["GET"]
        assert_clean(client, peer)


async def test_our_settings() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await peer_round(peer, client)
        limits = trio_h2ws.Limits()
        assert peer.client_settings[frames.ENABLE_PUSH] == 0
        assert peer.client_settings[frames.INITIAL_WINDOW_SIZE] == limits.stream_window
        assert peer.client_settings[frames.MAX_HEADER_LIST_SIZE] == limits.max_header_list_size
        # It is a server's setting, and a client's 0 makes some servers refuse every WebSocket.
        assert frames.ENABLE_CONNECT_PROTOCOL not in peer.client_settings
        # The connection's window has no setting: it comes right after the preface.
        assert isinstance(peer.frames[1], hf.WindowUpdateFrame)
        assert peer.may_send == limits.connection_window
        # Each of the peer's SETTINGS frames is acknowledged, once.
        await peer.settings({frames.INITIAL_WINDOW_SIZE: 100_000})
        await peer.settings({})
        await peer.settle()
        assert peer.acks == 3


async def test_a_snapshot_of_the_connection() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        assert client.connections == []
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        (info,) = client.connections
        assert (info.origin, info.protocol) == ("http://peer.test", "HTTP/2")
        assert (info.streams_in_use, info.streams_allowed) == (1, 100)
        assert info.settings["ENABLE_CONNECT_PROTOCOL"] == 1
        assert info.extended_connect
        assert not info.draining
        assert info.bytes_out == sum(9 + frame.body_len for frame in peer.frames) + len(frames.PREFACE)
        await peer.respond(request)
        response = await call.result()
        assert response.connection == info == client.connections[0]
        assert client.connections[0].streams_in_use == 0
        assert client.connections[0].round_trip_time is not None
        assert connection_of(client).info() == info


async def test_two_origins_have_a_connection_each() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()
        peer.another().serve()
        await client.get("http://one.test/")
        await client.get("http://two.test/")
        assert peer.dials == 2
        assert [info.origin for info in client.connections] == ["http://one.test", "http://two.test"]
