"""A WebSocket that the server closed at once, with END_STREAM, was taken for a page when it was compressed.

The 200, a message, the Close and END_STREAM may be here before the application runs once. An HTTP handler that knows
nothing of WebSockets looks the same from afar: 200, a body, END_STREAM. The first byte tells them apart, but the bit
that says "compressed" was not expected there.
"""

from __future__ import annotations

import zlib

import pytest
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, frames, scripted_peer

DEFLATE = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"


def compressed(text: str) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(text.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return frames.ws(frames.TEXT, data[:-4], rsv=4)


async def answer_at_once(peer: Peer, headers: dict[str, str], body: bytes) -> None:
    request = await peer.expect_headers()
    block = frames.encode(peer.encoder, {":status": "200", **headers})
    await peer.raw(frames.headers(request.stream, block) + frames.data(request.stream, body, end=True))


async def test_a_compressed_message_then_close_then_end_stream(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await answer_at_once(
            peer, {"sec-websocket-extensions": DEFLATE}, compressed("bye") + frames.ws_close(1000, "served")
        )
        ws = await opening.result()
        assert await ws.receive() == "bye"
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.clean) == (1000, True)
        await ws.aclose()


async def test_a_page_is_still_no_websocket(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await answer_at_once(peer, {"content-type": "text/plain"}, b"Hello")
        rejected = await opening.error(trio_h2ws.WebSocketRejected)
        assert (rejected.status, rejected.body) == (200, b"Hello")
