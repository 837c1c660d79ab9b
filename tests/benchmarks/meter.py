"""CPU time, wall time and memory of this process."""

from __future__ import annotations

import cProfile
import gc
import os
import resource
import time
from types import TracebackType

_PAGE = resource.getpagesize()

profiler: cProfile.Profile | None = None
"""If set, it profiles what meters measure, and nothing else."""


class Meter:
    """`with Meter() as meter: work()`, then `meter.each(n)`: seconds of CPU and wall time for each of n."""

    def __enter__(self) -> Meter:
        gc.collect()
        self._system = resource.getrusage(resource.RUSAGE_SELF).ru_stime
        self._wall = time.perf_counter()
        self._cpu = time.process_time()
        if profiler is not None:
            profiler.enable()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if profiler is not None:
            profiler.disable()
        self.cpu = time.process_time() - self._cpu
        self.wall = time.perf_counter() - self._wall
        self.system = resource.getrusage(resource.RUSAGE_SELF).ru_stime - self._system

    def each(self, n: int) -> dict[str, float]:
        return {"cpu": self.cpu / n, "wall": self.wall / n, "system": self.system / n}


def resident() -> int:
    """Resident bytes of this process, after a garbage collection."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * _PAGE


def end_at_once() -> None:
    """Exit without closing a thousand sockets gracefully."""
    os._exit(0)
