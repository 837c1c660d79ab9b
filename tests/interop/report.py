"""The table, for the terminal, as JSON and as a page of the documentation; and which cells got worse."""

from __future__ import annotations

import json
import pathlib
import textwrap
import time
from collections.abc import Sequence
from typing import Any

import trio_h2ws

from .cells import CELLS, Cell
from .runner import Row

Table = dict[str, dict[str, Cell]]
EXPECTED = pathlib.Path(__file__).parent / "expected.json"
_SHORT = [name for name in CELLS if name != "settings"]
_MARK = {2: "", 1: "", 0: "✗ "}


def as_json(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        row.server.name: {
            "version": row.version,
            "not run": None if row.ran else (row.error or f"not installed: {row.server.source}"),
            "cells": {name: {"grade": cell.grade, "text": cell.text} for name, cell in row.cells.items()},
        }
        for row in rows
    }


def text(rows: Sequence[Row]) -> str:
    """For the terminal: one block per server, since eleven columns are too wide."""
    lines = []
    for row in rows:
        if not row.ran:
            lines += [f"{row.server.name}: not run ({_why(row)})", ""]
            continue
        lines.append(f"{row.server.name} {row.version}")
        for name, cell in row.cells.items():
            lines.append(f"  {'✗' if cell.grade == 0 else ' '} {name:<22} {cell.text}")
        lines.append("")
    return "\n".join(lines)


def _why(row: Row) -> str:
    if row.error is not None:
        return textwrap.shorten(row.error, 300)
    return f"not installed: {row.server.source}"


# The comparison with the last accepted run.


def load_expected() -> Table:
    if not EXPECTED.exists():
        return {}
    found = json.loads(EXPECTED.read_text())
    return {
        server: {name: Cell(cell["grade"], cell["text"]) for name, cell in entry["cells"].items()}
        for server, entry in found.items()
    }


def accept(rows: Sequence[Row]) -> None:
    """Later runs are compared with this one; servers that were not run keep their old entries."""
    found = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {}
    for name, entry in as_json([row for row in rows if row.ran]).items():
        found[name] = {"version": entry["version"], "cells": entry["cells"]}
    EXPECTED.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def compare(rows: Sequence[Row], expected: Table) -> tuple[list[str], list[str]]:
    """What got worse, and what is only different."""
    worse, other = [], []
    for row in rows:
        known = expected.get(row.server.name)
        if known is None:
            other += [f"{row.server.name}: not seen before"] if row.ran else []
            continue
        if row.error is not None:
            worse.append(f"{row.server.name}: no longer starts")
        for name, cell in row.cells.items():
            before = known.get(name)
            if before is None:
                other.append(f"{row.server.name}, {name}: new: {cell.text}")
            elif cell.grade < before.grade:
                worse.append(f"{row.server.name}, {name}: {cell.text} (before: {before.text})")
            elif cell != before:
                other.append(f"{row.server.name}, {name}: {cell.text} (before: {before.text})")
    return worse, other


# The page.

_PAGE = """\
# Servers

How this client works with each server, as `nox -s interop` found it on {date} with trio_h2ws {version}. The
proxies forward to Hypercorn. "✗" marks what does not work; everything else does.

{table}

A WebSocket uses HTTP/2 where the server's first SETTINGS allow it (RFC 8441), else a separate HTTP/1.1 connection,
with the reason in brackets. "Ten beside a download" is ten WebSockets that exchange messages during a download of
20 MB, with the number of connections that carried the WebSockets. "Closing" is one WebSocket closed by us, one by the
server, and a third that must not be affected. "Graceful stop" is what the client sees within three seconds of the
signal that asks the server to stop.

## Settings

{settings}

## Quirks

{quirks}
"""


def _rows(table: list[list[str]]) -> str:
    head, *rest = table
    lines = [head, ["---"] * len(head), *rest]
    return "\n".join("| " + " | ".join(word.replace("|", "\\|") for word in line) + " |" for line in lines)


def page(rows: Sequence[Row]) -> str:
    table = [["server", *_SHORT]]
    settings = [["server", "its first SETTINGS"]]
    quirks = []
    for row in rows:
        if not row.ran:
            table.append([row.server.name, "not run", *[""] * (len(_SHORT) - 1)])
            continue
        cells = [row.cells[name] for name in _SHORT]
        table.append([f"{row.server.name} {row.version}", *[f"{_MARK[cell.grade]}{cell.text}" for cell in cells]])
        settings.append([row.server.name, row.cells["settings"].text])
        if row.server.quirks:
            quirks.append(f"- **{row.server.name}.** {row.server.quirks}")
    return _PAGE.format(
        date=time.strftime("%Y-%m-%d"),
        version=trio_h2ws.__version__,
        table=_rows(table),
        settings=_rows(settings),
        quirks="\n".join(quirks),
    )
