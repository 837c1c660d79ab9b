"""A message that is sent in parts, and its end."""

from __future__ import annotations

import tracemalloc
import zlib

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import frames, open_websocket, scripted_peer
from toolkit.inside import messages_of, stream_of

SMALL_BUFFER = trio_h2ws.Limits(max_send_buffer=10)


@pytest.mark.parametrize("end", ["connection", "close", "reset"])
async def test_sender_and_receiver_get_the_same_cause(end: str, autojump_clock: MockClock) -> None:
    """The sender gets the error first and leaves its block, which closes the WebSocket. The receiver, which has not
    run yet, must get the same cause, not the error for a WebSocket that was closed here."""
    async with scripted_peer() as peer, peer.open_client(limits=SMALL_BUFFER) as client:
        opening = peer.call(client.connect_websocket, "/", compression=None)
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        peer.auto_credit = False
        sending = peer.call(ws.send, [b"x" * 65_535, b"y", b"z"])
        await peer.expect_data(theirs, 65_535)
        await peer.settle()
        receiving = peer.call(ws.receive)
        await peer.settle()
        expected: type[Exception] = trio_h2ws.WebSocketClosed
        if end == "connection":
            expected = trio_h2ws.ConnectionLost
            await peer.close()
        elif end == "close":
            await theirs.close(1011)
        else:
            await peer.rst(theirs, frames.INTERNAL_ERROR)
        error, other = await receiving.error(expected), await sending.error(expected)
        assert error is not other
        with pytest.raises(expected):
            await ws.receive()
        await ws.aclose()
        with pytest.raises(trio.ClosedResourceError):
            await ws.receive()


@pytest.mark.parametrize("squeezed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("fin", [False, True], ids=["begun", "complete"])
async def test_a_message_that_came_for_parts_is_bounded_when_received_whole(
    squeezed: bool, fin: bool, autojump_clock: MockClock
) -> None:
    """The kind: the application changes from parts to whole messages while a message is on its way. Whichever it
    takes in the end decides whether `max_message_size` applies."""
    limits = trio_h2ws.Limits(max_message_size=1000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/")
        accepted = {"sec-websocket-extensions": "permessage-deflate"} if squeezed else {}
        theirs = await peer.accept_websocket(accepted)
        ws = await opening.result()
        with trio.move_on_after(1):
            async for _ in ws.receive_parts():
                raise AssertionError("nothing was sent yet")
        payload = b"x" * 1001
        if squeezed:
            payload = compressed(payload)
        large = frames.ws(frames.BINARY, payload, fin=fin, rsv=4 if squeezed else 0)
        await theirs.raw(frames.ws(frames.TEXT, "small") + large)
        await peer.settle()
        assert await ws.receive() == "small"
        with pytest.raises(trio_h2ws.WebSocketClosed, match="max_message_size") as caught:
            await ws.receive()
        assert caught.value.code == 1009


def compressed(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


@pytest.mark.parametrize("end", ["open", "reset"])
@pytest.mark.parametrize("cut", [0, 4], ids=["with its head", "after its head"])
async def test_a_bomb_is_received_in_small_parts(cut: int, end: str, autojump_clock: MockClock) -> None:
    """The kind: what one read inflates to. Parts that are not taken are not inflated, and give no credit."""
    size = 20 << 20
    bomb = frames.ws(frames.BINARY, compressed(bytes(size)), rsv=4)
    limits = trio_h2ws.Limits(stream_window=65_535, max_stream_window=65_535)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        ws, theirs = await open_websocket(peer, client, headers={"sec-websocket-extensions": "permessage-deflate"})
        parts = ws.receive_parts()
        with trio.move_on_after(1):
            await anext(parts)
        tracemalloc.start()
        await theirs.raw(bomb[:cut])
        await peer.settle()
        await theirs.raw(bomb[cut:])
        await theirs.raw(frames.ws(frames.TEXT, "after it"))
        if end == "reset":
            await peer.rst(theirs)
        await peer.settle()
        assert messages_of(ws).parts_bytes <= limits.max_queued_bytes
        assert end == "reset" or stream_of(ws).unread > 0
        sizes = [len(part) async for part in parts]
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sum(sizes) == size
        assert max(sizes) <= 65_536
        assert peak < 2 << 20
        assert await ws.receive() == "after it"
        ws.abort()
