"""HTTP/1.1: responses of every framing, and bytes that are not a response."""

from __future__ import annotations

import gzip

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1


async def test_chunks_trailers_and_1xx_are_received() -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
            await trio.sleep(0.01)
            await peer.send(b"2;ext=1\r\nde\r\n0\r\nx-sum: 5\r\n\r\n")

    async with open_http1(serve) as server, server.open_client() as client:
        for _ in range(2):
            response = await client.get("/")
            assert response.content == b"abcde"
            assert response.trailers["x-sum"] == "5"
            assert [status for status, _ in response.informational] == [103, 102]
            assert response.informational[0][1]["link"] == "</a.css>"
        assert server.accepted == 1


async def test_a_response_to_head_has_no_body() -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")

    async with open_http1(serve) as server, server.open_client() as client:
        for _ in range(3):
            response = await client.head("/")
            assert (response.content, response.headers["content-length"]) == (b"", "1000000")
        assert server.accepted == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_204_and_304_have_no_body(status: int) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 %d None\r\n\r\n" % status)

    async with open_http1(serve) as server, server.open_client() as client:
        for _ in range(2):
            assert (await client.get("/")).status == status
        assert server.accepted == 1


async def test_gzip_is_decoded() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, gzip.compress(b"small" * 1000), [("content-encoding", "gzip")])
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        assert (await client.get("/")).content == b"small" * 1000


@pytest.mark.parametrize("tls", [True, False])
async def test_a_body_may_end_with_the_connection(tls: bool) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"to the end", length=False)
        await peer.stream.aclose()

    async with open_http1(serve, tls=tls) as server, server.open_client() as client:
        for turn in (1, 2):
            assert (await client.get("/")).content == b"to the end"
            assert server.accepted == turn


@pytest.mark.parametrize("framing", [b"content-length: 10\r\n\r\n", b"transfer-encoding: chunked\r\n\r\n6\r\n"])
@pytest.mark.parametrize("close", [True, False])
async def test_a_truncated_body_is_an_error(framing: bytes, close: bool) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n" + framing + b"five!")
        if close:
            await peer.stream.aclose()

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises((trio_h2ws.ConnectionLost, trio_h2ws.RemoteProtocolError)):
            await client.get("/")
        got = b""
        with pytest.raises((trio_h2ws.ConnectionLost, trio_h2ws.RemoteProtocolError)):
            async with client.stream("GET", "/") as response:
                async for piece in response:
                    got += piece
        assert got == b"five!"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HELLO\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
        b"garbage",
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    ],
)
async def test_an_answer_that_is_not_http1_is_an_error(answer: bytes) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.RemoteProtocolError):
            await client.get("/")


async def test_an_endless_head_meets_its_bound() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            await peer.send(b"x-more: %b\r\n" % (b"y" * 1000))

    limits = trio_h2ws.Limits(max_header_list_size=20_000)
    async with open_http1(serve) as server, server.open_client(limits=limits) as client:
        with pytest.raises(trio_h2ws.LimitExceeded) as caught:
            await client.get("/")
        assert caught.value.bound == "max_header_list_size"


async def test_endless_1xx_responses_meet_their_bound() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        while True:
            await peer.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.LimitExceeded) as caught:
            await client.get("/")
        assert caught.value.bound == "max_informational"
