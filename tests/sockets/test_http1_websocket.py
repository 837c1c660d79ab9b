"""WebSockets by Upgrade (RFC 6455): the same class, each on a connection of its own."""

from __future__ import annotations

import pytest
import trio
from wsproto.events import TextMessage

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import until


async def echo(peer: Peer) -> None:
    """Echoes, and answers requests besides."""
    while (request := await peer.request()) is not None:
        if request.headers.get("upgrade") == "websocket":
            await (await peer.accept_websocket(request)).echo()
            return
        await peer.respond(200, b"hello")


async def test_the_handshake() -> None:
    seen = []

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        seen.append(request)
        await (await peer.accept_websocket(request, subprotocol="v2")).echo()

    async with open_http1(serve) as server, server.open_client(headers={"x-mine": "1"}) as client:
        async with client.websocket(
            "/chat?a=b", subprotocols=["v1", "v2"], origin="https://here.test", headers={"x-call": "2"}
        ) as ws:
            assert (ws.subprotocol, ws.http_version, ws.stream_id) == ("v2", "HTTP/1.1", None)
            assert ws.response.status == 101
            assert ws.connection.websockets == "HTTP/1.1"
            await ws.send("ä")
            assert await ws.receive() == "ä"
    [request] = seen
    assert (request.method, request.target) == ("GET", "/chat?a=b")
    assert request.headers["host"] == f"localhost:{server.port}"
    assert request.headers["sec-websocket-version"] == "13"
    assert request.headers["sec-websocket-protocol"] == "v1, v2"
    assert len(request.headers["sec-websocket-key"]) == 24
    assert request.headers["origin"] == "https://here.test"
    assert request.headers["x-mine"] == "1"
    assert request.headers["x-call"] == "2"
    assert request.headers["connection"] == "Upgrade"


@pytest.mark.parametrize("tls", [True, False])
async def test_messages_of_all_sizes(tls: bool) -> None:
    async with open_http1(echo, tls=tls) as server, server.open_client() as client:
        async with client.websocket("/") as ws:
            for size in (0, 1, 125, 126, 65535, 65536, 3_000_000):
                await ws.send(b"x" * size)
                assert await ws.receive() == b"x" * size
            await ws.send(["a", "b", "c"])
            assert await ws.receive() == "abc"
            assert 0 < await ws.ping() < 5


async def test_ws_urls_in_clear_go_over_http1() -> None:
    async with open_http1(echo, tls=False) as server, trio_h2ws.open_client() as client:
        async with client.websocket(f"{server.ws_url}/") as ws:
            await ws.send("x")
            assert await ws.receive() == "x"


async def test_each_has_a_connection_and_requests_keep_theirs() -> None:
    async with open_http1(echo) as server, server.open_client() as client:
        sockets = [await client.connect_websocket("/") for _ in range(10)]
        for i, ws in enumerate(sockets):
            await ws.send(str(i))
        assert [await ws.receive() for ws in sockets] == [str(i) for i in range(10)]
        assert (await client.get("/")).content == b"hello"
        assert len({ws.connection.id for ws in sockets}) == 10
        assert server.alive == len(client.connections) == 11
        await sockets[3].aclose()
        for ws in sockets[:3] + sockets[4:]:
            await ws.send("still here")
            assert await ws.receive() == "still here"
            await ws.aclose()
        await until(lambda: len(client.connections) == 1)


async def test_the_connection_that_showed_that_there_is_no_http2_is_used() -> None:
    async with open_http1(echo) as server, server.open_client() as client:
        for count in (1, 2, 3):
            await client.connect_websocket("/")
            assert server.accepted == count
        assert server.offers == [["h2", "http/1.1"], ["http/1.1"], ["http/1.1"]]


async def test_a_websocket_does_not_wait_for_requests() -> None:
    """Over HTTP/1.1 downloads may hold every connection that requests may have."""

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        if request.headers.get("upgrade") == "websocket":
            await (await peer.accept_websocket(request)).echo()
        else:
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\nand so on")
            await peer.gone()

    limits = trio_h2ws.Limits(max_connections_per_origin=1)
    async with open_http1(serve) as server, server.open_client(limits=limits) as client:
        async with client.stream("GET", "/"):
            async with client.websocket("/") as ws:
                await ws.send("x")
                assert await ws.receive() == "x"
        assert server.accepted == 2


async def test_the_bound_of_such_connections() -> None:
    limits = trio_h2ws.Limits(max_http1_websockets=2)
    async with open_http1(echo) as server, server.open_client(limits=limits) as client:
        first = await client.connect_websocket("/")
        await client.connect_websocket("/")
        with pytest.raises(trio_h2ws.LimitExceeded) as caught:
            await client.connect_websocket("/")
        assert caught.value.bound == "max_http1_websockets"
        await first.aclose()
        await until(lambda: len(client.connections) < 2)
        await client.connect_websocket("/")


async def test_deflate() -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        await (await peer.accept_websocket(request, compression=True)).echo()

    async with open_http1(serve) as server, server.open_client() as client:
        async with client.websocket("/", compression=trio_h2ws.DeflateOptions()) as ws:
            assert "permessage-deflate" in ws.response.headers["sec-websocket-extensions"]
            before = ws.connection.bytes_out
            await ws.send("again and " * 10_000)
            assert await ws.receive() == "again and " * 10_000
            assert ws.connection.bytes_out - before < 5_000


async def test_a_message_in_the_same_packet_as_the_101() -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        sent: list[bytes] = []
        send, peer.send = peer.send, lambda data: keep(sent, data)  # type: ignore[method-assign]
        socket = await peer.accept_websocket(request)
        await socket.say(TextMessage(data="at once"))
        await send(b"".join(sent))
        await peer.gone()

    async def keep(sent: list[bytes], data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        sent.append(data)

    async with open_http1(serve) as server, server.open_client() as client:
        ws = await client.connect_websocket("/")
        assert await ws.receive() == "at once"
