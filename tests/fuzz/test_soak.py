"""The soak for a few seconds with a fixed seed. `nox -s soak` runs it for minutes, with other seeds.

It runs in a separate process, since it counts every object, task and file that is left, and must not count those of
other tests.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import trio

from servers.program import need

pytestmark = pytest.mark.slow

PROGRAM = """
import runpy, sys
import trio_h2ws  # the one under test, before sys.path has the source tree
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("tests.soak", run_name="__main__", alter_sys=True)
"""


async def test_the_short_soak_leaves_nothing_over(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    run = await trio.run_process(
        [sys.executable, "-c", PROGRAM, str(root), "--short", "--seed", "8441"],
        cwd=tmp_path,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert run.returncode == 0, run.stdout.decode()


@pytest.mark.parametrize("proxy", ["haproxy", "nghttpx"])
async def test_reloads_of_a_proxy_lose_nothing(proxy: str, tmp_path: Path) -> None:
    need(proxy, "nghttp2-proxy" if proxy == "nghttpx" else proxy)
    root = Path(__file__).parents[2]
    run = await trio.run_process(
        [sys.executable, "-c", PROGRAM, str(root), "--minutes", "0.2", "--reloads", proxy],
        cwd=tmp_path,
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
    )
    assert run.returncode == 0, run.stdout.decode()
    assert " 0 lost" in run.stdout.decode()
