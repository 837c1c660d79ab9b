"""README's table from a run: python -m tests.benchmarks.readme RUN.json [README.md]

RUN.json is what `--json` wrote. Each peer that was measured is shown, cheaper or not: a ratio below 1 means that it
needs less than this library.
"""

from __future__ import annotations

import json
import pathlib
import sys
import textwrap
from typing import NamedTuple

from .clients import title
from .goals import FLOOR, OURS
from .report import MeasuredRow, Run, show

BEGIN = "<!-- costs: written by python -m tests.benchmarks.readme -->"
END = "<!-- /costs -->"


class Line(NamedTuple):
    """One line of the table: a metric of a row."""

    row: str
    text: str
    metric: str = "cpu"


LINES = (
    Line("requests", "a request, 32 at once on one connection"),
    Line("one-request", "a request, one at a time"),
    Line("http1-requests", "a request over HTTP/1.1, 32 at once"),
    Line("http1-one-request", "a request over HTTP/1.1, one at a time"),
    Line("round-trips", "round trips of a first request, after TCP's", "trips"),
    Line("opening", "opening a WebSocket over TLS, 1,000 of them"),
    Line("opening-http1", "opening one over HTTP/1.1 and TLS"),
    Line("opening", "an idle WebSocket's memory", "memory"),
    Line("echo-100", "an echo, 100 WebSockets"),
    Line("echo-1", "an echo, one WebSocket, one at a time"),
    Line("pipelined", "an echo, one WebSocket, pipelined"),
    Line("compressed", "an echo of compressed JSON, 50 WebSockets"),
    Line("large-message", "an echo of 1 MB"),
    Line("download", "a download of 100 MB"),
    Line("download-http1", "a download of 100 MB over HTTP/1.1"),
    Line("upload", "an upload of 100 MB"),
    Line("upload-http1", "an upload of 100 MB over HTTP/1.1"),
    Line("mixed", "an echo beside a download, 99 of 100 within", "busy_p99"),
    Line("mixed-upload", "an echo beside an upload, 99 of 100 within", "busy_p99"),
)


def _ratio(ratio: float) -> str:
    return f"{ratio:.0f}×" if ratio >= 20 else f"{ratio:.1f}×" if ratio >= 0.095 else f"{ratio:.2f}×"


def _against(row: MeasuredRow, metric: str, ours: float) -> str:
    values = {client: metrics[metric] for client, metrics in row["medians"].items() if metric in metrics}
    peers = sorted(set(values) - {OURS, FLOOR}, key=lambda client: -values[client])
    if metric == "trips":
        return ", ".join(f"{title(client)} {show(metric, values[client])}" for client in peers)
    # The floor has no IO: it is not a peer.
    return ", ".join(f"{title(client)} {_ratio(values[client] / ours)}" for client in peers)


def table(run: Run) -> str:
    """The paragraph with date and versions, and the table."""
    rows = {row["name"]: row for row in run["rows"]}
    cells = [("work", "trio_h2ws", "against")]
    for line in LINES:
        row = rows.get(line.row)
        ours = row["medians"].get(OURS, {}).get(line.metric) if row else None
        if row is None or not ours:
            continue
        cells.append((line.text, show(line.metric, ours), _against(row, line.metric, ours) or "–"))
    widths = [max(len(line[column]) for line in cells) for column in range(2)]
    lines = [f"| {line[0]:<{widths[0]}} | {line[1]:<{widths[1]}} | {line[2]} |" for line in cells]
    lines.insert(1, f"|{'-' * (widths[0] + 2)}|{'-' * (widths[1] + 2)}|---|")
    date, *versions = run["environment"]
    notes = [
        f"Client CPU, {date} (beside a transfer: the time of an echo). ×: a peer's number over ours, "
        "below 1 where the peer is cheaper.",
        f"Versions: {', '.join(versions)}.",
        *run["notes"],
    ]
    missing = {title(client): why[:80] for row in run["rows"] for client, why in row["failed"].items()}
    if missing:
        notes.append("Not measured: " + ", ".join(f"{name} ({why})" for name, why in missing.items()) + ".")
    wrapped = [textwrap.fill(note, 118, break_on_hyphens=False) for note in notes]
    return "\n".join([*wrapped, "", *lines])


def replaced(text: str, run: Run) -> str:
    """`text` with a new table between the markers."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers {BEGIN} and {END} are missing")
    return f"{before}{BEGIN}\n{table(run)}\n{END}{after}"


def write(path: pathlib.Path, run: Run) -> None:
    path.write_text(replaced(path.read_text(), run))


def main() -> None:
    run: Run = json.loads(pathlib.Path(sys.argv[1]).read_text())
    write(pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "README.md"), run)


if __name__ == "__main__":
    main()
