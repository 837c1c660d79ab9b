"""HTTP_1_1_REQUIRED for a request (RFC 9113, section 7): it goes over HTTP/1.1, and so do those after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http2 import Answer, goaway, open_both, reset

HTTP_1_1_REQUIRED = 13
NOTHING_DONE = [reset(HTTP_1_1_REQUIRED), goaway(HTTP_1_1_REQUIRED, seen=False)]


def half_an_answer(h2: Any, stream: int) -> None:
    h2.send_headers(stream, [(":status", "200")])
    h2.send_data(stream, b"half of it")
    h2.reset_stream(stream, HTTP_1_1_REQUIRED)


@pytest.mark.parametrize("answer", NOTHING_DONE)
async def test_it_goes_over_http1_and_that_is_remembered(answer: Answer) -> None:
    async with open_both(request=answer) as server, server.listener.open_client() as client:
        with trio.fail_after(1):
            for _ in range(3):
                response = await client.post("/", content=b"again")
                assert (response.http_version, response.text) == ("HTTP/1.1", "over HTTP/1.1")
            async with client.stream("GET", "/") as streamed:
                assert await streamed.read() == b"over HTTP/1.1"
        assert server.requests == ["HTTP/2 /", *["HTTP/1.1 /"] * 4]


async def test_what_may_have_been_done_is_not_done_twice() -> None:
    async with open_both(request=goaway(HTTP_1_1_REQUIRED, seen=True)) as server:
        async with server.listener.open_client() as client:
            with pytest.raises(trio_h2ws.ConnectionTerminated):
                await client.post("/", content=b"pay")
            assert server.requests == ["HTTP/2 /"]
            assert (await client.get("/")).http_version == "HTTP/1.1"  # twice does no harm


async def test_half_an_answer_is_an_answer() -> None:
    async with open_both(request=half_an_answer) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.StreamReset):
            await client.post("/", content=b"pay")
        assert server.requests == ["HTTP/2 /"]


async def test_a_websocket_follows() -> None:
    async with open_both(request=reset(HTTP_1_1_REQUIRED)) as server, server.listener.open_client() as client:
        await client.get("/")
        assert {c.websockets for c in client.connections} == {"HTTP/1.1 (refused)"}
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
        with pytest.raises(trio_h2ws.RequestNotProcessed):
            await client.post("/", content=parts())
        assert (await client.post("/", content=parts())).http_version == "HTTP/1.1"
        assert server.requests == ["HTTP/2 /", "HTTP/1.1 /"]
