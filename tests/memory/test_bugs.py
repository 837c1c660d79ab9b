"""An unexpected exception ends one stream, or one connection, and says that it is a bug. It never ends the client.

`tests/property/test_guards.py` does this for every hook. Here is what is not a hook.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import connection_of, frames, open_websocket, scripted_peer
from toolkit.inside import dialer_of, when_draining
from trio_h2ws._connection.stream import Stream
from trio_h2ws._connection.writer import Writer
from trio_h2ws._protocols.h2.header_compression import BlockDecoder, BlockEncoder
from trio_h2ws._protocols.h2.send_queue import SendQueue
from trio_h2ws._protocols.ws.receiver import FrameReceiver
from trio_h2ws._websockets.channel import Channel
from trio_h2ws._websockets.closing import Closing
from trio_h2ws._websockets.pings import Pings

INTERNAL_ERROR = 2


class Planted(Exception):
    """The bug."""


def fail(*args: object, **options: object) -> Any:
    raise Planted


def is_bug(error: BaseException) -> bool:
    return str(error).startswith("bug in trio_h2ws") and isinstance(error.__cause__, Planted)


# One stream.


@pytest.mark.parametrize("kind", [Pings, Closing, FrameReceiver])
async def test_a_bug_in_one_websocket_spares_the_others(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """What wsproto 1.2 did: an exception in the reader's dispatch, and again in the clean-up after it."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        other, others = await open_websocket(peer, client)
        pinging, receiving = peer.call(ws.ping), peer.call(ws.receive)
        await theirs.expect_frame(frames.PING)
        for name in ("on_pong", "on_close", "receive"):
            if hasattr(kind, name):
                monkeypatch.setattr(kind, name, fail)
        await (theirs.close() if kind is Closing else theirs.frame(frames.PONG, b"x"))
        assert is_bug(await pinging.error(trio_h2ws.LocalProtocolError))
        assert is_bug(await receiving.error(trio_h2ws.LocalProtocolError))
        await theirs.expect_rst(INTERNAL_ERROR)
        monkeypatch.undo()
        await others.send("still here")
        assert await other.receive() == "still here"
        other.abort()


