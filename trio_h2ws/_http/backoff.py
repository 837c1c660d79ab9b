"""How long to wait before another try: a pause that doubles, with jitter (pure).

Without jitter, all that failed together would come back together.
"""

from __future__ import annotations

_MAX_DOUBLINGS = 32  # past any sensible maximum, and far from overflow


def backoff(failures: int, first: float, maximum: float, jitter: float) -> float:
    """Seconds to wait: none before any failure, then about `first`, then twice that, up to `maximum`.

    `jitter` is a random number from 0 to 1; the pause is shortened by up to half with it.
    """
    if failures < 1:
        return 0.0
    seconds: float = min(first * 2 ** min(failures - 1, _MAX_DOUBLINGS), maximum)
    return seconds * (0.5 + jitter / 2)
