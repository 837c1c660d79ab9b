"""One task parked until it is woken: the idiom of every wait in this package, written once.

Parking is what Trio's own events and queues are made of: remember the current task, sleep, and forget the task in the
same step in which it is cancelled, so a wakeup is never spent on a task that will not see it.
"""

from __future__ import annotations

import trio


class ParkedTask:
    """A place where at most one task waits."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: trio.lowlevel.Task | None = None

    async def park(self, conflict: str = "another task waits here already") -> None:
        """Wait until `wake`. Raises trio.BusyResourceError(conflict) if a task is parked here already."""
        if self.task is not None:
            raise trio.BusyResourceError(conflict)
        self.task = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._abort)

    def _abort(self, _: object) -> trio.lowlevel.Abort:
        self.task = None
        self.on_cancelled()
        return trio.lowlevel.Abort.SUCCEEDED

    def on_cancelled(self) -> None:
        """For subclasses: called in the step in which the wait is cancelled, before the task runs again."""

    def wake(self) -> None:
        """Wake the parked task, if there is one."""
        task = self.task
        if task is not None:
            self.task = None
            trio.lowlevel.reschedule(task)


class Wakeups:
    """Counts the tasks that one dispatch of the reader wakes.

    A woken task will probably send. The writer asks for the count to decide whether to wait for them (`writer.py`).
    """

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def wake(self, parked: ParkedTask) -> None:
        """Wake the parked task, if there is one, and count it."""
        task = parked.task
        if task is not None:
            parked.task = None
            self.count += 1
            trio.lowlevel.reschedule(task)
