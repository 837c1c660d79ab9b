"""A token bucket for frames that carry nothing: how many may come in a burst, and at what rate it refills.

One PING is fine, and ten thousand of them are an attack. Each useless frame takes a token; time refills the bucket,
and useful frames may as well.
"""

from __future__ import annotations

from collections.abc import Callable


class TokenBucket:
    __slots__ = ("_clock", "_left", "_per_second", "_since", "burst")

    def __init__(self, burst: int, per_second: float, clock: Callable[[], float]) -> None:
        self.burst = burst
        self._per_second = per_second
        self._clock = clock
        self._left = burst
        self._since = clock()

    def earn(self, n: int) -> None:
        """A useful frame came. Cheap: `burst` is enforced only when the next useless one comes."""
        self._left += n

    def spend(self) -> bool:
        """A useless frame came. False: it was one too many."""
        left = min(self._left, self.burst) - 1
        if left < 0:
            now = self._clock()
            left = min(int((now - self._since) * self._per_second), self.burst) - 1
            self._since = now
        self._left = left
        return left >= 0
