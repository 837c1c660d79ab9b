"""What a peer may make us do for nothing: read frames that carry nothing, and keep answers that it does not read.

One such frame is harmless, and ten thousand are an attack. A frame that carries nothing takes a token from a bucket,
which time and frames with data refill. Answers (PING and SETTINGS acknowledgements, RST_STREAM) wait in the send
queue, so their bytes are counted.
"""

from __future__ import annotations

from collections.abc import Callable

from ..._config import Limits
from ..._errors import LimitExceeded
from ..token_bucket import TokenBucket


class FloodGuard:
    __slots__ = ("_bucket", "_limits", "earn", "owed")

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._bucket = TokenBucket(limits.max_idle_frames, limits.idle_frames_per_second, clock)
        self.earn = self._bucket.earn
        self.owed = 0  # bytes of answers since bytes were last taken to be written

    def spend(self) -> None:
        """A frame came that carries nothing. Raises LimitExceeded if that was one too many."""
        if not self._bucket.spend():
            bound = self._limits.max_idle_frames
            raise LimitExceeded("max_idle_frames", bound, "the server sent too many frames that carry nothing")

    def owe(self, n: int) -> None:
        """An answer of `n` bytes is about to be queued. Raises LimitExceeded if too many wait already."""
        self.owed += n
        if self.owed > self._limits.max_owed_bytes:
            message = "the server asks for more answers than it reads"
            raise LimitExceeded("max_owed_bytes", self._limits.max_owed_bytes, message)
