"""A response that was whole was lost when the end of its stream came in the same read.

The server answers while the request's body is still being sent, and has no use for the rest: it resets the stream,
goes away, or closes the connection. Who waited for the response had not run yet, and got the error instead. With
REFUSED_STREAM the request, answered already, was even sent again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import frames, scripted_peer

ENDS = {
    "NO_ERROR": lambda stream: frames.rst(stream, frames.NO_ERROR),
    "CANCEL": lambda stream: frames.rst(stream, frames.CANCEL),
    "REFUSED_STREAM": lambda stream: frames.rst(stream, frames.REFUSED_STREAM),
    "GOAWAY": lambda stream: frames.goaway(0),
    "a connection error": lambda stream: frames.ping(b"short"),
}


async def half_of_a_body() -> AsyncIterator[bytes]:
    yield b"half"
    await trio.sleep_forever()


@pytest.mark.parametrize("content", ["whole", "parts"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("end", ENDS)
async def test_the_response_stands(end: str, streamed: bool, content: str, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False

        async def post() -> bytes:
            body = half_of_a_body() if content == "parts" else b"x" * 100_000
            if not streamed:
                return (await client.post("/", content=body)).content
            async with client.stream("POST", "/", content=body) as response:
                return await response.read()

        call = peer.call(post)
        request = await peer.expect_headers()
        await peer.expect_data(request)
        answer = frames.headers(request.stream, frames.encode(peer.encoder, {":status": "413"}))
        answer += frames.data(request.stream, b"too much", end=True)
        await peer.raw(answer + ENDS[end](request.stream))
        assert await call.result() == b"too much"
        assert len(peer.sent(hf.HeadersFrame)) == 1
        assert peer.dials == 1


@pytest.mark.parametrize("length", ["content-length: 8\r\n", "connection: close\r\n"])
@pytest.mark.parametrize("content", ["whole", "parts"])
async def test_the_same_over_http1(content: str, length: str, autojump_clock: MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return ours

    async def answer_and_close() -> None:
        await theirs.receive_some()
        await theirs.send_all(f"HTTP/1.1 413 Too Much\r\n{length}\r\ntoo much".encode())
        await theirs.aclose()

    async with trio_h2ws.open_client(open_stream=open_stream) as client, trio.open_nursery() as nursery:
        nursery.start_soon(answer_and_close)
        body = half_of_a_body() if content == "parts" else b"x" * 1_000_000
        response = await client.post("http://peer.test/", content=body)
        assert (response.status, response.content) == (413, b"too much")


async def test_refused_after_its_headers_is_no_promise(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"begun", end=False)
        await peer.rst(request, frames.REFUSED_STREAM)
        assert (await call.error(trio_h2ws.StreamReset)).error_code == frames.REFUSED_STREAM


@pytest.mark.parametrize("end", ["REFUSED_STREAM", "GOAWAY"])
async def test_a_websocket_that_was_accepted_is_not_unprocessed(end: str, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await theirs.send("begun")
        await peer.raw(ENDS[end](theirs.stream))
        assert await ws.receive() == "begun"
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.clean) == (1006, False)
        assert caught.value.__cause__ is not None
        await ws.aclose()
