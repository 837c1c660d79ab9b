"""The closing handshake of a WebSocket, from either side, in time or not, and ends without one."""

from __future__ import annotations

import zlib

import hyperframe.frame as hf
import pytest
import trio
import trio.testing
from trio.testing import MockClock

import trio_h2ws
from toolkit import assert_clean, bystanders, frames, open_websocket, scripted_peer

# We close.


async def test_aclose_sends_a_close_and_awaits_the_answer() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        closing = peer.call(ws.aclose, 4000, "enough")
        frame = await theirs.expect_close(4000)
        assert frame.payload[2:] == b"enough"
        assert not theirs.request.ended  # END_STREAM makes some servers lose their own Close
        await theirs.send("on its way")
        await theirs.close(4000, "enough")
        await closing.result()
        assert (ws.close_code, ws.close_reason) == (4000, "enough")
        await theirs.expect_rst(frames.CANCEL)
        await peer.settle()
        assert_clean(client, peer)


async def test_the_server_may_end_the_stream_with_its_close() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        closing = peer.call(ws.aclose)
        await theirs.expect_close()
        await theirs.close(1000, end=True)
        await closing.result()
        await theirs.expect_rst(frames.CANCEL)
        assert ws.close_code == 1000


async def test_aclose_waits_no_longer_than_its_timeout(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(close=3)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        start = trio.current_time()
        await ws.aclose()
        assert trio.current_time() - start == pytest.approx(3)
        await theirs.expect_close()
        await theirs.expect_rst()
        assert ws.close_code == 1006


async def test_a_full_queue_does_not_delay_closing() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        for n in range(1000):
            await theirs.send(f"{n}")
        await peer.settle()
        closing = peer.call(ws.aclose)
        await theirs.expect_close()
        await theirs.close()
        # Long before Timeouts.close, although the peer's Close follows messages that no task will receive.
        await closing.result(within=2)


async def test_leaving_a_block_closes_with_1000() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def block() -> None:
            async with client.websocket("/"):
                pass

        call = peer.call(block)
        theirs = await peer.accept_websocket()
        await theirs.expect_close(1000)
        assert not call.done
        await theirs.close()
        await call.result()


async def test_an_error_in_a_block_closes_with_1011_without_waiting() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def block() -> None:
            async with client.websocket("/"):
                raise LookupError("mine")

        call = peer.call(block)
        theirs = await peer.accept_websocket()
        await call.error(LookupError)
        await theirs.expect_close(1011)
        await theirs.close(1011)
        await theirs.expect_rst(frames.CANCEL)
        await peer.settle()
        assert_clean(client, peer)


async def test_closing_one_websocket_leaves_the_others_open() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        sockets = [await open_websocket(peer, client) for _ in range(10)]
        ws, theirs = sockets.pop(4)
        closing = peer.call(ws.aclose)
        await theirs.close()
        await closing.result()
        for ws, theirs in sockets:
            await ws.send("still")
            assert await theirs.expect_message() == "still"
            await theirs.send("here")
            assert await ws.receive() == "here"
            ws.abort()


# The server closes.


async def test_a_close_and_the_end_of_the_stream_get_no_answer(autojump_clock: MockClock) -> None:
    # Some servers take any later DATA on that stream for an attack.
    async with scripted_peer() as peer, peer.open_client() as client:
        for how in ("end", "rst"):
            opening = peer.call(client.connect_websocket, "/")
            theirs = await peer.accept_websocket()
            ws = await opening.result()
            receiving = peer.call(ws.receive)
            await theirs.close(1001, "bye", end=how == "end")
            if how == "rst":
                await peer.rst(theirs, frames.NO_ERROR)
            error = await receiving.error(trio_h2ws.WebSocketClosed)
            assert (error.code, error.reason, error.clean, error.initiator) == (1001, "bye", True, "remote")
            await trio.sleep(10)
            assert theirs.request.body == b""
            assert not peer.sent(hf.DataFrame, theirs)
            await ws.aclose()
        assert_clean(client, peer)


async def test_a_server_that_awaits_our_close_gets_it(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        start = trio.current_time()
        await theirs.close(3333, "x")
        await theirs.expect_close(3333)
        assert trio.current_time() - start == pytest.approx(0.05, abs=0.01)
        assert not theirs.request.ended  # no END_STREAM: it makes some servers lose their own Close
        await theirs.expect_rst(frames.CANCEL)
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.clean) == (3333, True)
        assert_clean(client, peer)


@pytest.mark.parametrize("code", [frames.NO_ERROR, frames.CANCEL, frames.CONNECT_ERROR])
async def test_a_reset_after_the_peers_close_is_a_clean_end(code: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        await theirs.send("last")
        await theirs.close(1000)
        await peer.rst(theirs, code)
        assert [message async for message in ws] == ["last"]
        assert ws.close_code == 1000
        assert not peer.sent(hf.RstStreamFrame)


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_an_end_without_a_close_is_1006(how: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        await theirs.send("one")
        if how == "end":
            await peer.data(theirs, end=True)
        else:
            await peer.rst(theirs, frames.INTERNAL_ERROR)
        # A message that arrived just before the end is delivered.
        assert await ws.receive() == "one"
        for call in (ws.receive, lambda: ws.send("x"), ws.ping):
            with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
                await call()
            assert (caught.value.code, caught.value.clean) == (1006, False)
        if how == "reset":
            assert isinstance(caught.value.__cause__, trio_h2ws.StreamReset)
        assert ws.close_code == 1006
        await ws.aclose()
        await peer.settle()
        assert_clean(client, peer)


FULL_AT_ONE = trio_h2ws.Limits(max_queued_messages=1)


BROKEN = frames.ws(frames.TEXT, "bad", rsv=2)


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize(("last", "code"), [(frames.ws_close(1000), 1000), (BROKEN, 1002)], ids=["close", "broken"])
async def test_a_close_after_a_full_queue_ends_the_websocket(
    last: bytes, code: int, ends: bool, autojump_clock: MockClock
) -> None:
    """The Close stays unparsed until the queue has space. When it is parsed the rest is dropped, and the receiver
    must stop asking for bytes: it would be fed nothing again and again without an await."""
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


# A good message and a bad frame in one packet. The reader parses both before the application runs. The message
# counts, so the application gets a moment to answer it; then our Close is sent, with or without an answer.
# (Autobahn 3.2 to 3.4, 4.1.3 to 4.1.5, 4.2.3 to 4.2.5 and 5.15 are NON-STRICT otherwise.)


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
async def test_a_message_before_a_violation_can_be_answered(name: str, autojump_clock: MockClock) -> None:
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


async def test_an_unread_message_delays_our_close_only_briefly(
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


async def test_a_violation_without_a_message_fails_at_once(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        ws, theirs = await open_websocket(peer, client)
        start = trio.current_time()
        await theirs.raw(RESERVED_BIT)
        await theirs.expect_close(1002)
        assert trio.current_time() == start
        with pytest.raises(trio_h2ws.WebSocketClosed):
            await ws.send("no")
        await theirs.expect_rst()


async def test_aclose_after_a_violation_does_not_wait(autojump_clock: MockClock) -> None:
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


async def test_a_message_before_a_violation_survives_the_end(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        ws, theirs = await open_websocket(peer, client)
        await theirs.raw(frames.ws(frames.TEXT, "good") + RESERVED_BIT, end=True)
        assert await ws.receive() == "good"
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.code == 1002


# Closing from another task is ordinary.


@pytest.mark.parametrize("how", ["aclose", "aclose with another code", "abort"])
async def test_a_loop_ends_quietly_when_another_task_closes(how: str, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        received: list[object] = []

        async def loop() -> None:
            async for message in ws:
                received.append(message)  # noqa: PERF401  # what came before the end counts

        looping = peer.call(loop)
        await theirs.send("a message")
        await peer.settle()
        if how == "abort":
            ws.abort()
        else:
            await ws.aclose(*(() if how == "aclose" else (4000,)))
        await looping.result()
        assert received == ["a message"]
        async for _ in ws:
            raise AssertionError("it is closed")
        with pytest.raises(trio.ClosedResourceError):
            await ws.receive()


async def test_a_receiver_gets_what_a_closed_stream_raises(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, _ = await open_websocket(peer, client)
        receiving = peer.call(ws.receive)
        await peer.settle()
        await ws.aclose()
        await receiving.error(trio.ClosedResourceError)


# What was wrong is said in the same words, however the bytes come.


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


@pytest.mark.parametrize(
    ("name", "frame", "code", "said"),
    [
        (
            "too big, compressed",
            (0xC2, deflated(bytes(3_000))),
            1009,
            "of more than 1000 bytes (Limits.max_message_size)",
        ),
        ("too big", (0x82, bytes(3_000)), 1009, "of more than 1000 bytes (Limits.max_message_size)"),
        ("not DEFLATE", (0xC2, b"\xff" * 30), 1007, "not valid DEFLATE"),
        ("RSV1 on a Ping", (0xC9, b"x"), 1002, "RSV1 on a control frame"),
        ("RSV1 on a continuation", (0xC0, b"x"), 1002, "RSV1 on a continuation frame"),
        ("not UTF-8", (0x81, b"\xff\xfe"), 1007, "UTF-8"),
    ],
)
@pytest.mark.parametrize("cut", [None, 1, 7])
async def test_a_failure_says_what_was_wrong(
    name: str, frame: tuple[int, bytes], code: int, said: str, cut: int | None, autojump_clock: MockClock
) -> None:
    limits = trio_h2ws.Limits(max_message_size=1000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket({"sec-websocket-extensions": "permessage-deflate"})
        ws = await opening.result()
        first, payload = frame
        data = frames.ws(first & 0x0F, payload, rsv=first >> 4 & 7)
        receiving = peer.call(ws.receive)
        step = len(data) if cut is None else cut * max(1, len(data) // 50)
        for at in range(0, len(data), step):
            await theirs.raw(data[at : at + step])
            await peer.settle()
        closed = await receiving.error(trio_h2ws.WebSocketClosed)
        assert type(closed.code) is int
        assert closed.code == code
        assert said in closed.reason
        assert "extension" not in closed.reason


async def test_a_ping_that_was_not_answered_is_the_reason(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, _ = await open_websocket(peer, client, ping_interval=1, ping_timeout=2)
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.reason == "the server did not answer a WebSocket Ping within 2 s"
        assert caught.value.reason in str(caught.value)
