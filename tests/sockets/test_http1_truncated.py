"""HTTP/1.1 over TLS that ends without close_notify: which bodies are whole, which may not be, and which are cut.

The kind: a body whose end the server does not mark. It is delivered, with a flag, only if it could be whole: it has
no length, and the connection ended between two TLS records.
"""

from __future__ import annotations

import gzip
from collections.abc import Awaitable, Callable

import pytest
import trio
from trio.testing import memory_stream_pair

import trio_h2ws
from servers.http1 import Peer, open_http1

CUT = (trio_h2ws.ConnectionLost, trio_h2ws.RemoteProtocolError)
LINES = b"content-type: text/plain\r\n"


def answering(data: bytes, end: Callable[[Peer], Awaitable[None]]) -> Callable[[Peer], Awaitable[None]]:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(data)
        await end(peer)

    return serve


async def cut(peer: Peer) -> None:
    """End TCP, without close_notify."""
    assert isinstance(peer.stream, trio.SSLStream)
    await peer.stream.transport_stream.aclose()


async def close(peer: Peer) -> None:
    await peer.stream.aclose()


async def wait(peer: Peer) -> None:
    await peer.gone()


async def record(peer: Peer, data: bytes) -> bytes:
    """The TLS record of these bytes, which is not sent."""
    assert isinstance(peer.stream, trio.SSLStream)
    below = peer.stream.transport_stream
    kept, other = memory_stream_pair()
    peer.stream.transport_stream = kept
    await peer.stream.send_all(data)
    peer.stream.transport_stream = below
    sent = bytes(await other.receive_some())
    await trio.aclose_forcefully(kept)
    await trio.aclose_forcefully(other)
    return sent


@pytest.mark.parametrize("body", [b"", b"short", b"x" * 100_000])
async def test_an_unmarked_end_delivers_a_flagged_body(body: bytes) -> None:
    serve = answering(b"HTTP/1.1 200 OK\r\n" + LINES + b"\r\n" + body, cut)
    async with open_http1(serve) as server, server.open_client() as client:
        for turn in (1, 2):
            response = await client.get("/")
            assert (response.content, response.may_be_truncated) == (body, True)
            async with client.stream("GET", "/") as streamed:
                assert not streamed.may_be_truncated
                assert await streamed.read() == body
                assert streamed.may_be_truncated
            assert server.accepted == 2 * turn


async def test_an_unmarked_end_of_http10_is_flagged() -> None:
    serve = answering(b"HTTP/1.0 200 OK\r\n\r\nold", cut)
    async with open_http1(serve) as server, server.open_client() as client:
        response = await client.get("/")
        assert (response.content, response.may_be_truncated) == (b"old", True)


async def test_a_flagged_body_is_decoded() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n"
    serve = answering(head + gzip.compress(b"zipped" * 100), cut)
    async with open_http1(serve) as server, server.open_client() as client:
        response = await client.get("/")
        assert (response.content, response.may_be_truncated) == (b"zipped" * 100, True)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n",
    ],
)
async def test_a_framed_body_needs_no_close_notify(data: bytes) -> None:
    async with open_http1(answering(data, cut)) as server, server.open_client() as client:
        for _ in range(3):
            response = await client.get("/")
            assert (response.content, response.may_be_truncated) == (b"whole", False)


async def test_a_marked_end_is_not_flagged() -> None:
    serve = answering(b"HTTP/1.1 200 OK\r\n\r\nwhole", close)
    async with open_http1(serve) as server, server.open_client() as client:
        response = await client.get("/")
        assert (response.content, response.may_be_truncated) == (b"whole", False)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        b"",
    ],
)
async def test_a_response_that_is_cut_short_stays_an_error(data: bytes) -> None:
    async with open_http1(answering(data, cut)) as server, server.open_client() as client:
        with pytest.raises(CUT):
            await client.get("/")


@pytest.mark.parametrize("missing", [1, 3, 400, 504])
async def test_a_cut_inside_a_record_stays_an_error(missing: int) -> None:
    """504 leaves a part of the record's header."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"x" * 1000, length=False)
        last = await record(peer, b"y" * 484)
        assert isinstance(peer.stream, trio.SSLStream)
        assert len(last) > missing
        await peer.stream.transport_stream.send_all(last[:-missing])
        await cut(peer)

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.ConnectionLost, match="middle of a TLS record"):
            await client.get("/")
        got = b""
        with pytest.raises(trio_h2ws.ConnectionLost, match="middle of a TLS record"):
            async with client.stream("GET", "/") as response:
                async for piece in response:
                    got += piece
        assert got == b"x" * 1000
        assert not response.may_be_truncated


async def test_records_may_arrive_in_any_pieces() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        assert isinstance(peer.stream, trio.SSLStream)
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
        for data in (b"one", b"two", b"x" * 100):
            for byte in await record(peer, data):
                await peer.stream.transport_stream.send_all(bytes((byte,)))
                await trio.lowlevel.checkpoint()
        await cut(peer)

    async with open_http1(serve) as server, server.open_client() as client:
        response = await client.get("/")
        assert (response.content, response.may_be_truncated) == (b"onetwo" + b"x" * 100, True)


async def test_a_bound_holds_for_a_flagged_body() -> None:
    serve = answering(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1000, cut)
    limits = trio_h2ws.Limits(max_body_size=999)
    async with open_http1(serve) as server, server.open_client(limits=limits) as client:
        with pytest.raises(trio_h2ws.LimitExceeded):
            await client.get("/")
