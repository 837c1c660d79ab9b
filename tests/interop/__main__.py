"""python -m tests.interop: see the package's docstring for what is done and how."""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import sys

from ..support.servers.program import find
from . import report
from .runner import Row, Runner
from .servers import SERVERS, Server

FAILED = 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.interop", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only servers that install within a minute")
    parser.add_argument("--only", action="append", metavar="NAME", help="only servers with NAME in their name")
    parser.add_argument("--list", action="store_true", help="list what is installed, and where to get the rest")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE.md", help="write the page of the documentation")
    parser.add_argument("--accept", action="store_true", help="compare later runs with this one")
    parser.add_argument(
        "--npm",
        type=pathlib.Path,
        metavar="DIR",
        default=pathlib.Path(".nox/interop-npm"),
        help="where npm's packages are, or will be installed if there is an npm (.nox/interop-npm)",
    )
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Server]:
    chosen = [server for server in SERVERS if server.quick or not options.quick]
    if options.only:
        chosen = [s for s in chosen if any(word.lower() in s.name.lower() for word in options.only)]
    return chosen


def _install_npm(servers: list[Server], directory: pathlib.Path) -> None:
    """Install the newest npm packages. Without npm or a network, the ones already there are used."""
    npm = find("npm")
    packages = [server.package for server in servers if server.source.startswith("npm ")]
    if npm is None or not packages:
        return
    directory.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(directory), *packages]
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _show_progress(line: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _list(servers: list[Server], npm: pathlib.Path) -> None:
    for server in servers:
        version = server.found(npm.absolute())
        print(f"{server.name:<26}{version or 'not installed: ' + server.source}")


def _run(runner: Runner, server: Server, expected: report.Table) -> Row:
    """Run a server, and once more if it did worse than expected: on a busy machine a server may miss a deadline."""
    row = runner.run(server)
    if report.compare([row], expected)[0]:
        row = runner.run(server)
    return row


def main() -> int:
    options = _options()
    servers = _chosen(options)
    _install_npm(servers, options.npm)
    if options.list:
        _list(servers, options.npm)
        return 0
    runner, expected = Runner(options.npm, _show_progress), report.load_expected()
    with runner.open():
        rows = [_run(runner, server, expected) for server in servers]
    _show_progress("")
    worse, other = report.compare(rows, expected)
    if options.json:
        print(json.dumps(report.as_json(rows), indent=1, ensure_ascii=False))
    else:
        print(report.text(rows))
    out = sys.stderr if options.json else sys.stdout
    not_run = [row.server.name for row in rows if not row.ran]
    for title, lines in (("Worse than expected", worse), ("Changed", other), ("Not run", not_run)):
        if lines:
            print(f"{title}:", *lines, sep="\n  ", file=out)
    if options.write:
        options.write.write_text(report.page(rows))
    if options.accept:
        report.accept(rows)
    return FAILED if worse else 0


if __name__ == "__main__":
    sys.exit(main())
