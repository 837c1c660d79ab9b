"""An allowance for frames that carry nothing: a burst, and a rate at which it comes back.

Floods are not about one frame. A PING is fine, and ten thousand of them are an attack. Each useless frame spends
from the allowance; time gives back, and useful frames may, too.
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
        """A useful frame came. Cheap: the burst is enforced when the next useless one does."""
        self._left += n

    def spend(self) -> bool:
        """A useless frame came. False: that was one too many."""
        left = min(self._left, self.burst) - 1
        if left < 0:
            now = self._clock()
            left = min(int((now - self._since) * self._per_second), self.burst) - 1
            self._since = now
        self._left = left
        return left >= 0
