"""README's table is what a run measured, with the peers that are cheaper; and the documentation has every row.

The benchmarks are run as a program, as always: the tests do not have this tree on their path.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

RUN = {
    "environment": ["2026-11-27", "Python 3.11.7", "trio 0.35.0"],
    "notes": [],
    "rows": [
        {
            "name": "requests",
            "medians": {
                "ours": {"cpu": 40e-6, "wall": 50e-6},
                "go": {"cpu": 24e-6, "wall": 30e-6},
                "httpx2": {"cpu": 1000e-6, "wall": 1100e-6},
                "floor": {"cpu": 80e-6, "wall": 80e-6},
            },
            "failed": {"undici": "not installed: node"},
        },
        {
            "name": "opening",
            "medians": {"ours": {"cpu": 59e-6, "memory": 3100.0}, "aiohttp": {"cpu": 590e-6, "memory": 31000.0}},
            "failed": {},
        },
        {
            "name": "round-trips",
            "medians": {"ours": {"cpu": 0.01, "trips": 2.25}, "libcurl": {"cpu": 0.01, "trips": 2.19}},
            "failed": {},
        },
    ],
}


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True)


def generated(tmp_path: Path, page: str) -> tuple[subprocess.CompletedProcess[str], str]:
    run, readme = tmp_path / "run.json", tmp_path / "README.md"
    run.write_text(json.dumps(RUN))
    readme.write_text(page)
    return python("-m", "tests.benchmarks.readme", str(run), str(readme)), readme.read_text()


def test_the_table_shows_each_peer_cheaper_or_not(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text()
    done, text = generated(tmp_path, page)
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    assert ["a request, 32 at once on one connection", "40 µs", "httpx2 25×, Go 0.6×"] in rows
    assert ["opening a WebSocket over TLS, 1,000 of them", "59 µs", "aiohttp 10.0×"] in rows
    assert ["an idle WebSocket's memory", "3.1 KB", "aiohttp 10.0×"] in rows
    assert ["round trips of a first request, after TCP's", "2.25", "libcurl 2.19"] in rows


def test_the_page_around_the_table_is_kept(tmp_path: Path) -> None:
    page = (ROOT / "README.md").read_text()
    _, text = generated(tmp_path, page)
    begin, end = "<!-- costs", "<!-- /costs -->"
    assert text.partition(begin)[0] == page.partition(begin)[0]
    assert text.partition(end)[2] == page.partition(end)[2]


def test_date_versions_and_what_is_missing_are_shown(tmp_path: Path) -> None:
    _, text = generated(tmp_path, (ROOT / "README.md").read_text())
    assert "Client CPU, 2026-11-27" in text
    assert "Versions: Python 3.11.7, trio 0.35.0." in text
    assert "undici (not installed: node)" in text


def test_a_page_without_markers_is_not_changed(tmp_path: Path) -> None:
    done, text = generated(tmp_path, "no table here\n")
    assert done.returncode != 0
    assert "markers" in done.stderr
    assert text == "no table here\n"


def test_every_row_is_documented() -> None:
    done = python("-c", "from tests.benchmarks.rows import ROWS; print(*(row.name for row in ROWS))")
    assert done.returncode == 0, done.stderr
    page = (ROOT / "docs" / "explanation" / "performance.md").read_text()
    assert [name for name in done.stdout.split() if f"| `{name}`" not in page] == []


def test_every_client_of_a_row_is_known() -> None:
    code = (
        "from tests.benchmarks.rows import ROWS; from tests.benchmarks.clients import CLIENTS; "
        "print(*(c for row in ROWS if row.load != 'imports' for c in row.clients if c not in CLIENTS))"
    )
    done = python("-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
