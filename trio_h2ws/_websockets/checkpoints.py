"""When a call that need not wait is a schedule point.

Trio's users expect every call to be a checkpoint: a cancel point and a schedule point. A cancel point costs next to
nothing, and every call of ours is one. A schedule point costs a pass of Trio's scheduler, more than everything else
that a small message costs. For a single call that is the price of fairness. In a burst (a task takes one message
after another from a queue that is not empty, or sends while its earlier messages still wait to be sent) it buys
nothing: there the first few calls are schedule points as usual, and then every 32nd, or the first after a
millisecond. Other tasks wait that much longer, and the writer and the reader get more to do at once. The millisecond
is for tasks that do real work with each message.
"""

from __future__ import annotations

from time import perf_counter

import trio

_FIRST = 4
_EVERY = 32
_SECONDS = 0.001


class Checkpoints:
    """Of one WebSocket and one direction: counts the calls that did not need to wait."""

    __slots__ = ("_calls", "_since")

    def __init__(self) -> None:
        self._calls = 0
        self._since = 0.0  # the time of the first call after the last schedule point; 0: there was none yet

    def yields(self, busy: bool) -> bool:
        """Whether this call should be a schedule point. `busy`: more messages wait already."""
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
    """A cancel point, and a schedule point if asked for."""
    if schedules:
        await trio.lowlevel.checkpoint()
    else:
        await trio.lowlevel.checkpoint_if_cancelled()
