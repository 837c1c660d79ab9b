"""A good message and a bad frame in one packet: the Close for the second left before the answer to the first.

The reader parses both before the application runs once. What came before the violation stands, so the application
has a moment to answer it; then our Close goes out, whether it did or not. (Autobahn 3.2 to 3.4, 4.1.3 to 4.1.5, 4.2.3
to 4.2.5 and 5.15 are NON-STRICT otherwise.)
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import PeerSocket, bystanders, frames, scripted_peer

RESERVED_BIT = frames.ws(frames.TEXT, "bad", rsv=2)
BAD = {
    "reserved bit": (RESERVED_BIT, 1002),
    "opcode 5": (frames.ws(5, b"?"), 1002),
    "opcode 13": (frames.ws(13), 1002),
    "continuation of nothing": (frames.ws(frames.CONT, b"?", fin=False), 1002),
    "not UTF-8": (frames.ws(frames.TEXT, b"\xff"), 1007),
}


async def echo(ws: trio_h2ws.WebSocket) -> None:
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("name", BAD)
async def test_a_message_before_the_violation_is_answered(name: str, autojump_clock: MockClock) -> None:
    bad, code = BAD[name]
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        call = peer.call(client.run_websocket, "/", echo)
        theirs = await peer.accept_websocket()
        await theirs.raw(frames.ws(frames.TEXT, "good") + bad + frames.ws(frames.PING, b"no answer"))
        assert await theirs.expect_message() == "good"
        await theirs.expect_close(code)  # and no Pong before it
        error = await call.error(trio_h2ws.WebSocketClosed)
        assert (error.code, error.clean) == (code, False)
        await theirs.expect_rst()


async def open_websocket(peer: object, client: trio_h2ws.Client) -> tuple[trio_h2ws.WebSocket, PeerSocket]:
    call = peer.call(client.connect_websocket, "/")  # type: ignore[attr-defined]
    theirs = await peer.accept_websocket()  # type: ignore[attr-defined]
    return await call.result(), theirs


async def test_an_application_that_does_not_look_holds_the_close_up_for_a_moment_only(
    autojump_clock: MockClock,
) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        ws, theirs = await open_websocket(peer, client)
        start = trio.current_time()
        await theirs.raw(frames.ws(frames.TEXT, "good") + RESERVED_BIT)
        await theirs.expect_close(1002)
        assert trio.current_time() - start < 0.1
        # Too late to answer, but the message is still there.
        with pytest.raises(trio_h2ws.WebSocketClosed):
            await ws.send("late")
        assert await ws.receive() == "good"
        with pytest.raises(trio_h2ws.WebSocketClosed):
            await ws.receive()
        await theirs.expect_rst()


async def test_with_nothing_to_answer_it_fails_at_once(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        ws, theirs = await open_websocket(peer, client)
        start = trio.current_time()
        await theirs.raw(RESERVED_BIT)
        await theirs.expect_close(1002)
        assert trio.current_time() == start
        with pytest.raises(trio_h2ws.WebSocketClosed):
            await ws.send("no")
        await theirs.expect_rst()


async def test_an_application_that_closes_meanwhile_does_not_wait(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        ws, theirs = await open_websocket(peer, client)
        start = trio.current_time()
        await theirs.raw(frames.ws(frames.TEXT, "good") + RESERVED_BIT)
        assert await ws.receive() == "good"
        await ws.aclose()
        await theirs.expect_close(1002)  # the reason why it ends, not 1000
        assert trio.current_time() == start
        with pytest.raises(trio.ClosedResourceError):
            await ws.send("no")
        await theirs.expect_rst()


async def test_a_peer_that_ends_the_stream_meanwhile(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        ws, theirs = await open_websocket(peer, client)
        await theirs.raw(frames.ws(frames.TEXT, "good") + RESERVED_BIT, end=True)
        assert await ws.receive() == "good"
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.code == 1002
