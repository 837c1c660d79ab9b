"""A Close that waited behind a full queue of messages made the reader go round for ever.

The session had said that bytes wait for room. When there was room the Close was parsed, and the rest dropped, but the
session still said so, and whoever feeds it fed it nothing again and again, without an await: the program stood still.
"""

from __future__ import annotations

import pytest
from trio.testing import MockClock

import trio_h2ws
from toolkit import assert_clean, frames, scripted_peer

FULL_AT_ONE = trio_h2ws.Limits(max_queued_messages=1)
BROKEN = frames.ws(frames.TEXT, "bad", rsv=2)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize(("last", "code"), [(frames.ws_close(1000), 1000), (BROKEN, 1002)], ids=["close", "broken"])
async def test_it_ends_after_the_messages(last: bytes, code: int, ends: bool, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client(limits=FULL_AT_ONE) as client:
        opening = peer.call(client.connect_websocket, "/", compression=None)
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        messages = [f"message {number}" for number in range(3)]
        await theirs.raw(b"".join(frames.ws(frames.TEXT, message) for message in messages) + last, end=ends)
        await peer.settle()
        assert [await ws.receive() for _ in messages] == messages
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.code == code
        await ws.aclose()
        if not ends:
            await theirs.expect_rst()
        await peer.settle()
        assert_clean(client)
