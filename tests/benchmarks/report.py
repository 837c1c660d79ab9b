"""The result as text, and as data."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import platform
import time
from collections.abc import Iterable, Mapping
from typing import TypedDict

from .clients import title
from .goals import OURS
from .rounds import Outcome

_LIBRARIES = (
    "trio-h2ws",
    "trio",
    "h2",
    "hpack",
    "wsproto",
    "httpx",
    "httpx2",
    "httpcore2",
    "trio-websocket",
    "websockets",
    "aiohttp",
    "picows",
    "rnet",
    "uvloop",
    "isal",
)
_HEADS = {"cpu": "CPU", "wall": "wall", "quiet": "quiet, slowest", "busy": "busy, slowest", "early": "CPU, 100th"}
_HEADS |= {"trips": "round trips", "rate": "rate"}


def environment(servers: Iterable[str]) -> list[str]:
    """The date, then the version of everything that took part."""
    found = [time.strftime("%Y-%m-%d"), f"Python {platform.python_version()}"]
    for library in _LIBRARIES:
        try:
            found.append(f"{library} {importlib.metadata.version(library)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    with contextlib.suppress(ImportError):  # the version of pycurl says little
        found.append(f"libcurl {importlib.import_module('pycurl').version_info()[1]}")
    return [*found, *servers]


def show(metric: str, value: float) -> str:
    if metric == "memory":
        return f"{value / 1000:,.1f} KB"
    if metric == "rate":
        return f"{value / 1e6:,.1f} MB/s"
    if metric == "trips":
        return f"{value:.2f}"
    if metric in ("growth", "slowdown"):
        return f"{value:.2f}×"
    return f"{value * 1e6:,.0f} µs" if value < 0.01 else f"{value * 1e3:,.1f} ms"


def table(outcome: Outcome) -> str:
    """One row of the report: what each client needed, compared with ours, and the goals."""
    row, medians = outcome.row, outcome.medians()
    lines = [f"{row.name}: {row.title} (each {row.unit})"]
    heads = [_HEADS.get(metric, metric.replace("_", " ")) for metric in row.metrics]
    lines.append("  " + " " * 24 + "".join(f"{head:>16}" for head in heads) + f"{'CPU / ours':>12}")
    ours = medians.get(OURS, {}).get("cpu")
    for client in row.clients:
        name = title(client)
        if client in outcome.failed:
            lines.append(f"  {name:<24}{outcome.failed[client][:90]:>14}")
            continue
        metrics = medians[client]
        cells = [show(metric, metrics[metric]) if metric in metrics else "–" for metric in row.metrics]
        ratio = f"{metrics['cpu'] / ours:.2f}×" if ours and "cpu" in metrics else ""
        lines.append(f"  {name:<24}" + "".join(f"{cell:>16}" for cell in cells) + f"{ratio:>12}")
    for goal in row.goals:
        measured = goal.measured(medians)
        if measured is None:
            lines.append(f"  goal: {goal.text}: not measured")
        else:
            verdict = "met" if goal.met(measured) else "NOT MET"
            lines.append(f"  goal: {goal.text}: {measured:.2f} – {verdict}")
    return "\n".join(lines)


class Checked(TypedDict):
    goal: str
    measured: float | None
    met: bool | None


class MeasuredRow(TypedDict):
    """By client and then by metric."""

    name: str
    title: str
    unit: str
    medians: Mapping[str, Mapping[str, float]]
    samples: Mapping[str, Mapping[str, list[float]]]
    failed: Mapping[str, str]
    goals: list[Checked]


class Run(TypedDict):
    environment: list[str]
    notes: list[str]
    rows: list[MeasuredRow]


def data(outcomes: Iterable[Outcome], versions: list[str], notes: list[str]) -> Run:
    """For `--json`: every sample, the medians, the goals."""
    return {
        "environment": versions,
        "notes": notes,
        "rows": [_row(outcome) for outcome in outcomes],
    }


def _row(outcome: Outcome) -> MeasuredRow:
    row, medians = outcome.row, outcome.medians()
    goals: list[Checked] = []
    for goal in row.goals:
        measured = goal.measured(medians)
        met = None if measured is None else goal.met(measured)
        goals.append({"goal": goal.text, "measured": measured, "met": met})
    return {
        "name": row.name,
        "title": row.title,
        "unit": row.unit,
        "medians": medians,
        "samples": outcome.samples,
        "failed": outcome.failed,
        "goals": goals,
    }
