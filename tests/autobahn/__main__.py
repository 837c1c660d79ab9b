"""python -m tests.autobahn: see the package's docstring for what is run and how."""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
import time

import trio

from . import client, proxy, report, suite

FAILED, NOT_RUN = 1, 2


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=__doc__)
    parser.add_argument("--cases", default="*", metavar="LIST", help="which cases, such as '1.*,6.4.*' (all)")
    parser.add_argument(
        "--http", action="append", choices=("2", "1.1"), help="which protocol; may be given twice (both)"
    )
    parser.add_argument("--table", type=pathlib.Path, metavar="FILE.md", help="write the page of the documentation")
    parser.add_argument("--report", type=pathlib.Path, metavar="DIR", help="keep the suite's own report here")
    parser.add_argument(
        "--env",
        type=pathlib.Path,
        metavar="DIR",
        default=pathlib.Path(".nox/autobahn-suite"),
        help="the suite's Python 2.7 environment, created if missing (.nox/autobahn-suite)",
    )
    parser.add_argument("--wide", type=int, default=16, metavar="N", help="cases at once (16)")
    parser.add_argument(
        "--heavy-wide", type=int, default=3, metavar="N", help="cases of sections 9, 12 and 13 at once (3)"
    )
    options = parser.parse_args()
    if options.table and options.cases != "*":
        parser.error("--table needs the results of all cases: leave out --cases")
    return options


def _show_progress(line: str) -> None:
    end, start = ("", "\r\x1b[K") if sys.stderr.isatty() else ("\n", "")
    print(f"{start}{line}", end=end, file=sys.stderr, flush=True)


def main() -> int:
    options = _options()
    with tempfile.TemporaryDirectory() as temporary:
        private = pathlib.Path(temporary)
        kept = (options.report or private / "report").absolute()
        kept.mkdir(parents=True, exist_ok=True)
        try:
            haproxy = proxy.find()
            wstest = suite.install(options.env.absolute())
        except suite.NotRun as error:
            print(f"not run: {error}", file=sys.stderr)
            return NOT_RUN
        with (
            suite.serving(wstest, options.cases.split(","), kept) as port,
            proxy.serving(haproxy, port, private) as (url, context),
        ):
            runs = [
                trio.run(
                    client.run, url, context, f"HTTP/{version}", options.wide, options.heavy_wide, _show_progress
                )
                for version in options.http or ("2", "1.1")
            ]
        results = [report.read(kept, run) for run in runs]
    if sys.stderr.isatty():
        _show_progress("")
    versions = report.versions(proxy.version(haproxy))
    print(", ".join([time.strftime("%Y-%m-%d"), *versions]))
    for result in results:
        print(f"\n{result.text()}")
    if options.table:
        options.table.write_text(report.page(results, versions))
    return 0 if all(result.passed for result in results) else FAILED


if __name__ == "__main__":
    sys.exit(main())
