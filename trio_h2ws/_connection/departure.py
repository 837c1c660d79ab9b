"""Whether bytes that were queued have left: through our own queue, the transport's, and the system's.

An answer can be expected only from then on. A Ping may wait behind a large upload for longer than any time-out, on a
link that works. As long as bytes leave, or the peer gives credit for more, it is waited for.

Only the end of a time-out asks, so nothing is done for a byte that leaves.
"""

from __future__ import annotations

from typing import Protocol

from .._network.transport import Transport

_MOMENT = 0.1  # seconds


class Queue(Protocol):
    """What the bytes were queued in."""

    @property
    def sent_size(self) -> int:
        """Bytes that have left it so far."""
        ...

    @property
    def credit(self) -> int:
        """Changes when the peer allows more to leave."""
        ...


class Departure:
    """Of what was queued last: `ahead` bytes are in the queue, those included.

    Call `settle` soon after that (`soon`): what has left by then is taken to have left at once.
    """

    __slots__ = ("_mark", "_over", "_queue", "_seen", "_target", "_transport")

    def __init__(self, transport: Transport, queue: Queue, ahead: int) -> None:
        self._transport = transport
        self._queue = queue
        self._target = queue.sent_size + ahead
        self._mark: int | None = None  # what the transport had been given when these bytes were among it
        self._over = False
        self._seen = self._progress()

    def _progress(self) -> tuple[int, int, int]:
        return self._queue.sent_size, self._queue.credit, self._transport.acknowledged

    def settle(self) -> None:
        """Note whether they have left."""
        transport = self._transport
        if self._mark is None and self._queue.sent_size >= self._target and not transport.blocked:
            self._mark = transport.written
        self._over = self._over or (self._mark is not None and transport.acknowledged >= self._mark)

    def delays(self) -> bool:
        """At the end of a time-out without an answer: whether another time-out is due, because the bytes are still
        leaving, or have left since this was asked last."""
        if self._over:
            return False
        self.settle()
        seen, self._seen = self._seen, self._progress()
        return self._over or seen != self._seen


def soon(timeout: float) -> float:
    """Seconds after which to call `settle`."""
    return min(_MOMENT, timeout / 8)
