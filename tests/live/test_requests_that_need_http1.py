"""HTTP_1_1_REQUIRED for a request (RFC 9113, section 7): it goes over HTTP/1.1, and so do those after it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

import trio_h2ws
from servers.http2 import Answer, goaway, open_both, reset

HTTP_1_1_REQUIRED = 13
ANSWERS = [
    reset(HTTP_1_1_REQUIRED),
    goaway(HTTP_1_1_REQUIRED, seen=True),
    goaway(HTTP_1_1_REQUIRED, seen=False),
]


@pytest.mark.parametrize("answer", ANSWERS)
async def test_it_goes_over_http1_and_that_is_remembered(answer: Answer) -> None:
    async with open_both(request=answer) as server, server.listener.open_client() as client:
        with trio.fail_after(1):
            for _ in range(3):
                response = await client.post("/", content=b"again")
                assert (response.http_version, response.text) == ("HTTP/1.1", "over HTTP/1.1")
            async with client.stream("GET", "/") as streamed:
                assert await streamed.read() == b"over HTTP/1.1"
        assert server.requests == ["HTTP/2 /", *["HTTP/1.1 /"] * 4]


async def test_a_websocket_follows() -> None:
    async with open_both(request=reset(HTTP_1_1_REQUIRED)) as server, server.listener.open_client() as client:
        await client.get("/")
        async with client.websocket("/") as ws:
            assert ws.http_version == "HTTP/1.1"
        assert server.connects == 0


async def test_required_it_is_not_available() -> None:
    async with open_both(request=reset(HTTP_1_1_REQUIRED)) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.HTTP2NotAvailable) as caught:
            await client.get("/", http2="require")
        assert caught.value.reason == "refused"
        assert server.requests == ["HTTP/2 /"]


async def test_a_body_that_is_gone_is_not_sent_again_but_the_next_one_arrives() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"once"

    async with open_both(request=reset(HTTP_1_1_REQUIRED)) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.StreamReset):
            await client.post("/", content=parts())
        assert (await client.post("/", content=parts())).http_version == "HTTP/1.1"
        assert server.requests == ["HTTP/2 /", "HTTP/1.1 /"]
