"""WebSockets by Upgrade (RFC 6455): the same class, each on a separate connection."""

from __future__ import annotations

import pytest
import trio
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import until
from trio_h2ws import Limits
from trio_h2ws.testing import open_server


async def echo(peer: Peer) -> None:
    """Echo on WebSockets, and answer requests."""
    while (request := await peer.request()) is not None:
        if request.headers.get("upgrade") == "websocket":
            await (await peer.accept_websocket(request)).echo()
            return
        await peer.respond(200, b"hello")


async def test_a_websocket_opens_with_an_upgrade() -> None:
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
async def test_messages_of_every_size_are_echoed(tls: bool) -> None:
    async with open_http1(echo, tls=tls) as server, server.open_client() as client:
        async with client.websocket("/") as ws:
            for size in (0, 1, 125, 126, 65535, 65536, 3_000_000):
                await ws.send(b"x" * size)
                assert await ws.receive() == b"x" * size
            await ws.send(["a", "b", "c"])
            assert await ws.receive() == "abc"
            assert 0 < await ws.ping() < 5


async def test_a_ws_url_in_clear_uses_http1() -> None:
    async with open_http1(echo, tls=False) as server, trio_h2ws.open_client() as client:
        async with client.websocket(f"{server.ws_url}/") as ws:
            await ws.send("x")
            assert await ws.receive() == "x"


async def test_each_websocket_has_its_own_connection() -> None:
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


async def test_the_first_http1_connection_is_used() -> None:
    async with open_http1(echo) as server, server.open_client() as client:
        for count in (1, 2, 3):
            await client.connect_websocket("/")
            assert server.accepted == count
        assert server.offers == [["h2", "http/1.1"], ["http/1.1"], ["http/1.1"]]


async def test_a_websocket_does_not_wait_for_requests() -> None:
    """Over HTTP/1.1 downloads may occupy all connections that requests may have."""

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        if request.headers.get("upgrade") == "websocket":
            await (await peer.accept_websocket(request)).echo()
        else:
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\nand so on")
            await peer.gone()

    limits = trio_h2ws.Limits(max_http1_connections=1)
    async with open_http1(serve) as server, server.open_client(limits=limits) as client:
        async with client.stream("GET", "/"):
            async with client.websocket("/") as ws:
                await ws.send("x")
                assert await ws.receive() == "x"
        assert server.accepted == 2


async def test_the_number_of_websockets_is_bounded() -> None:
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


async def test_websockets_opened_at_once_keep_their_bound() -> None:
    async with open_server(alpn=("http/1.1",)) as server:
        limits = Limits(max_http1_websockets=2)
        async with trio_h2ws.open_client(ssl_context=server.ssl_context, limits=limits, http2="never") as client:
            refused = 0

            async def open_one() -> None:
                nonlocal refused
                try:
                    await client.connect_websocket(f"{server.ws_url}/ws/echo")
                except trio_h2ws.LimitExceeded as error:
                    refused += error.bound == "max_http1_websockets"

            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(open_one)
            assert refused == 4


async def test_messages_are_compressed() -> None:
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


async def test_a_message_may_share_a_packet_with_the_101() -> None:
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


# Refused.


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 426, 500, 503])
async def test_a_refusal_has_status_headers_and_body(status: int) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(status, b"not here", [("x-why", "because"), ("connection", "close")])
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert (caught.value.status, caught.value.body) == (status, b"not here")
        assert caught.value.headers["x-why"] == "because"
        await until(lambda: not server.alive)


async def test_a_refusal_with_an_endless_body_is_bounded_in_time() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 403 No\r\ntransfer-encoding: chunked\r\n\r\n5\r\nsorry\r\n")
        await peer.gone()

    timeouts = trio_h2ws.Timeouts(handshake=0.1)
    async with open_http1(serve) as server, server.open_client(timeouts=timeouts) as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert (caught.value.status, caught.value.body) == (403, b"sorry")


KEY_OF_ANOTHER = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize(
    "head",
    [
        "upgrade: websocket\r\nconnection: upgrade\r\n",
        f"upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {KEY_OF_ANOTHER}\r\n",
        "upgrade: h2c\r\nconnection: upgrade\r\n",
        "",
    ],
)
async def test_a_101_with_wrong_fields_is_an_error(head: str) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(f"HTTP/1.1 101 Switching Protocols\r\n{head}\r\n".encode())
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.RemoteProtocolError, match="101"):
            await client.connect_websocket("/")
        await until(lambda: not server.alive)


