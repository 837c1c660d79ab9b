"""One connection for each origin, whatever uses it, and what `client.connections` shows."""

from __future__ import annotations

import trio

import trio_h2ws
from toolkit import connection_of, frames, scripted_peer
from trio_h2ws.testing import open_server


async def test_requests_and_websockets_share_one_dial() -> None:
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


async def test_each_origin_has_its_own_connection() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()
        peer.another().serve()
        await client.get("http://one.test/")
        await client.get("http://two.test/")
        assert peer.dials == 2
        assert [info.origin for info in client.connections] == ["http://one.test", "http://two.test"]


async def test_connections_shows_each_connection() -> None:
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
        await peer.settle()
        assert response.connection == info == client.connections[0]
        assert client.connections[0].streams_in_use == 0
        assert client.connections[0].round_trip_time is not None
        assert connection_of(client).info() == info
