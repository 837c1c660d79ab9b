"""HTTP/2: an answer in the middle of an upload arrives, whatever the server does with the stream or the connection.

The kind: 401 or 413 with END_STREAM while the body is being sent (RFC 9113, section 8.1).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest
import trio

import trio_h2ws
from toolkit import frames, scripted_peer
from toolkit.inside import assert_clean
from toolkit.peer import Peer, Request

TIMES = 6
SIZE = 500_000
Then = Callable[[Peer, Request], Awaitable[None]]


async def read_on(peer: Peer, request: Request) -> None:
    """Keep giving credit."""
    await peer.window_update(request, SIZE)


async def stop_reading(peer: Peer, request: Request) -> None:
    """Give no more credit for this stream."""


async def no_error(peer: Peer, request: Request) -> None:
    await peer.rst(request, frames.NO_ERROR)


async def cancel(peer: Peer, request: Request) -> None:
    """As HAProxy does."""
    await peer.rst(request, frames.CANCEL)


async def go_away(peer: Peer, request: Request) -> None:
    await peer.goaway(request)
    await peer.close()


async def close(peer: Peer, request: Request) -> None:
    await peer.close()


class Upload:
    """Bodies of SIZE bytes, and whether a generator of them is running."""

    def __init__(self) -> None:
        self.running = False

    def parts(self) -> Iterator[bytes]:
        self.running = True
        try:
            for _ in range(SIZE // 10_000):
                yield b"x" * 10_000
        finally:
            self.running = False

    async def async_parts(self) -> AsyncIterator[bytes]:
        for part in self.parts():
            await trio.lowlevel.checkpoint()
            yield part

    async def sleeping(self) -> AsyncIterator[bytes]:
        """It waits for something else when the answer comes."""
        self.running = True
        try:
            yield b"x" * 10_000
            await trio.sleep_forever()
        finally:
            self.running = False

    def content(self, kind: str) -> bytes | Iterator[bytes] | AsyncIterator[bytes]:
        if kind == "bytes":
            return b"x" * SIZE
        return {"iterable": self.parts, "async": self.async_parts, "sleeping": self.sleeping}[kind]()


@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("kind", ["bytes", "iterable", "async", "sleeping"])
@pytest.mark.parametrize("then", [read_on, stop_reading, no_error, cancel, go_away, close])
@pytest.mark.slow
async def test_an_early_answer_arrives_over_http2(then: Then, kind: str, length: bool) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for turn in range(TIMES):
            peer.auto_credit = False
            upload = Upload()

            async def post(streamed: bool, upload: Upload = upload) -> trio_h2ws.Response:
                headers = {"content-length": str(SIZE)} if length else {}
                content = upload.content(kind)
                if not streamed:
                    return await client.post("/", content=content, headers=headers)
                async with client.stream("POST", "/", content=content, headers=headers) as response:
                    await response.read()
                return response

            call = peer.call(post, turn % 2 == 1)
            request = await peer.expect_headers()
            await peer.expect_data(request, 10_000)
            await peer.respond(request, 413, body=b"too large")
            await then(peer, request)
            response = await call.result()
            assert (response.status, response.content) == (413, b"too large")
            if then in (go_away, close):
                peer = peer.another()
            else:
                peer.auto_credit = True
                await peer.window_update(0, SIZE)
            again = peer.call(client.get, "/")
            await peer.respond(await peer.expect_headers(), body=b"fine")
            assert (await again.result()).text == "fine"
            await peer.settle()
            assert not upload.running
        assert_clean(client)