async def test_a_bug_in_the_applications_task_ends_its_websocket(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that waited for room are parsed when the application takes a message."""
    limits = trio_h2ws.Limits(max_queued_messages=1)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        ws, theirs = await open_websocket(peer, client)
        await theirs.send("first")
        await theirs.send("second")
        await peer.settle()
        monkeypatch.setattr(FrameReceiver, "receive", fail)
        assert await ws.receive() == "first"
        with pytest.raises(trio_h2ws.LocalProtocolError) as caught:
            await ws.receive()
        assert is_bug(caught.value)
        await theirs.expect_rst(INTERNAL_ERROR)


async def test_nothing_is_parsed_after_a_bug_in_the_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not known any more where a frame begins."""
    limits = trio_h2ws.Limits(max_queued_messages=1)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        ws, theirs = await open_websocket(peer, client)
        receiving = peer.call(ws.receive)
        await peer.settle()
        monkeypatch.setattr("trio_h2ws._protocols.ws.receiver.spend", fail)
        await theirs.raw(frames.ws(frames.PING, b"x") + frames.ws(frames.TEXT, "not delivered"))
        assert is_bug(await receiving.error(trio_h2ws.LocalProtocolError))


async def test_a_bug_in_a_timer_ends_its_websocket(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, ping_interval=1)
        other, others = await open_websocket(peer, client, ping_interval=5)
        with monkeypatch.context() as patch:
            patch.setattr(Channel, "send_keepalive", fail)
            with pytest.raises(trio_h2ws.LocalProtocolError) as caught:
                await ws.receive()
        assert is_bug(caught.value)
        await theirs.expect_rst(INTERNAL_ERROR)
        await others.expect_frame(frames.PING)
        other.abort()


async def test_a_bug_as_draining_begins_ends_one_websocket() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        (ws, _), (other, others) = await open_websocket(peer, client), await open_websocket(peer, client)
        when_draining(ws, fail)
        when_draining(other, lambda: None)
        await peer.goaway(3)
        with pytest.raises(trio_h2ws.LocalProtocolError) as caught:
            await ws.receive()
        assert is_bug(caught.value)
        await others.send("still here")
        assert await other.receive() == "still here"
        other.abort()


@pytest.mark.parametrize("method", ["end", "send", "wait_room", "send_nowait"])
async def test_a_bug_in_an_upload_ends_its_request(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was raised as if the caller's own iterable had raised it, without saying that it is a bug."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"part"

    async with scripted_peer() as peer, peer.open_client() as client:
        other = peer.call(client.get, "/other")
        request = await peer.expect_headers()
        with monkeypatch.context() as patch:
            patch.setattr(Stream, method, fail)
            with pytest.raises(trio_h2ws.LocalProtocolError) as caught:
                await client.post("/", content=parts())
        assert is_bug(caught.value)
        await peer.respond(request)
        assert (await other.result()).status == 200


async def test_a_websocket_with_a_full_queue_may_be_reset() -> None:
    """Its unparsed bytes hold a Ping, which must not be answered on a stream that is over."""
    for end in ("reset", "lost"):
        async with scripted_peer() as peer, peer.open_client() as client:
            ws, theirs = await open_websocket(peer, client)
            other, others = await open_websocket(peer, client)
            waiting = peer.call(client.post, "/")
            request = await peer.expect_headers()
            await theirs.raw(frames.ws(frames.TEXT, "m") * 70 + frames.ws(frames.PING) + frames.ws_close(1000, ""))
            await peer.settle()
            for _ in range(10):  # now there is room, but not enough for the rest to be parsed at once
                assert await ws.receive() == "m"
            if end == "reset":
                await theirs.peer.rst(theirs, frames.CANCEL)
            else:
                await peer.close()
            assert [await ws.receive() for _ in range(60)] == ["m"] * 60
            with pytest.raises(trio_h2ws.WebSocketClosed) as closed:
                await ws.receive()
            assert closed.value.code == 1000
            if end == "reset":
                await peer.respond(request)
                assert (await waiting.result()).status == 200
                await others.send("still here")
                assert await other.receive() == "still here"
                other.abort()
            else:
                await waiting.error(trio_h2ws.ConnectionLost)
                with pytest.raises(trio_h2ws.ConnectionLost):
                    await other.receive()


# One connection.


class FailsToClose(trio.abc.Stream):
    def __init__(self, inner: trio.abc.Stream) -> None:
        self.inner = inner

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        return await self.inner.receive_some(max_bytes)

    async def aclose(self) -> None:
        try:
            await self.inner.aclose()
        finally:
            raise LookupError("mine")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(BlockDecoder, "decode_block"), (BlockEncoder, "encode_block"), (SendQueue, "produce"), (Writer, "hold")],
)
async def test_a_bug_in_one_connection_spares_the_client(
    kind: type, name: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        waiting = peer.call(client.get, "/waiting")
        request = await peer.expect_headers()
        with monkeypatch.context() as patch:
            patch.setattr(kind, name, fail)
            if name in ("encode_block", "produce"):
                with pytest.raises(trio_h2ws.ConnectionLost) as caught:
                    await client.get("/")
                assert is_bug(caught.value)
            else:
                await peer.respond(request)
            assert is_bug(await waiting.error(trio_h2ws.ConnectionLost))
        peer.another().serve()
        assert (await client.get("/again")).status == 200


async def test_a_bug_in_a_timer_of_the_connection_ends_it(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        waiting = peer.call(client.get, "/waiting")
        await peer.expect_headers()
        connection_of(client).timers.add(1, fail)
        assert is_bug(await waiting.error(trio_h2ws.ConnectionLost))
        await peer.expect_eof()


async def test_a_bug_in_a_dial_fails_the_calls_that_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with monkeypatch.context() as patch:
            patch.setattr(dialer_of(client), "dial", fail)
            with pytest.raises(trio_h2ws.ConnectFailed) as caught:
                await client.get("/")
            assert is_bug(caught.value)
        peer.serve()
        assert (await client.get("/again")).status == 200


async def test_a_stream_that_fails_to_close_harms_nothing() -> None:
    """A stream from the user's `open_stream` may raise anything."""
    async with scripted_peer() as peer:

        async def open_stream(host: str, port: int) -> trio.abc.Stream:
            return FailsToClose(await peer.network.open_stream(host, port))

        async with trio_h2ws.open_client(base_url=peer.url, open_stream=open_stream, http2="require") as client:
            peer.serve()
            assert (await client.get("/")).status == 200
        await peer.expect_eof()
