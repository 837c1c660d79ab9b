"""The soak for a few seconds with a fixed seed. `nox -s soak` runs it for minutes, with other seeds.

It runs in a separate process, since it counts every object, task and file that is left, and must not count those of
other tests.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trio


async def test_the_short_soak_leaves_nothing_over() -> None:
    # From tests/, so that the package that is imported is the installed one.
    run = await trio.run_process(
        [sys.executable, "-m", "soak", "--short", "--seed", "8441"],
        cwd=Path(__file__).parents[1],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert run.returncode == 0, run.stdout.decode()