async def test_a_subprotocol_that_was_not_offered_is_an_error() -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        request.fields.append(("sec-websocket-protocol", "other"))  # wsproto accepts only what was offered
        await peer.accept_websocket(request, subprotocol="other")
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.RemoteProtocolError, match="other"):
            await client.connect_websocket("/")
        await until(lambda: not server.alive)


async def test_a_silent_server_meets_the_handshake_timeout() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    timeouts = trio_h2ws.Timeouts(handshake=0.1)
    async with open_http1(serve) as server, server.open_client(timeouts=timeouts) as client:
        with pytest.raises(trio_h2ws.WebSocketError, match="handshake"):
            await client.connect_websocket("/")
        await until(lambda: not server.alive)


async def test_a_hang_up_in_the_handshake_is_an_error() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.ConnectionLost):
            await client.connect_websocket("/")


# Closing, and other ends.


async def test_aclose_sends_code_and_reason() -> None:
    codes = []

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        socket = await peer.accept_websocket(request)
        event = await socket.event()
        assert isinstance(event, CloseConnection)
        codes.append((event.code, event.reason))
        await socket.say(event.response())
        assert await socket.event() is None

    async with open_http1(serve) as server, server.open_client() as client:
        ws = await client.connect_websocket("/")
        await ws.aclose(4000, "enough")
        assert (ws.close_code, codes) == (4000, [(4000, "enough")])
        await until(lambda: not server.alive and not client.connections)


async def test_a_close_of_the_server_is_answered() -> None:
    answers = []

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        socket = await peer.accept_websocket(request)
        await socket.say(TextMessage(data="last"))
        await socket.say(CloseConnection(code=4001, reason="bye"))
        answers.append(await socket.event())
        assert await socket.event() is None

    async with open_http1(serve) as server, server.open_client() as client:
        ws = await client.connect_websocket("/")
        assert await ws.receive() == "last"
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        closed = caught.value
        assert (closed.code, closed.reason, closed.clean, closed.initiator) == (4001, "bye", True, "remote")
        await until(lambda: answers and not client.connections)
        assert isinstance(answers[0], CloseConnection)
        assert answers[0].code == 4001


async def test_an_end_without_a_close_is_1006() -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        await (await peer.accept_websocket(request)).say(TextMessage(data="last"))
        await peer.stream.aclose()

    async with open_http1(serve) as server, server.open_client() as client:
        ws = await client.connect_websocket("/")
        assert await ws.receive() == "last"
        with pytest.raises((trio_h2ws.WebSocketClosed, trio_h2ws.ConnectionLost)) as caught:
            await ws.receive()
        assert not getattr(caught.value, "clean", False)
        assert ws.close_code == 1006


async def test_cancelling_a_block_ends_its_connection() -> None:
    async with open_http1(echo) as server, server.open_client() as client:
        with trio.move_on_after(0.05):
            async with client.websocket("/") as ws:
                await ws.receive()
        await until(lambda: not server.alive)


async def test_cancelling_a_handshake_ends_its_connection() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        with trio.move_on_after(0.05) as scope:
            await client.connect_websocket("/")
        assert scope.cancelled_caught
        await until(lambda: not server.alive)
        assert not client.connections


async def test_pings_are_answered_while_the_application_is_busy() -> None:
    pongs = []

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        socket = await peer.accept_websocket(request)
        await socket.say(Ping(payload=b"there?"))
        pongs.append(await socket.event())
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        await client.connect_websocket("/")
        await until(lambda: pongs)
        assert isinstance(pongs[0], Pong)
        assert bytes(pongs[0].payload) == b"there?"


@pytest.mark.slow
async def test_a_slow_reader_holds_its_server_back() -> None:
    sent = 0

    async def serve(peer: Peer) -> None:
        nonlocal sent
        request = await peer.request()
        assert request is not None
        socket = await peer.accept_websocket(request)
        for _ in range(5_000):
            await socket.say(BytesMessage(data=b"x" * 10_000))
            sent += 1
        await socket.say(CloseConnection(code=1000))
        await peer.gone()

    async with open_http1(serve, tls=False) as server, server.open_client() as client:
        ws = await client.connect_websocket("/")
        before = -1
        while before != sent:
            before = sent
            await trio.sleep(0.1)
        assert sent < 2_000
        assert ws.connection.bytes_in < 2_000_000
        assert sum([len(message) async for message in ws]) == 50_000_000
