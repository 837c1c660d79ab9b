"""Content-encodings of responses."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

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
