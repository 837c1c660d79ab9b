"""One task parked until it is woken: the idiom of every wait in this package, written once.

Parking is what Trio's own events and queues are made of: remember the current task, sleep, and forget the task in the
same step in which it is cancelled, so a wakeup is never spent on a task that will not see it.
"""

from __future__ import annotations

from collections.abc import Callable

import trio


class ParkedTask:
    """A place where at most one task waits."""

    __slots__ = ("_task",)

    def __init__(self) -> None:
        self._task: trio.lowlevel.Task | None = None

    async def park(
        self, conflict: str = "another task waits here already", cancelled: Callable[[], None] | None = None
    ) -> None:
        """Wait until `wake`. `cancelled()` is called in the step in which the wait is cancelled.

        Raises trio.BusyResourceError(conflict) if a task is parked here already.
        """
        if self._task is not None:
            raise trio.BusyResourceError(conflict)
        self._task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            if cancelled is not None:
                cancelled()
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def wake(self) -> bool:
        """Wake the parked task. Returns whether there was one."""
        task = self._task
        if task is None:
            return False
        self._task = None
        trio.lowlevel.reschedule(task)
        return True


class Wakeups:
    """Counts the tasks that one dispatch of the reader wakes.

    A woken task will probably send. The writer asks for the count to decide whether to wait for them (`writer.py`).
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def wake(self, parked: ParkedTask) -> bool:
        """Wake the task and count it. Returns whether there was one."""
        woken = parked.wake()
        self.count += woken
        return woken
