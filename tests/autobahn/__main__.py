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
AGENT = "trio_h2ws"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.autobahn", description=__doc__)
    parser.add_argument("--cases", default="*", metavar="LIST", help="which cases, such as '1.*,6.4.*' (all)")
    parser.add_argument("--table", type=pathlib.Path, metavar="FILE.md", help="write the page of the documentation")
    parser.add_argument("--report", type=pathlib.Path, metavar="DIR", help="keep the suite's own report here")
    parser.add_argument(
        "--env",
        type=pathlib.Path,
        metavar="DIR",
        default=pathlib.Path(".nox/autobahn-suite"),
        help="the suite's Python 2.7 environment; made if it is not there (.nox/autobahn-suite)",
    )
    parser.add_argument("--wide", type=int, default=16, metavar="N", help="cases at once (16)")
    parser.add_argument("--heavy-wide", type=int, default=3, metavar="N", help="of sections 9, 12 and 13 (3)")
    options = parser.parse_args()
    if options.table and options.cases != "*":
        parser.error("--table tells of all cases: it does not go with --cases")
    return options


def _tell(line: str) -> None:
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
            run = trio.run(client.run, url, context, AGENT, options.wide, options.heavy_wide, _tell)
        verdicts = report.read(kept, AGENT, run)
    if sys.stderr.isatty():
        _tell("")
    versions = report.versions(proxy.version(haproxy))
    print(", ".join([time.strftime("%Y-%m-%d"), *versions]))
    print(report.text(verdicts, run.seconds))
    if options.table:
        options.table.write_text(report.page(verdicts, run.seconds, versions))
    return 0 if verdicts and all(verdict.passed for verdict in verdicts) else FAILED


if __name__ == "__main__":
    sys.exit(main())
