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


# Progress.


@pytest.mark.parametrize("start", [0.1, 0.3, 1 / 3, 2.3, 1000.7])
async def test_a_timer_too_small_for_the_clock_makes_progress(start: float, autojump_clock: MockClock) -> None:
    """A wait that rounding makes zero: `now + seconds == now`."""
    timers = Timers()
    heard: list[float] = []

    def again() -> None:
        heard.append(trio.current_time())
        timers.add(1e-30, again)

    await trio.sleep(start)
    timers.add(1e-30, again)
    passes = 0
    while passes < 5:
        with timers.new_scope():
            await trio.sleep_forever()
        timers.run_due()
        passes += 1
    assert len(heard) == 5
    assert heard == sorted(set(heard)), "the clock did not move between two of them"


async def test_a_timer_due_at_once_waits_for_the_next_pass() -> None:
    timers = Timers()
    heard: list[str] = []

    def first() -> None:
        timers.add(0, lambda: heard.append("second"))

    timers.add(0, first)
    timers.run_due()
    assert heard == []
    timers.run_due()
    assert heard == ["second"]


# A call that raises.


class Owner:
    def __init__(self) -> None:
        self.bugs: list[Exception] = []

    def end_with_bug(self, bug: Exception) -> None:
        self.bugs.append(bug)


def fail() -> None:
    raise LookupError("mine")


async def test_a_timer_that_raises_concerns_its_owner_alone() -> None:
    timers, owner = Timers(), Owner()
    heard: list[int] = []
    timers.add(0, fail, owner)
    timers.add(0, lambda: heard.append(1))
    timers.run_due()
    assert [type(bug) for bug in owner.bugs] == [LookupError]
    assert heard == [1]


async def test_a_timer_without_owner_raises_after_the_others() -> None:
    timers = Timers()
    heard: list[int] = []
    timers.add(0, fail)
    timers.add(0, lambda: heard.append(1))
    with pytest.raises(LookupError):
        timers.run_due()
    assert heard == [1]
    timers.run_due()


async def test_a_timer_cancelled_by_an_earlier_one_does_not_run() -> None:
    timers = Timers()
    heard: list[int] = []
    timers.add(0, lambda: second.cancel())
    second = timers.add(0, lambda: heard.append(2))
    timers.run_due()
    assert heard == []
