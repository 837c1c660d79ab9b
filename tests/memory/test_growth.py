"""What one more request takes while many are under way: objects, and calls of functions. Counted, not timed."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from trio.testing import memory_stream_pair, wait_all_tasks_blocked

import trio_h2ws
from toolkit import frames

FEW, MANY, MORE = 100, 2000, 100


@asynccontextmanager
async def silent_server(slots: int) -> AsyncIterator[trio_h2ws.Client]:
    """A client of a server that sends SETTINGS, and nothing else."""

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair()
        await theirs.send_all(frames.settings({frames.MAX_CONCURRENT_STREAMS: slots}))
        return ours

    async with trio_h2ws.open_client(http2="require", open_stream=open_stream) as client:
        yield client


async def get(client: trio_h2ws.Client) -> None:
    await client.get("http://a.test/")


async def start(nursery: trio.Nursery, count: int, function: Callable[..., Awaitable[None]], *args: Any) -> None:
    for _ in range(count):
        nursery.start_soon(function, *args)
    await wait_all_tasks_blocked()


async def tracked(count: int, function: Callable[..., Awaitable[None]], *args: Any) -> float:
    """Objects that the garbage collector looks at, for each task that runs `function`."""
    async with trio.open_nursery() as nursery:
        await start(nursery, FEW, function, *args)
        gc.collect()
        before = len(gc.get_objects())
        await start(nursery, count, function, *args)
        gc.collect()
        after = len(gc.get_objects())
        nursery.cancel_scope.cancel()
    return (after - before) / count


async def test_a_request_in_flight_is_few_objects() -> None:
    # With 10,000 requests at once, what the garbage collector has to look at costs as much as the requests.
    async with silent_server(MANY) as client:
        request = await tracked(300, get, client)
    task = await tracked(300, trio.sleep_forever)
    assert request - task <= 20


class Calls:
    """Counts the calls of functions in a block, in Python and in C."""

    def __enter__(self) -> Calls:
        self.count = 0
        sys.setprofile(self._on_event)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _on_event(self, frame: Any, event: str, arg: object) -> None:
        self.count += event in ("call", "c_call")


@pytest.mark.parametrize("slots", [2 * MANY, 1], ids=["in flight", "waiting for a slot"])
async def test_one_more_request_takes_as_many_calls_while_many_are_under_way(slots: int) -> None:
    counts = []
    async with silent_server(slots) as client, trio.open_nursery() as nursery:
        await start(nursery, FEW, get, client)
        for others in (FEW, MANY):
            await start(nursery, others, get, client)
            with Calls() as calls:
                await start(nursery, MORE, get, client)
            counts.append(calls.count)
        nursery.cancel_scope.cancel()
    few, many = counts
    assert many <= 1.1 * few
