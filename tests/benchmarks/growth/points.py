"""The process of one point: runs one load at one size, and prints one line of JSON.

    python -m tests.benchmarks.growth.points LOAD SIZE PORT [PROFILE]

With PROFILE the measured part runs under cProfile, which writes its statistics to that file.
"""

from __future__ import annotations

import cProfile
import gc
import itertools
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable

import trio

import trio_h2ws

from .. import meter
from ..meter import Meter, resident
from .servers import SLOTS

Numbers = dict[str, float]
_EACH = 5  # requests that a task sends, at every size
_LEAST, _MOST = 2_000, 50_000  # requests that are measured
_CONNECTIONS = 5  # of the WebSockets
_WINDOW = 500  # WebSockets whose opening is measured
_ECHOES = 20_000
_AT_ONCE = 100
_NO_TIMEOUTS = trio_h2ws.Timeouts(connect=60, handshake=60, websocket_ping_interval=3600, probe_after=None)


class _Collector:
    """How long the cyclic garbage collector runs."""

    seconds = 0.0
    _begin = 0.0

    def __init__(self) -> None:
        gc.callbacks.append(self._on_phase)

    def _on_phase(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self._begin = time.process_time()
        else:
            self.seconds += time.process_time() - self._begin


async def _gather(tasks: Iterable[Callable[[], Awaitable[None]]]) -> None:
    async with trio.open_nursery() as nursery:
        for task in tasks:
            nursery.start_soon(task)


async def _waves(task: Callable[[], Awaitable[None]], at_once: int, most: int) -> Numbers:
    """Tasks of `_EACH` operations, `at_once` at a time, and then so many again."""
    n = min(max(at_once * 2 * _EACH, _LEAST), most) if at_once < 100 else most
    waves = max(n // (at_once * _EACH), 1)
    await _gather([task] * at_once)
    collector = _Collector()
    with Meter() as measured:
        collector.seconds = 0.0
        for _ in range(waves):
            await _gather([task] * at_once)
    n = waves * at_once * _EACH
    return {"cpu": measured.cpu / n, "collector": collector.seconds / n}


async def requests(size: int, port: int) -> Numbers:
    return await _requests(size, port)


async def waiting(size: int, port: int) -> Numbers:
    return await _requests(SLOTS + size, port)


async def _requests(at_once: int, port: int) -> Numbers:
    url = f"http://127.0.0.1:{port}/small"
    async with trio_h2ws.open_client(http2="require", timeouts=_NO_TIMEOUTS) as client:

        async def some() -> None:
            for _ in range(_EACH):
                assert len((await client.get(url)).content) == 1024

        await client.get(url)  # the dial, so that the server's SETTINGS are known
        return await _waves(some, at_once, _MOST)


async def origins(size: int, port: int) -> Numbers:
    hosts = [f"127.0.{1 + i // 250}.{1 + i % 250}" for i in range(size)]
    urls = itertools.cycle([f"http://{host}:{port}/small" for host in hosts])
    n = 10_000 // size * size
    async with trio_h2ws.open_client(http2="require", timeouts=_NO_TIMEOUTS) as client:
        for url in itertools.islice(urls, 3 * size):  # the dials, and what follows them
            await client.get(url)
        assert len(client.connections) == size
        collector = _Collector()
        with Meter() as measured:
            collector.seconds = 0.0
            for url in itertools.islice(urls, n):
                await client.get(url)
    return {"cpu": measured.cpu / n, "collector": collector.seconds / n}


async def sockets(size: int, port: int) -> Numbers:
    url, kept = f"ws://127.0.0.1:{port}/", []
    limits = trio_h2ws.Limits(max_streams=(size + _WINDOW) // _CONNECTIONS)
    async with trio_h2ws.open_client(http2="require", timeouts=_NO_TIMEOUTS, limits=limits) as client:

        async def open_many(n: int) -> None:
            left = n

            async def some() -> None:
                nonlocal left
                while left > 0:
                    left -= 1
                    kept.append(await client.connect_websocket(url, compression=None))

            await _gather([some] * 50)

        before = resident()
        await open_many(size)
        memory = (resident() - before) / size
        with Meter() as opening:
            await open_many(_WINDOW)
        assert len(client.connections) == _CONNECTIONS
        # Any of them, so that size matters, and each has its turn before the first comes again.
        random.Random(1).shuffle(kept)
        turns = itertools.cycle(kept)

        async def echo() -> None:
            for _ in range(_ECHOES // _AT_ONCE):
                ws = next(turns)
                await ws.send("x" * 64)
                await ws.receive()

        await _gather([echo] * _AT_ONCE)
        with Meter() as echoes:
            await _gather([echo] * _AT_ONCE)
        numbers = {"opening": opening.cpu / _WINDOW, "echo": echoes.cpu / _ECHOES, "memory": memory}
        print(json.dumps(numbers), flush=True)
        meter.end_at_once()  # closing them takes time
    return numbers


async def tasks(size: int, port: int) -> Numbers:
    parked: list[trio.lowlevel.Task] = []

    def abort(_: object) -> trio.lowlevel.Abort:
        return trio.lowlevel.Abort.FAILED

    async def some() -> None:
        for _ in range(_EACH):
            parked.append(trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(abort)

    async def wake() -> None:
        while True:
            for task in parked[:_AT_ONCE]:
                trio.lowlevel.reschedule(task)
            del parked[:_AT_ONCE]
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wake)
        numbers = await _waves(some, size, 4 * _MOST)
        nursery.cancel_scope.cancel()
    return numbers


LOADS = {load.__name__: load for load in (requests, waiting, origins, sockets, tasks)}


def main() -> None:
    load, size, port, *profile = sys.argv[1:]
    if profile:
        meter.profiler = cProfile.Profile()
    numbers = trio.run(LOADS[load], int(size), int(port))
    if meter.profiler is not None:
        meter.profiler.dump_stats(profile[0])
    print(json.dumps(numbers), flush=True)
    meter.end_at_once()


if __name__ == "__main__":
    main()
