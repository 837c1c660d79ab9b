"""What a unit of work costs in another program: the difference of two runs, so that its start is not counted.

The CPU time is what the system says about the child once it has ended (`os.wait4`), all of its threads included.
"""

from __future__ import annotations

import dataclasses
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping

from ..servers.site import Site
from . import PROGRAMS, Programs
from .program import Ready, Work

_DEADLINE = 180


def units(load: str, options: Mapping[str, int], site: Site, http1: bool) -> Work:
    """The same work as that function of `loads` does."""
    if load == "requests":
        return Work(load, site.small, site.cafile, options["n"], options["at_once"], http1, 1024)
    if load == "opening":
        return Work(load, site.echo, site.cafile, options["n"], options["at_once"], http1, 0)
    url = site.upload if load == "upload" else site.large
    return Work(load, url, site.cafile, options.get("n", 4), 1, http1, options["size"])


def cost(programs: Programs, name: str, work: Work) -> dict[str, float] | str:
    """Of one unit; or why it could not be measured."""
    found = programs.found[name]
    if isinstance(found, str):
        return found
    # The first run has enough of the work in it for a JIT compiler and a pool of connections to be warm.
    few = work.count if work.count < 100 else max(work.count // 5, work.at_once)
    try:
        less_cpu, less_wall = _run(found, name, dataclasses.replace(work, count=few))
        more_cpu, more_wall = _run(found, name, dataclasses.replace(work, count=few + work.count))
    except (ValueError, OSError) as error:
        return str(error)
    return {"cpu": (more_cpu - less_cpu) / work.count, "wall": (more_wall - less_wall) / work.count}


def _run(found: Ready, name: str, work: Work) -> tuple[float, float]:
    program = PROGRAMS[name]
    with tempfile.TemporaryFile("w+") as output:
        start = time.perf_counter()
        process = subprocess.Popen(
            [*found.command, *program.arguments(work)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        timer = threading.Timer(_DEADLINE, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if process.returncode:
        last = text.strip().splitlines()[-1:] or [""]
        raise ValueError(f"exit status {process.returncode}: {last[0]}")
    program.check(work, text)
    return usage.ru_utime + usage.ru_stime, wall
