"""How many handshakes may be under way at once, and how many may begin in a time: a venue allows 300 in 5 minutes."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


def check_rate(max_connecting: int | None, rate: tuple[int, float] | None) -> None:
    """Raises TypeError or ValueError."""
    if max_connecting is not None and (isinstance(max_connecting, bool) or not isinstance(max_connecting, int)):
        raise TypeError(f"max_connecting must be an int or None, not {type(max_connecting).__name__}")
    if max_connecting is not None and max_connecting < 1:
        raise ValueError(f"max_connecting must be at least 1, not {max_connecting}")
    if rate is None:
        return
    if not isinstance(rate, tuple) or len(rate) != 2 or any(isinstance(part, bool) for part in rate):
        raise TypeError("rate must be (count, seconds): so many handshakes begin in so many seconds at most")
    count, seconds = rate
    if not isinstance(count, int) or not isinstance(seconds, (int, float)):
        raise TypeError("rate must be (count, seconds): an int and a number")
    if count < 1 or not 0 < seconds < float("inf"):
        raise ValueError("rate must be (count, seconds): at least 1 in a finite time above 0")


class Connecting:
    """The bound of one group. `async with connecting:` around each handshake; first come, first served."""

    __slots__ = ("_begun", "_limiter", "_lock", "_rate")

    def __init__(self, max_connecting: int | None, rate: tuple[int, float] | None) -> None:
        self._limiter = trio.CapacityLimiter(max_connecting if max_connecting is not None else float("inf"))
        self._rate = rate
        self._begun: deque[float] = deque()  # when the last `count` began
        self._lock = trio.Lock()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        token = object()  # a task may open several
        await self._limiter.acquire_on_behalf_of(token)
        try:
            if self._rate is not None:
                await self._wait_for_turn(*self._rate)
            yield
        finally:
            self._limiter.release_on_behalf_of(token)

    async def _wait_for_turn(self, count: int, seconds: float) -> None:
        async with self._lock:
            if len(self._begun) >= count:
                await trio.sleep_until(self._begun[0] + seconds)
                self._begun.popleft()
            self._begun.append(trio.current_time())
