"""A WebSocket whose queue of messages was full holds bytes that are not parsed yet. However it ends, it ends alone.

What is among those bytes (a Ping, a Close, a frame that breaks a rule) would be answered if the stream were open. On
one that is over nothing is sent, nothing is raised in the reader's dispatch, every message that came is delivered,
and then `receive` ends with an error. The other calls of the connection hear the end, or go on.
"""

from __future__ import annotations

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from servers.http1 import Peer as Http1Peer
from servers.memory_http1 import memory_http1
from toolkit import PeerSocket, assert_clean, bystanders, frames, open_websocket, scripted_peer

LIMITS = trio_h2ws.Limits(max_queued_messages=4)
MESSAGES = [f"m{number}" for number in range(10)]

LAST: dict[str, bytes] = {
    "nothing": b"",
    "ping": frames.ws(frames.PING, b"p"),
    "pong": frames.ws(frames.PONG, (1).to_bytes(4, "big")),
    "close": frames.ws_close(1001, "bye"),
    "empty close": frames.ws_close(None, ""),
    "ping and close": frames.ws(frames.PING) + frames.ws_close(1000, ""),
    "bad code": frames.ws_close(1005, ""),
    "reserved bit": frames.ws(frames.TEXT, "bad", rsv=2),
    "not UTF-8": frames.ws(frames.TEXT, b"\xff"),
    "masked": frames.ws(frames.TEXT, "x")[:1] + b"\x81\0\0\0\0x",
    "half a frame": frames.ws(frames.TEXT, "x" * 100)[:50],
    "half a message": frames.ws(frames.TEXT, "begun", fin=False) + frames.ws(frames.PING),
    "pings": frames.ws(frames.PING, b"p") * 50 + frames.ws(frames.PING, bytes(126)),
}
ALL = b"".join(frames.ws(frames.TEXT, message) for message in MESSAGES)
CODES = {"close": 1001, "empty close": 1005, "ping and close": 1000, "bad code": 1002, "reserved bit": 1002}
CODES |= {"not UTF-8": 1007, "masked": 1002, "pings": 1002}

ENDS = (trio_h2ws.WebSocketClosed, trio_h2ws.ConnectionLost, trio_h2ws.RemoteProtocolError)

last = pytest.mark.parametrize("name", LAST)
taken_before = pytest.mark.parametrize("taken", [1, 7])
cut = pytest.mark.parametrize("cut", [False, True], ids=["in one piece", "in pieces"])


async def feed(theirs: PeerSocket, data: bytes, cut: bool) -> None:
    for piece in [data[at : at + 7] for at in range(0, len(data), 7)] if cut else [data]:
        await theirs.raw(piece)


async def drain(ws: trio_h2ws.WebSocket, taken: int) -> Exception:
    """Every message that came is delivered, and then the end is raised, again and again."""
    rest = MESSAGES[taken:]
    with trio.fail_after(10):
        assert [await ws.receive() for _ in rest] == rest
        with pytest.raises(
            (trio_h2ws.WebSocketClosed, trio_h2ws.ConnectionLost, trio_h2ws.RemoteProtocolError)
        ) as first:
            await ws.receive()
        with pytest.raises(type(first.value)) as second:
            await ws.receive()
    assert first.value is not second.value
    with pytest.raises(type(first.value)):
        await ws.send("x")
    with pytest.raises(type(first.value)):
        await ws.ping()
    return first.value


@taken_before
@cut
@last
@pytest.mark.parametrize("end", ["rst", "refused", "end"])
async def test_a_full_websocket_over_http2_ends_alone(
    end: str, name: str, cut: bool, taken: int, autojump_clock: MockClock
) -> None:
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:
        async with bystanders(peer, client, 2) as group:
            ws, theirs = await open_websocket(peer, client)
            pinging = peer.call(ws.ping)
            await theirs.expect_frame(frames.PING)
            waiting = peer.call(client.post, "/")
            request = await peer.expect_headers()
            await feed(theirs, ALL + LAST[name], cut)
            await peer.settle()
            assert [await ws.receive() for _ in range(taken)] == MESSAGES[:taken]
            if end == "end":
                await peer.data(theirs, end=True)
            else:
                await peer.rst(theirs, frames.CANCEL if end == "rst" else frames.REFUSED_STREAM)
            await peer.settle()
            sent = len(theirs.request.body)
            error = await drain(ws, taken)
            assert isinstance(error, trio_h2ws.WebSocketClosed)
            assert error.code == CODES.get(name, 1006)
            if name == "pong":
                assert pinging.done
            else:
                await pinging.error(trio_h2ws.WebSocketClosed)
            await ws.aclose()
            await peer.settle()
            if end != "end":
                assert len(theirs.request.body) == sent, "something was sent on a closed stream"
            await group.check()
            await peer.respond(request)
            assert (await waiting.result()).status == 200
        await peer.settle()
        assert_clean(client)


@taken_before
@last
@pytest.mark.parametrize("end", ["eof", "goaway", "silence"])
async def test_the_end_of_a_connection_reaches_all_of_its_calls(
    end: str, name: str, taken: int, autojump_clock: MockClock
) -> None:
    """Two full WebSockets, before and between the other calls in the order of their streams."""
    timeouts = trio_h2ws.Timeouts(ping_interval=5, ping_timeout=5)
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS, timeouts=timeouts) as client:
        full = []
        others = []
        for _ in range(2):
            full.append(await open_websocket(peer, client))
            ws, _ = await open_websocket(peer, client)
            others.append(peer.call(ws.receive))
            others.append(peer.call(client.post, "/"))
            await peer.expect_headers()
        for ws, theirs in full:
            await feed(theirs, ALL + LAST[name], cut=False)
            await peer.settle()
            assert [await ws.receive() for _ in range(taken)] == MESSAGES[:taken]
        if end == "eof":
            await peer.close()
        elif end == "goaway":
            await peer.raw(frames.goaway(2**31 - 1, 2) + frames.raw(hf.PingFrame.type, 0, 1, bytes(8)))
        else:
            peer.pause()
        for call in others:
            await call.over(within=30)
            assert isinstance(call.failure, trio_h2ws.H2WSError), call
        for ws, _ in full:
            await drain(ws, taken)
        assert client.connections == []


