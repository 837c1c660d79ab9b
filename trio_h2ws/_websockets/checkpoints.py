"""When a call that need not wait lets other tasks run.

A Trio user expects every call to be a checkpoint: a cancel point, and a schedule point. A cancel point costs nothing
to speak of, and every call of ours is one. A schedule point costs a pass of Trio's scheduler, which is more than all
else that a small message costs. For a call that stands alone that is the price of fairness. In a burst (a task takes
one message after the other from a queue that is not empty, or sends while its earlier messages still wait to leave)
it buys nothing: the first few calls yield as always, and then only every 32nd, or the first after a millisecond.
Others wait that much longer, and the writer and the reader get more to do at once. The millisecond is for those who
do real work with each message.
"""

from __future__ import annotations

from time import perf_counter

import trio

_FIRST = 4
_EVERY = 32
_SECONDS = 0.001


class Checkpoints:
    """Counts the calls that had no need to wait, of one WebSocket and one direction."""

    __slots__ = ("_calls", "_since")

    def __init__(self) -> None:
        self._calls = 0
        self._since = 0.0  # when the first call after the last that yielded was made; 0: it was not made yet

    def yields(self, busy: bool) -> bool:
        """Whether this call is a schedule point. `busy`: there was more to do already."""
        if not busy:
            self._calls = 0
            self._since = 0.0
            return True
        self._calls += 1
        if self._calls <= _FIRST:
            return True
        now = perf_counter()
        since = self._since
        if not since:
            self._since = now
        elif self._calls % _EVERY == 0 or now - since > _SECONDS:
            self._since = 0.0
            return True
        return False


async def checkpoint(*, schedules: bool) -> None:
    """A cancel point, and a schedule point if it is to be one."""
    if schedules:
        await trio.lowlevel.checkpoint()
    else:
        await trio.lowlevel.checkpoint_if_cancelled()
