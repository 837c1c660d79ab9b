"""The first cases of each fuzzer. `nox -s fuzz` runs others, for longer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = """
import runpy, sys
import trio_h2ws  # the one under test, before sys.path has the source tree
sys.path.insert(0, sys.argv.pop(1))
runpy.run_module("tests.fuzz", run_name="__main__", alter_sys=True)
"""
NAMES = ("arguments", "cancellation", "http1", "http2", "misuse", "websocket")


def run_fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_first_cases_hold(name: str) -> None:
    done = run_fuzz("--only", name, "--seed", "1", "--cases", "150")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "150 cases, seeds 1 to 150" in done.stdout


def test_a_failure_prints_the_seed_that_repeats_it(tmp_path: Path) -> None:
    broken = "import sys; from tests.fuzz import fuzzers; fuzzers.FUZZERS['http2'] = lambda seed: 1 / (seed - 7)\n"
    program = PROGRAM.replace("runpy.run_module", f"{broken}runpy.run_module")
    command = [sys.executable, "-c", program, str(ROOT), "--only", "http2", "--seed", "5", "--cases", "4"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "http2 failed: repeat it with --only http2 --seed 7 --cases 1" in done.stdout


EVERY = """
import sys
import trio_h2ws
sys.path.insert(0, sys.argv[1])
from tests.fuzz import cancellation
from tests.fuzz.mutations import run
for call in cancellation.CALLS:
    for http2 in ("require", "never"):
        async def once():
            print(await cancellation.at_every_checkpoint(call, http2))
        run(once)
"""


@pytest.mark.slow
def test_every_call_may_be_cancelled_at_every_checkpoint() -> None:
    command = [sys.executable, "-c", EVERY, str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = [int(line) for line in done.stdout.split()]
    assert len(steps) == 18
    assert min(steps) >= 1
    assert max(steps) > 10
