"""Timers of a connection: calls at a given time, without tasks."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from trio_h2ws._connection.timers import Timers


async def run(timers: Timers, seconds: float) -> None:
    """As the reader does: sleep until a timer is due, then run it."""
    with trio.move_on_after(seconds):
        while True:
            with timers.new_scope():
                await trio.sleep_forever()
            timers.run_due()


async def test_timers_run_in_order_of_time(autojump_clock: MockClock) -> None:
    timers = Timers()
    heard: list[tuple[str, float]] = []

    def note(name: str) -> None:
        heard.append((name, trio.current_time()))

    start = trio.current_time()
    timers.add(3, lambda: note("c"))
    timers.add(1, lambda: note("a"))
    timers.add(2, lambda: note("b")).cancel()

    def add_another() -> None:
        timers.add(0, lambda: note("from a timer"))

    timers.add(2, add_another)
    await run(timers, 10)
    assert [(name, pytest.approx(time - start)) for name, time in heard] == [
        ("a", pytest.approx(1)),
        ("from a timer", pytest.approx(2)),
        ("c", pytest.approx(3)),
    ]


async def test_an_earlier_timer_wakes_the_sleeper(autojump_clock: MockClock) -> None:
    timers = Timers()
    heard: list[float] = []
    timers.add(100, lambda: None)
    start = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, timers, 10)
        await trio.sleep(1)
        timers.add(1, lambda: heard.append(trio.current_time()))
    assert heard == [pytest.approx(start + 2)]
