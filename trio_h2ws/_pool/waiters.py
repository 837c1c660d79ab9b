"""The calls that wait for a connection to one origin, in the order in which they came.

A call leaves in the step in which it is cancelled or answered, so every call in here is alive, and their number is
what dials are begun for. Joining and leaving take the same time however many wait.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Literal, TypeAlias

from .._connection.connection import Connection
from .._connection.wakeups import ParkedTask
from .._errors import fresh

Phase: TypeAlias = Literal["queue", "connect", "head"]
OnPhase: TypeAlias = Callable[[Phase], None]


class Waiter(ParkedTask):
    """One call. It may be answered before its task parks."""

    __slots__ = ("_connection", "_error", "_queue", "early", "http2_only", "on_phase")

    def __init__(self, queue: Waiters, http2_only: bool, on_phase: OnPhase | None, early: bool) -> None:
        super().__init__()
        self.http2_only = http2_only
        self.early = early  # it may be sent before the server's SETTINGS have come
        self.on_phase = on_phase
        self._queue = queue
        self._connection: Connection | None = None
        self._error: BaseException | None = None

    def give(self, connection: Connection | None, error: BaseException | None = None) -> None:
        """Answer the call: a connection with a reserved slot, or an error to raise."""
        self._queue.leave(self)
        self._connection, self._error = connection, error
        self.wake()

    def enter(self, phase: Phase) -> None:
        """Call `on_phase`. What it raises is raised by this call, and by nothing else."""
        assert self.on_phase is not None
        try:
            self.on_phase(phase)
        except Exception as error:
            self.give(None, error)

    async def wait(self) -> Connection:
        """The connection that was given. Raises the error that was given instead."""
        if self in self._queue:
            await self.park()
        if self._error is not None:
            raise self._error
        assert self._connection is not None
        return self._connection

    def on_cancelled(self) -> None:
        self._queue.leave(self)
        self._queue.on_cancelled()


class Waiters:
    """A queue. `on_cancelled()` is called after a call was cancelled and has left."""

    # A plain dict would search for its first key among all that were deleted before it.
    __slots__ = ("_all", "_early", "_listening", "_phase", "on_cancelled")

    def __init__(self, on_cancelled: Callable[[], None]) -> None:
        self._all: OrderedDict[Waiter, None] = OrderedDict()
        self._early: OrderedDict[Waiter, None] = OrderedDict()
        self._listening: OrderedDict[Waiter, None] = OrderedDict()
        self._phase: Phase = "queue"
        self.on_cancelled = on_cancelled

    def __len__(self) -> int:
        return len(self._all)

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self._all

    def join(self, http2_only: bool, on_phase: OnPhase | None, *, early: bool = False) -> Waiter:
        waiter = Waiter(self, http2_only, on_phase, early)
        self._all[waiter] = None
        if early:
            self._early[waiter] = None
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Idempotent."""
        self._all.pop(waiter, None)
        self._early.pop(waiter, None)
        self._listening.pop(waiter, None)

    def first(self) -> Waiter:
        return next(iter(self._all))

    def first_early(self) -> Waiter | None:
        """The first of those that may be sent before the server's SETTINGS have come."""
        return next(iter(self._early), None)

    def fail(self, error: BaseException) -> None:
        """Every call raises a copy of `error`."""
        for waiter in list(self._all):
            waiter.give(None, fresh(error))

    def fail_http2_only(self, error: BaseException) -> None:
        """Every call that HTTP/1.1 can't serve raises a copy of `error`."""
        for waiter in [waiter for waiter in self._all if waiter.http2_only]:
            waiter.give(None, fresh(error))

    # Phases.

    def listen(self, waiter: Waiter) -> None:
        """The call has to wait: from now on it is notified of each phase, beginning with the present one."""
        if waiter in self and waiter.on_phase is not None:
            self._listening[waiter] = None
            waiter.enter(self._phase)

    def announce(self, phase: Phase) -> None:
        """What all of them wait for now."""
        if phase != self._phase:
            self._phase = phase
            for waiter in list(self._listening):
                waiter.enter(phase)
