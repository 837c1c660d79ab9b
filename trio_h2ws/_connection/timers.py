"""Timers of one connection: synchronous calls at a time, in a heap.

No timer has a task. The task that runs them (the connection's reader) sleeps in a cancel scope whose deadline is
that of the earliest timer, and `add` moves that deadline when a new timer is earlier.

Timers always make progress. A call often sets the next timer itself, for what is left of some time, and rounding may
leave a tiny rest that does not move the clock's number at all: `now + seconds == now`. So
- a timer with a positive time is due later than now, by one step of floating point if need be;
- only what was due when `run_due` was called is run by it, so a timer that is due at once waits for the next pass.

Most timers belong to one stream, their owner. If the call of such a timer raises, that ends this stream alone.

Most timers are cancelled. A cancelled timer refers to nothing any more, but its place in the heap would stay until it
was due: a busy connection would collect them for an hour if they are due in an hour. So when the heap has doubled,
the cancelled ones are dropped: it holds at most twice as many as are waiting, and a few.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from typing import Protocol

import trio

_SWEEP = 64  # not worth it below this size


class TimerOwner(Protocol):
    """A stream."""

    def end_with_bug(self, bug: Exception) -> None:
        """Its timer has raised. Must not raise."""
        ...


class Timer:
    __slots__ = ("call", "owner", "time")

    def __init__(self, time: float, call: Callable[[], None] | None, owner: TimerOwner | None) -> None:
        self.time = time
        self.call = call
        self.owner = owner

    def cancel(self) -> None:
        """Idempotent; also after it has run."""
        self.call = self.owner = None


class Timers:
    __slots__ = ("_count", "_heap", "_sweep_at", "scope")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self._sweep_at = _SWEEP
        self.scope = trio.CancelScope()

    def add(self, seconds: float, call: Callable[[], None], owner: TimerOwner | None = None) -> Timer:
        """Run `call()` in `seconds`. It must not raise and must not await. If it raises, its owner gets that; without
        an owner, `run_due` raises it, after it has run the others."""
        now = trio.current_time()
        time = now + seconds
        if time == now and seconds > 0:
            time = math.nextafter(now, math.inf)
        timer = Timer(time, call, owner)
        if len(self._heap) >= self._sweep_at:
            self._sweep()
        heapq.heappush(self._heap, (timer.time, next(self._count), timer))
        if timer.time < self.scope.deadline:
            self.scope.deadline = timer.time
        return timer

    def _sweep(self) -> None:
        self._heap = [entry for entry in self._heap if entry[2].call is not None]
        heapq.heapify(self._heap)
        self._sweep_at = max(_SWEEP, 2 * len(self._heap))

    def clear(self) -> None:
        """The connection is gone: nothing runs timers any more."""
        self._heap.clear()

    def run_due(self) -> None:
        """Run what is due now, and drop what was cancelled."""
        now = trio.current_time()
        heap = self._heap
        due: list[Timer] = []
        while heap and (heap[0][0] <= now or heap[0][2].call is None):
            due.append(heapq.heappop(heap)[2])
        bug: Exception | None = None
        for timer in due:
            call, owner = timer.call, timer.owner
            timer.cancel()
            if call is None:
                continue
            try:
                call()
            except Exception as error:
                if owner is not None:
                    owner.end_with_bug(error)
                else:
                    bug = bug or error
        if bug is not None:
            raise bug

    def new_scope(self) -> trio.CancelScope:
        """The scope to sleep in until the next timer is due."""
        self.scope = trio.CancelScope(deadline=self._heap[0][0] if self._heap else float("inf"))
        return self.scope