@last
@pytest.mark.parametrize("end", ["abort", "aclose", "cancel", "error"])
async def test_an_application_leaves_a_full_websocket(end: str, name: str, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client, bystanders(peer, client, 2):
        ready = trio.Event()
        scope = trio.CancelScope()

        async def use() -> None:
            with scope:
                async with client.websocket("/") as ws:
                    await ready.wait()
                    assert await ws.receive() == "m0"
                    if end == "abort":
                        ws.abort()
                    elif end == "cancel":
                        scope.cancel()
                        await trio.sleep_forever()
                    elif end == "error":
                        raise LookupError

        call = peer.call(use)
        theirs = await peer.accept_websocket()
        await feed(theirs, ALL + LAST[name], cut=False)
        await peer.settle()
        ready.set()
        await call.over(within=20)
        assert isinstance(call.failure, LookupError) if end == "error" else call.failure is None
        await theirs.peer.until(lambda: theirs.request.reset is not None or theirs.request.ended, within=20)


@taken_before
@last
@pytest.mark.parametrize("end", ["eof", "broken"])
@pytest.mark.parametrize("window", [50, 100_000], ids=["paused", "not paused"])
async def test_a_full_websocket_over_http1_ends(
    window: int, end: str, name: str, taken: int, autojump_clock: MockClock
) -> None:
    """`receive` waited for ever after the last message."""
    go, over = trio.Event(), trio.Event()

    async def serve(peer: Http1Peer) -> None:
        request = await peer.request()
        assert request is not None
        await peer.accept_websocket(request)
        await peer.send(ALL + LAST[name])
        await go.wait()
        if end == "broken":
            await trio.aclose_forcefully(peer.stream)
        else:
            await peer.stream.send_eof()  # type: ignore[attr-defined]
            await over.wait()

    limits = trio_h2ws.Limits(max_queued_messages=4, stream_window=window)
    async with memory_http1(serve, limits=limits) as servers:
        ws = await servers.client.connect_websocket("/")
        await trio.sleep(1)
        assert [await ws.receive() for _ in range(taken)] == MESSAGES[:taken]
        go.set()
        await trio.sleep(1)
        error = await drain(ws, taken)
        if name in CODES:
            assert isinstance(error, trio_h2ws.WebSocketClosed)
            assert error.code == CODES[name]
        await ws.aclose()
        over.set()
        await trio.sleep(10)
        assert servers.client.connections == []


async def test_nothing_is_sent_for_a_group_that_lost_a_full_websocket(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client(limits=LIMITS) as client:
        manager = client.open_websocket_group(["/a", "/b"])
        opening = peer.call(manager.__aenter__)
        first, second = await peer.accept_websocket(), await peer.accept_websocket()
        group = await opening.result()
        await feed(first, ALL + LAST["ping and close"], cut=False)
        await peer.settle()
        await peer.rst(first)
        await second.send("beside")
        received = []
        with trio.fail_after(5):
            while len(received) < len(MESSAGES) + 1:
                _, message = await group.receive()
                received.append(message)
            assert sorted(map(str, received)) == sorted([*MESSAGES, "beside"])
            await second.close(1000)
            with pytest.raises(trio.EndOfChannel):
                await group.receive()
        assert not first.request.body


@last
@pytest.mark.parametrize("full", [False, True], ids=["room", "no room"])
async def test_a_sender_of_a_full_websocket_hears_the_end(full: bool, name: str, autojump_clock: MockClock) -> None:
    limits = trio_h2ws.Limits(max_queued_messages=4, max_send_buffer=1)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client, bystanders(peer, client, 2):
        ws, theirs = await open_websocket(peer, client)

        async def talk() -> None:
            async with ws.open_message(text=False) as message:
                while True:
                    await message.send(bytes(70_000))
                    if not full:
                        await trio.sleep(0.1)

        peer.auto_credit = not full
        talking = peer.call(talk)
        await peer.settle()
        sending = peer.call(ws.send, "x")
        await feed(theirs, ALL + LAST[name], cut=False)
        await peer.settle()
        assert await ws.receive() == "m0"
        await peer.rst(theirs)
        await talking.error(trio_h2ws.WebSocketClosed)
        await sending.error(trio_h2ws.WebSocketClosed)
        await drain(ws, 1)
        peer.auto_credit = True
        if full:
            await peer.window_update(0, 1_000_000)


async def test_the_client_ends_with_full_websockets(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer:
        with trio.fail_after(30):
            async with peer.open_client(limits=LIMITS) as client:
                sockets = [await open_websocket(peer, client) for _ in range(3)]
                for name, (_, theirs) in zip(("ping", "close", "reserved bit"), sockets, strict=True):
                    await feed(theirs, ALL + LAST[name], cut=False)
                await peer.settle()
        for ws, _ in sockets:
            with trio.fail_after(5), pytest.raises((trio_h2ws.ConnectionLost, trio_h2ws.WebSocketClosed)):
                while True:
                    await ws.receive()
