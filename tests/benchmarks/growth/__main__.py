"""python -m tests.benchmarks.growth: see the package's docstring for what is measured and how."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import pathlib
import platform
import pstats
import statistics
import subprocess
import sys

from . import plot
from .curves import CURVES, FLAT, Curve
from .servers import serving, version

_DEADLINE = 170

Samples = dict[tuple[str, int], list[dict[str, float]]]
"""By load and size, the numbers of each round."""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    names = [curve.name for curve in CURVES]
    parser.add_argument("--only", action="append", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=5, help="runs of each point; the median counts (5)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample as JSON")
    parser.add_argument("--chart", type=pathlib.Path, metavar="FILE.svg", help="draw the curves")
    parser.add_argument("--profile", type=pathlib.Path, metavar="DIR", help="instead, profile each point once")
    return parser.parse_args()


def _measure(load: str, size: int, port: int, *profile: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.growth.points", load, str(size), str(port), *profile]
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE)
    if done.returncode:
        sys.exit(f"{load}, {size}: {done.stderr}")
    numbers: dict[str, float] = json.loads(done.stdout)
    return numbers


def _points(curves: list[Curve], ports: dict[str, int]) -> list[tuple[str, int]]:
    """Each once, although one may belong to several curves."""
    points = [(curve.load, size) for curve in curves for size in curve.sizes if curve.load in ports]
    return list(dict.fromkeys(points))


def _profile(points: list[tuple[str, int]], ports: dict[str, int], directory: pathlib.Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for load, size in points:
        path = str(directory / f"{load}-{size}.pstats")
        print(f"\n{load}, {size}: {_measure(load, size, ports[load], path)}")
        pstats.Stats(path).strip_dirs().sort_stats("tottime").print_stats(25)


def medians(curve: Curve, samples: Samples, metric: str) -> dict[int, float]:
    """By size; empty if it was not measured."""
    return {
        size: statistics.median(numbers[metric] for numbers in samples[curve.load, size])
        for size in curve.sizes
        if metric in samples.get((curve.load, size), [{}])[0]
    }


def _show(metric: str, value: float) -> str:
    return f"{value / 1000:.1f} KB" if metric == "memory" else f"{value * 1e6:.0f} µs"


def _table(curves: list[Curve], samples: Samples) -> str:
    columns = sorted({size for curve in curves for size in curve.sizes})
    rows = [["", *(f"{size:,}" for size in columns), "last over", "of it, the collector"]]
    for curve in curves:
        values = medians(curve, samples, curve.metric)
        if not values:
            continue
        ratio = values[curve.sizes[-1]] / values[curve.reference]
        collector = medians(curve, samples, "collector").get(curve.sizes[-1])
        rows.append(
            [
                curve.title,
                *(_show(curve.metric, values[size]) if size in values else "" for size in columns),
                f"{curve.reference:,}: {ratio:.2f}×" + (" (not flat)" if ratio > FLAT else ""),
                _show("cpu", collector) if collector is not None else "",
            ]
        )
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


def main() -> None:
    options = _options()
    curves = [curve for curve in CURVES if not options.only or curve.name in options.only]
    samples: Samples = {}
    with serving() as ports:
        points = _points(curves, ports)
        if options.profile:
            _profile(points, ports, options.profile)
            return
        for turn in range(options.rounds):
            for load, size in points:
                if sys.stderr.isatty():
                    print(f"\r\x1b[Kround {turn + 1}: {load}, {size}", end="", file=sys.stderr, flush=True)
                samples.setdefault((load, size), []).append(_measure(load, size, ports[load]))
    versions = [f"Python {platform.python_version()}", f"trio {importlib.metadata.version('trio')}", version()]
    print("\n" + ", ".join(versions) + "\n\n" + _table(curves, samples))
    if options.json:
        listed = [{"load": load, "size": size, "rounds": rounds} for (load, size), rounds in samples.items()]
        options.json.write_text(json.dumps({"versions": versions, "points": listed}, indent=1))
    if options.chart:
        drawn = {curve: medians(curve, samples, curve.metric) for curve in curves}
        options.chart.write_text(plot.draw({curve: values for curve, values in drawn.items() if values}))


if __name__ == "__main__":
    main()
