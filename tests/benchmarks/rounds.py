"""Running one row: its clients take turns, each time in a new process, and the median of the rounds counts."""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .goals import OURS
from .rows import Row
from .servers.site import Site

_DEADLINE = 180
# Without bytecode files, `import` would compile anew each time, and only the modules of this checkout.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

# These adapters have a different name than their library, so that they do not shadow it.
_KITS = {"httpx": "httpx_", "httpx2": "httpx2_", "httpcore2": "httpcore2_"}
_KITS |= {"trio_websocket": "trio_websocket_", "aiohttp": "aiohttp_"}

_IMPORT = """
import json, time
wall, cpu = time.perf_counter(), time.process_time()
import {modules}
print(json.dumps({{"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}}))
"""


@dataclass
class Outcome:
    """One row's numbers: for each client and metric, one per round. `failed`: the clients that could not, and why."""

    row: Row
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def medians(self) -> dict[str, dict[str, float]]:
        return {
            client: {metric: statistics.median(values) for metric, values in metrics.items()}
            for client, metrics in self.samples.items()
        }


def _command(row: Row, client: str, site: Site | None, quick: bool, profile: str | None) -> list[str]:
    options: dict[str, Any] = {**row.options, **(row.quick if quick else {}), **row.only.get(client, {})}
    if row.load == "imports":
        return [sys.executable, "-c", _IMPORT.format(**options)]
    assert site is not None
    order = {
        "client": _KITS.get(client, client),
        "load": row.load,
        "options": options,
        "site": dataclasses.asdict(site),
        "profile": profile,
    }
    return [sys.executable, "-m", "tests.benchmarks.worker", json.dumps(order)]


def once(command: list[str]) -> dict[str, float] | str:
    """What one process measured, or why it could not."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE, env=_ENVIRONMENT)
    except subprocess.TimeoutExpired:
        return f"not finished within {_DEADLINE} s"
    if done.returncode:
        # The traceback of an exception group has a margin.
        lines = [line.strip(" |+-") for line in done.stderr.splitlines()]
        return next((line for line in reversed(lines) if line), f"exit status {done.returncode}")
    numbers: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    if "missing" in numbers:
        return f"not installed: {numbers['missing']}"
    return numbers


def run(row: Row, site: Site | None, rounds: int, quick: bool, progress: Callable[[str], None]) -> Outcome:
    """Run all rounds of one row. `progress` gets a line before each run."""
    outcome = Outcome(row)
    rounds = min(rounds, row.rounds)
    if row.load == "imports":
        once(_command(row, OURS, site, quick, None))  # writes the bytecode
    for turn in range(rounds):
        for client in row.clients:
            if client in outcome.failed:
                continue
            progress(f"{row.name}: round {turn + 1} of {rounds}, {client}")
            numbers = once(_command(row, client, site, quick, None))
            if isinstance(numbers, str):
                outcome.failed[client] = numbers
                continue
            metrics = outcome.samples.setdefault(client, {})
            for metric, value in numbers.items():
                metrics.setdefault(metric, []).append(value)
    return outcome


def profile(row: Row, site: Site | None, quick: bool, path: str) -> dict[str, float] | str:
    """Run our client's part of a row under cProfile, which writes its statistics to `path`."""
    return once(_command(row, OURS, site, quick, path))
