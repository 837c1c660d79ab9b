"""Content-encodings of responses."""

from __future__ import annotations

import copy
import gzip
import zlib
from typing import Any

import pytest
import trio

import trio_h2ws
from toolkit import assert_clean, scripted_peer


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("gzip, deflate", lambda data: zlib.compress(gzip.compress(data))),
        ("identity", bytes),
        ("br", bytes),
    ],
)
async def test_content_encodings_are_decoded(encoding: str, encode: Any) -> None:
    body = b"to be compressed " * 50
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        assert "gzip" in request["accept-encoding"]
        await peer.respond(request, headers={"content-encoding": encoding}, body=encode(body))
        assert (await call.result()).content == body

        async def stream() -> bytes:
            async with client.stream("GET", "/") as response:
                return b"".join([chunk async for chunk in response])

        again = peer.call(stream)
        request = await peer.expect_headers()
        await peer.respond(request, headers={"content-encoding": encoding}, end=False)
        for byte in encode(body):
            await peer.data(request, bytes((byte,)))
        await peer.data(request, end=True)
        assert await again.result() == body


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip, gzip"])
async def test_a_partial_response_is_never_decoded(encoding: str) -> None:
    """A part of a gzip body can't be inflated, and multipart/byteranges is not gzip at all (RFC 9110, section 14)."""
    whole = gzip.compress(b"to be compressed " * 50)
    headers = {"content-encoding": encoding, "content-range": f"bytes 5-20/{len(whole)}"}
    async with scripted_peer() as peer, peer.open_client() as client:

        async def stream() -> bytes:
            async with client.stream("GET", "/", headers={"range": "bytes=5-20"}) as response:
                return await response.read()

        for function in (stream, lambda: client.get("/"), lambda: client.get("/", headers={"Range": "bytes=5-20"})):
            call = peer.call(function)
            await peer.respond(await peer.expect_headers(), 206, headers, body=whole[5:21])
            answer = await call.result()
            assert (answer if isinstance(answer, bytes) else answer.content) == whole[5:21]


RANGE = {"Range": "bytes=0-9"}
OWN = {"accept-encoding": "br"}


@pytest.mark.parametrize(
    ("of_client", "of_call", "sent"),
    [
        ({}, {}, "gzip, deflate"),
        ({}, RANGE, None),
        (RANGE, {}, None),
        (RANGE, {"x-a": "1"}, None),
        ({}, {**RANGE, "if-range": '"tag"'}, None),
        ({}, {"if-range": '"tag"'}, "gzip, deflate"),
        (OWN, RANGE, "br"),
        ({}, {**OWN, **RANGE}, "br"),
        (RANGE, OWN, "br"),
        (OWN, {}, "br"),
    ],
)
async def test_no_encoding_is_requested_beside_a_range(of_client: Any, of_call: Any, sent: str | None) -> None:
    """The ranges of an encoded body are of no use to a caller that asked for those of the file. What the caller
    accepts is sent, whatever it is."""
    async with scripted_peer() as peer, peer.open_client(headers=of_client) as client:
        for send in (client.get, client.post):
            call = peer.call(send, "/", headers=of_call)
            request = await peer.expect_headers()
            assert request.get("accept-encoding") == sent
            await peer.respond(request)
            await call.result()


async def test_a_whole_response_to_a_range_is_decoded() -> None:
    """A server may ignore a range (RFC 9110, section 14.2), and encode what was not asked to be encoded."""
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/", headers=RANGE)
        request = await peer.expect_headers()
        await peer.respond(request, 200, {"content-encoding": "gzip"}, body=gzip.compress(b"whole"))
        assert (await call.result()).content == b"whole"


async def test_a_body_that_belies_its_encoding_is_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(), headers={"content-encoding": "gzip"}, body=b"plain")
        await call.error(trio_h2ws.RemoteProtocolError)
        await peer.settle()
        assert_clean(client, peer)


async def test_a_long_chain_of_encodings_is_refused() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def stream() -> None:
            async with client.stream("GET", "/"):
                pass

        for function in (stream, lambda: client.get("/")):
            call = peer.call(function)
            request = await peer.expect_headers()
            await peer.respond(request, headers={"content-encoding": "gzip, gzip, gzip"}, body=b"x", end=False)
            await peer.settle()
            if not call.done:
                await peer.data(request, b"x", end=True)
            await call.error(trio_h2ws.RemoteProtocolError)
        await peer.settle()
        assert_clean(client, peer)


@pytest.mark.parametrize("cut", [8, 4, 1], ids=["no trailer", "half a trailer", "a byte missing"])
async def test_a_body_whose_encoding_has_no_end_is_delivered_and_marked(cut: int) -> None:
    """HTTP says that the body is whole (END_STREAM, and a Content-Length that is right)."""
    body = b"to be compressed " * 50
    data = gzip.compress(body)[:-cut]
    headers = {"content-encoding": "gzip", "content-length": str(len(data))}
    async with scripted_peer() as peer, peer.open_client() as client:

        async def stream() -> tuple[bytes, bool]:
            async with client.stream("GET", "/") as response:
                assert not response.may_be_truncated
                return await response.read(), response.may_be_truncated

        async def request() -> tuple[bytes, bool]:
            response = await client.get("/")
            return response.content, copy.copy(response).may_be_truncated

        for function in (stream, request):
            call = peer.call(function)
            await peer.respond(await peer.expect_headers(), headers=headers, body=data)
            assert await call.result() == (body, True)


async def test_a_body_that_http_cut_short_is_an_error() -> None:
    data = gzip.compress(b"to be compressed " * 50)
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        headers = {"content-encoding": "gzip", "content-length": str(len(data))}
        await peer.respond(request, headers=headers, body=data[:-8])
        await call.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(request)
        assert_clean(client, peer)


async def test_other_tasks_run_while_a_large_body_is_decoded() -> None:
    """The kind: work whose length a server chooses, done in one synchronous step."""
    data = gzip.compress(bytes(50_000_000))
    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            await peer.respond(await peer.expect_headers(), headers={"content-encoding": "gzip"}, body=data)
            assert len((await call.result()).content) == 50_000_000
            nursery.cancel_scope.cancel()
    assert turns > 150  # one for each 256 KiB, at least
