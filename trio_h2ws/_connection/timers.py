"""Timers of one connection: synchronous calls at a time, in a heap.

No timer has a task. The task that runs them (the connection's reader) sleeps in a cancel scope whose deadline is
that of the earliest timer, and `add` moves that deadline when a new timer is earlier.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

import trio


class Timer:
    __slots__ = ("call", "time")

    def __init__(self, time: float, call: Callable[[], None] | None) -> None:
        self.time = time
        self.call = call

    def cancel(self) -> None:
        """Idempotent; also after it has run."""
        self.call = None


class Timers:
    __slots__ = ("_count", "_heap", "scope")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Timer]] = []
        self._count = itertools.count()
        self.scope = trio.CancelScope()

    def add(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Run `call()` in `seconds`. It must not raise and must not await."""
        timer = Timer(trio.current_time() + seconds, call)
        heapq.heappush(self._heap, (timer.time, next(self._count), timer))
        if timer.time < self.scope.deadline:
            self.scope.deadline = timer.time
        return timer

    def run_due(self) -> None:
        """Run what is due, and drop what was cancelled."""
        now = trio.current_time()
        heap = self._heap
        while heap and (heap[0][0] <= now or heap[0][2].call is None):
            timer = heapq.heappop(heap)[2]
            call, timer.call = timer.call, None
            if call is not None:
                call()

    def new_scope(self) -> trio.CancelScope:
        """The scope to sleep in until the next timer is due."""
        self.scope = trio.CancelScope(deadline=self._heap[0][0] if self._heap else float("inf"))
        return self.scope
