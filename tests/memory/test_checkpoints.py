"""Every call is a checkpoint and a cancel point. In a burst of messages not every call yields, and no other task is
starved."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import assert_checkpoints, wait_all_tasks_blocked

import trio_h2ws
from toolkit.inside import messages_of
from trio_h2ws.testing import open_server


async def test_every_call_is_a_checkpoint() -> None:
    async with open_server(memory=True) as server:
        async with trio_h2ws.open_client(
            base_url=server.url, ssl_context=server.ssl_context, open_stream=server.open_stream
        ) as client:
            for _ in range(2):  # the second time on an open connection
                with assert_checkpoints():
                    await client.get("/")
                with assert_checkpoints():
                    ws = await client.connect_websocket("/ws/echo")
                with assert_checkpoints():
                    await ws.send("x")
                with assert_checkpoints():
                    assert await ws.receive() == "x"
                # Also with a message that has already arrived.
                await ws.send("y")
                await ws.ping()
                with assert_checkpoints():
                    assert await ws.receive() == "y"
                with assert_checkpoints():
                    await ws.ping()
                with assert_checkpoints():
                    await ws.aclose()
                with assert_checkpoints():
                    await ws.aclose()
                async with client.stream("GET", "/bytes/100000") as response:
                    with assert_checkpoints():
                        await response.__anext__()
                    with assert_checkpoints():
                        await response.read()
                    with assert_checkpoints():
                        await response.read()


BURST = 400


MOST = 2 * 32  # one pass in 32 calls, and Trio runs the tasks of a pass in any order


LIMITS = trio_h2ws.Limits(max_queued_messages=BURST)


@asynccontextmanager
async def open_echo() -> AsyncIterator[trio_h2ws.WebSocket]:
    async with (
        open_server(memory=True) as server,
        trio_h2ws.open_client(
            base_url=server.url, ssl_context=server.ssl_context, open_stream=server.open_stream, limits=LIMITS
        ) as client,
        client.websocket("/ws/echo") as ws,
    ):
        yield ws


async def backlog(ws: trio_h2ws.WebSocket) -> None:
    """Let `BURST` messages arrive and wait to be received."""
    for number in range(BURST):
        await ws.send(str(number))
    await wait_all_tasks_blocked()
    assert len(messages_of(ws).messages) == BURST


def work() -> None:
    """What an application does with a message, without a checkpoint."""
    time.sleep(0.002)


class Passes:
    """Counts the scheduler passes in which another task gets to run."""

    def __init__(self) -> None:
        self.seen = 0

    async def run(self) -> None:
        while True:
            await trio.lowlevel.checkpoint()
            self.seen += 1

    async def held_up(self, call: Callable[[], Awaitable[object]], times: int) -> int:
        """The most calls in a row between which no pass was seen."""
        longest = since = 0
        for _ in range(times):
            before = self.seen
            await call()
            since = 0 if self.seen != before else since + 1
            longest = max(longest, since)
        return longest


async def test_receiving_a_backlog_lets_other_tasks_run() -> None:
    async with open_echo() as ws, trio.open_nursery() as nursery:
        await backlog(ws)
        passes = Passes()
        nursery.start_soon(passes.run)
        await trio.lowlevel.checkpoint()
        assert 0 < await passes.held_up(ws.receive, BURST) < MOST
        nursery.cancel_scope.cancel()


async def test_a_slow_receiver_yields_after_fewer_messages() -> None:
    async with open_echo() as ws, trio.open_nursery() as nursery:
        await backlog(ws)
        passes = Passes()
        nursery.start_soon(passes.run)
        for _ in range(40):
            await ws.receive()
            work()
        assert passes.seen >= 10
        nursery.cancel_scope.cancel()


async def test_sending_a_burst_lets_other_tasks_run() -> None:
    async with open_echo() as ws, trio.open_nursery() as nursery:
        passes = Passes()
        nursery.start_soon(passes.run)
        await trio.lowlevel.checkpoint()
        assert 0 < await passes.held_up(partial(ws.send, "x"), BURST) < MOST
        nursery.cancel_scope.cancel()


async def test_every_call_in_a_burst_is_a_cancel_point() -> None:
    async with open_echo() as ws:
        await backlog(ws)
        taken = []
        for _ in range(BURST // 2):
            with trio.CancelScope() as scope:
                scope.cancel()
                await ws.receive()
            assert scope.cancelled_caught
            with trio.CancelScope() as scope:
                scope.cancel()
                await ws.send("never")
            assert scope.cancelled_caught
            taken.append(await ws.receive())
        taken += [await ws.receive() for _ in range(BURST // 2)]
        assert taken == [str(number) for number in range(BURST)]
        await ws.send("the next one")
        assert await ws.receive() == "the next one"


@pytest.mark.parametrize("calls", [1, 4])
async def test_a_call_outside_a_burst_is_a_checkpoint(calls: int) -> None:
    async with open_echo() as ws:
        for _ in range(3):
            for _ in range(calls):
                with assert_checkpoints():
                    await ws.send("x")
            await wait_all_tasks_blocked()
            for _ in range(calls):
                with assert_checkpoints():
                    await ws.receive()


async def test_a_group_with_a_backlog_lets_other_tasks_run() -> None:
    async with (
        open_server(memory=True) as server,
        trio_h2ws.open_client(
            base_url=server.url, ssl_context=server.ssl_context, open_stream=server.open_stream, limits=LIMITS
        ) as client,
        client.open_websocket_group(["/ws/echo"] * 4) as group,
        trio.open_nursery() as nursery,
    ):
        for ws in group.websockets:
            await backlog(ws)
        passes = Passes()
        nursery.start_soon(passes.run)
        await trio.lowlevel.checkpoint()
        assert 0 < await passes.held_up(group.receive, 4 * BURST) < MOST
        nursery.cancel_scope.cancel()
