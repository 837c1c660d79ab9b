"""`WebSocket.heartbeat`: messages of the application's own protocol at an interval, and their answers."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import frames, open_websocket, scripted_peer


async def test_messages_are_sent_at_the_interval_until_the_end(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        count = 0

        def make() -> str:
            nonlocal count
            count += 1
            return f"ping {count}"

        ws.heartbeat(4, make)
        start = trio.current_time()
        for number in range(1, 4):
            assert await theirs.expect_message() == f"ping {number}"
            assert trio.current_time() - start == pytest.approx(4 * number)
        await ws.send("between")
        assert await theirs.expect_message() == "between"
        await theirs.close(end=True)
        await trio.sleep(100)
        assert count == 3


@pytest.mark.parametrize("held", [False, True])
async def test_a_missing_answer_ends_the_websocket_with_a_reason(held: bool, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        ws.heartbeat(4, "ping", expect=lambda message: message == "pong", timeout=3)
        for _ in range(3):
            assert await theirs.expect_message() == "ping"
            await theirs.send("news")
            await theirs.send("pong")
            assert [await ws.receive() for _ in range(2)] == ["news", "pong"]
        assert await theirs.expect_message() == "ping"
        start = trio.current_time()
        if held:  # the application does not receive, so the answer may be among what waits
            await theirs.raw(frames.ws(frames.TEXT, "m") * 100)
            await trio.sleep(60)
            assert not ws.close_code
            for _ in range(100):
                await ws.receive()
            start = trio.current_time()
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert caught.value.reason == "heartbeat: the server did not answer it within 3 s"
        assert trio.current_time() - start <= 3.01


async def test_an_answer_counts_although_no_task_receives(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        ws.heartbeat(4, b"ping", expect=lambda message: message == "pong", timeout=3)
        for _ in range(20):
            assert await theirs.expect_message() == b"ping"
            await theirs.send("pong")
        assert [await ws.receive() for _ in range(20)] == ["pong"] * 20
        ws.abort()


async def test_it_waits_for_a_message_in_parts(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        ws.heartbeat(1, "ping")
        async with ws.open_message(text=True) as message:
            await message.send("a")
            await trio.sleep(3)
            await message.send("b")
        for payload in (b"a", b"b", b""):
            assert (await theirs.expect_frame()).payload == payload
        assert await theirs.expect_message() == "ping"
        ws.abort()


async def test_stop_ends_it(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        heartbeat = ws.heartbeat(1, "ping", expect=lambda message: False)
        with pytest.raises(RuntimeError, match="already"):
            ws.heartbeat(1, "ping")
        await theirs.expect_message()
        heartbeat.stop()
        heartbeat.stop()
        await trio.sleep(10)
        assert not ws.close_code
        ws.heartbeat(1, "again")
        assert await theirs.expect_message() == "again"
        ws.abort()


@pytest.mark.parametrize("which", ["message", "expect", "type"])
async def test_what_the_functions_raise_is_the_cause_of_the_end(which: str, autojump_clock: MockClock) -> None:
    def fail(*args: Any) -> Any:
        if which == "type":
            return 5
        raise KeyError("mine")

    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        ws.heartbeat(1, "ping" if which == "expect" else fail, expect=fail)
        if which == "expect":
            await theirs.expect_message()
            await theirs.send("x")
            assert await ws.receive() == "x"
        with pytest.raises(trio_h2ws.WebSocketClosed, match="heartbeat: ") as caught:
            await ws.receive()
        assert caught.value.__cause__ is not None
        assert isinstance(caught.value.__cause__.__cause__, TypeError if which == "type" else KeyError)


@pytest.mark.parametrize(
    "bad",
    [
        {"interval": 0},
        {"interval": "1"},
        {"message": 5},
        {"message": "\ud800"},
        {"timeout": -1},
        {"expect": "pong"},
    ],
)
async def test_bad_arguments_are_refused(bad: dict[str, Any]) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, _ = await open_websocket(peer, client)
        with pytest.raises((TypeError, ValueError)):
            ws.heartbeat(**{"interval": 1, "message": "ping", **bad})
        ws.heartbeat(1, "ping").stop()
        ws.abort()
