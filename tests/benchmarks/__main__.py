"""python -m tests.benchmarks: see the package's docstring for what is measured and how."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pathlib
import pstats
import sys

from . import chart, readme, report, rounds
from .clients import CLIENTS
from .programs import ready
from .row import Row
from .rows import ROWS
from .servers.start import Sites, serving


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    names = [row.name for row in ROWS]
    parser.add_argument("--only", action="append", metavar="NAME", choices=names, help=", ".join(names))
    parser.add_argument("--rounds", type=int, default=5, help="runs of each client; the median counts (5)")
    parser.add_argument("--quick", action="store_true", help="one round and less work: not a measurement")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every sample as JSON")
    parser.add_argument("--chart", type=pathlib.Path, metavar="FILE.svg", help="draw the result as a chart")
    parser.add_argument(
        "--profile", type=pathlib.Path, metavar="DIR", help="instead, profile our client with cProfile"
    )
    parser.add_argument(
        "--npm",
        type=pathlib.Path,
        metavar="DIR",
        default=pathlib.Path(os.environ.get("TRIO_H2WS_NPM", ".nox/bench-npm")),
        help="where undici is, or will be installed if there is an npm ($TRIO_H2WS_NPM, or .nox/bench-npm)",
    )
    parser.add_argument("--readme", type=pathlib.Path, metavar="FILE.md", help="write the table into this file")
    return parser.parse_args()


def _show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def main() -> None:
    options = _options()
    chosen = [row for row in ROWS if not options.only or row.name in options.only]
    needs_servers = any(row.site for row in chosen)
    wanted = {CLIENTS[client].program for row in chosen for client in row.clients if client in CLIENTS} - {""}
    with (
        serving() if needs_servers else contextlib.nullcontext(Sites()) as sites,
        ready(set() if options.profile else wanted, options.npm) as programs,
    ):
        if options.profile:
            _profile(options, chosen, sites)
            return
        versions = report.environment([*sites.versions, *programs.versions()])
        print(", ".join(versions), *sites.notes, sep="\n")
        outcomes = []
        for row in chosen:
            count = 1 if options.quick else options.rounds
            site = sites.sites.get(row.site)
            outcome = rounds.run(row, site, count, options.quick, _show_progress, programs)
            _show_progress("")
            print("\n" + report.table(outcome), flush=True)
            outcomes.append(outcome)
    data = report.data(outcomes, versions, sites.notes)
    if options.json:
        options.json.write_text(json.dumps(data, indent=1))
    if options.readme:
        readme.write(options.readme, data)
    if options.chart:
        options.chart.write_text(chart.draw(outcomes, versions))


def _profile(options: argparse.Namespace, chosen: list[Row], sites: Sites) -> None:
    options.profile.mkdir(parents=True, exist_ok=True)
    for row in chosen:
        if row.load == "imports":
            continue
        path = options.profile / f"{row.name}.pstats"
        numbers = rounds.profile(row, sites.sites.get(row.site), options.quick, str(path))
        print(f"\n{row.name}: {numbers}")
        if isinstance(numbers, dict):
            pstats.Stats(str(path)).strip_dirs().sort_stats("tottime").print_stats(30)


if __name__ == "__main__":
    main()
