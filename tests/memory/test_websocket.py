"""Messages of a WebSocket over HTTP/2, and ways to use one."""

from __future__ import annotations

import pytest
import trio

import trio_h2ws
from toolkit import frames, open_websocket, scripted_peer


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
async def test_messages_of_every_size_arrive_both_ways(size: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        for message in ("x" * size, b"\xff" * size):
            await ws.send(message)
            assert await theirs.expect_message() == message
            peer.start_soon(theirs.send, message)
            assert await ws.receive() == message
        ws.abort()


async def test_pings_may_interrupt_a_fragmented_message() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        text = "\N{EURO SIGN}uro".encode()
        await theirs.frame(frames.TEXT, text[:1], fin=False)
        await theirs.frame(frames.PING, b"between")
        await theirs.frame(frames.CONT, b"", fin=False)
        await theirs.frame(frames.CONT, text[1:2], fin=False)
        await theirs.frame(frames.CONT, text[2:])
        assert await ws.receive() == "\N{EURO SIGN}uro"
        assert (await theirs.expect_frame(frames.PONG)).payload == b"between"
        ws.abort()


async def test_a_frame_may_span_many_data_frames() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        for byte in frames.ws(frames.TEXT, "x" * 300) + frames.ws(frames.BINARY, b"y"):
            await theirs.raw(bytes((byte,)))
        assert await ws.receive() == "x" * 300
        assert await ws.receive() == b"y"
        ws.abort()


async def test_one_padded_data_frame_may_hold_many_messages() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        await peer.data(theirs, b"".join(frames.ws(frames.TEXT, f"{n}") for n in range(10)), pad=100)
        assert [await ws.receive() for _ in range(10)] == [f"{n}" for n in range(10)]
        ws.abort()


@pytest.mark.parametrize(("code", "quiet"), [(1000, True), (1001, True), (1011, False), (4000, False), (None, False)])
async def test_iteration_ends_with_a_normal_close_and_raises_otherwise(code: int | None, quiet: bool) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        await theirs.send("one")
        await theirs.close(code)

        async def iterate() -> list[str | bytes]:
            return [message async for message in ws]

        if quiet:
            assert await iterate() == ["one"]
        else:
            with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
                await iterate()
            assert caught.value.code == (code or 1005)
            assert caught.value.clean


async def test_run_websocket_works_with_nursery_start() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        heard: list[object] = []
        two = trio.Event()

        async def handler(ws: trio_h2ws.WebSocket) -> None:
            async for message in ws:
                heard.append(message)
                if len(heard) == 2:
                    two.set()

        peer.serve()
        async with trio.open_nursery() as nursery:
            ws = await nursery.start(client.run_websocket, "/", handler)
            await ws.send("a")
            await ws.send("b")
            await two.wait()
            nursery.cancel_scope.cancel()
        assert heard == ["a", "b"]


async def test_draining_is_set_when_the_connection_drains() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        assert not ws.draining.is_set()
        await peer.goaway()
        with trio.fail_after(5):
            await ws.draining.wait()
        assert client.connections[0].draining
        await theirs.send("still open")
        assert await ws.receive() == "still open"
        ws.abort()
        await peer.expect_eof()
