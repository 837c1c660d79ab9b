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

from .clients import CLIENTS
from .goals import OURS
from .programs import Programs, measure
from .row import Row
from .servers.site import Site

_DEADLINE = 180
# Without bytecode files, `import` would compile anew each time, and only the modules of this checkout.
_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

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


def _setting(row: Row, client: str) -> dict[str, bool]:
    return {**row.setting, **CLIENTS[client].setting}


def _command(row: Row, client: str, site: Site | None, quick: bool, profile: str | None) -> list[str]:
    options: dict[str, Any] = {**row.options, **(row.quick if quick else {}), **row.only.get(client, {})}
    if row.load == "imports":
        return [sys.executable, "-c", _IMPORT.format(**options)]
    assert site is not None
    order = {
        "client": client,
        "load": row.load,
        "setting": _setting(row, client),
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


def _numbers(row: Row, client: str, site: Site | None, quick: bool, programs: Programs) -> dict[str, float] | str:
    program = CLIENTS[client].program if client in CLIENTS else ""
    if not program:
        return once(_command(row, client, site, quick, None))
    assert site is not None
    options: dict[str, Any] = {**row.options, **(row.quick if quick else {}), **row.only.get(client, {})}
    http1 = _setting(row, client).get("http1", False)
    return measure.cost(programs, program, measure.units(row.load, options, site, http1))


def run(
    row: Row,
    site: Site | None,
    rounds: int,
    quick: bool,
    progress: Callable[[str], None],
    programs: Programs,
) -> Outcome:
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
            numbers = _numbers(row, client, site, quick, programs)
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
