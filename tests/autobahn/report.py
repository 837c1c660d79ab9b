"""The suite's verdicts, as text and as a page of the documentation."""

from __future__ import annotations

import importlib.metadata
import json
import pathlib
import platform
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import trio_h2ws

from .client import Run, order
from .suite import VERSION

PASSED = ("OK", "INFORMATIONAL")
_COLUMNS = ("OK", "INFORMATIONAL", "NON-STRICT", "FAILED")
_SECTIONS = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Opcodes",
    5: "Fragmentation",
    6: "UTF-8 handling",
    7: "Close handling",
    9: "Limits and performance",
    10: "Auto-fragmentation",
    12: "Compression, different payloads",
    13: "Compression, different parameters",
}
_PAGE = """\
# Autobahn|Testsuite

The [Autobahn|Testsuite](https://github.com/crossbario/autobahn-testsuite) plays broken and unusual WebSocket traffic
to a client, and judges what the client makes of it. Here is its verdict on all of its cases over HTTP/2: the suite
stands behind HAProxy, which turns extended CONNECT (RFC 8441) into an HTTP/1.1 Upgrade and passes the frames on as
they are. All cases ran on one HTTP/2 connection.

**{passed} of {total} cases passed**, on {date}, in {duration}:
{versions}.

| section | cases | OK | informational | non-strict | failed |
|---|--:|--:|--:|--:|--:|
{sections}

OK: what the client did is what the RFC asks for, strictly, and so is how it closed. Informational: the suite tells
what the client did, and takes any answer. Non-strict: allowed by the RFC, but not the best; it counts as not passed.

{others}

`nox -s autobahn` runs it and writes this page. It needs HAProxy, and Python 2.7 for the suite, on `PATH` or in the
environment variable `PYTHON27`. `nox -s autobahn -- --cases '1.*,6.4.*'` runs a part, and writes nothing.
"""


@dataclass
class Verdict:
    case: str
    behavior: str
    """The suite's word: of the close, if only that is wrong."""
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.behavior in PASSED

    @property
    def column(self) -> str:
        """FAILED stands for all that is worse than NON-STRICT: UNIMPLEMENTED, WRONG CODE, UNCLEAN, NOT RUN, …"""
        return self.behavior if self.behavior in _COLUMNS else "FAILED"


def read(directory: pathlib.Path, agent: str, run: Run) -> list[Verdict]:
    """One verdict for each case that was to be run, in their order."""
    index = json.loads((directory / "index.json").read_text()).get(agent, {})
    verdicts = []
    for case in run.cases:
        entry = index.get(case)
        if entry is None:
            verdicts.append(Verdict(case, "NOT RUN", run.errors.get(case, "the suite's report does not have it")))
            continue
        details = json.loads((directory / entry["reportfile"]).read_text())
        behavior, reason = entry["behavior"], details["result"]
        if behavior in PASSED and entry["behaviorClose"] not in PASSED:
            behavior, reason = entry["behaviorClose"], details["resultClose"]
        if case in run.errors:
            reason += f" (The client: {run.errors[case]})"
        verdicts.append(Verdict(case, behavior, reason))
    return verdicts


def text(verdicts: Sequence[Verdict], seconds: float) -> str:
    lines = [f"{'':42}{'cases':>7}" + "".join(f"{name.lower():>15}" for name in _COLUMNS)]
    for title, cases, counts in _rows(verdicts):
        lines.append(f"{title:42}{cases:>7}" + "".join(f"{counts[name] or '–':>15}" for name in _COLUMNS))
    lines.append("")
    lines += [f"{one.case}: {one.behavior}: {one.reason}" for one in verdicts if one.behavior != "OK"]
    passed = sum(verdict.passed for verdict in verdicts)
    lines.append(f"cases passed: {passed} / {len(verdicts)}, over HTTP/2, in {_duration(seconds)}")
    return "\n".join(lines)


def page(verdicts: Sequence[Verdict], seconds: float, versions: Sequence[str]) -> str:
    sections = [
        f"| {title} | {cases} | " + " | ".join(str(counts[name] or "") for name in _COLUMNS) + " |"
        for title, cases, counts in _rows(verdicts)
    ]
    others = [
        f"| {one.case} | {one.behavior} | {one.reason.replace('|', ' ')} |"
        for one in verdicts
        if one.behavior != "OK"
    ]
    return _PAGE.format(
        passed=sum(verdict.passed for verdict in verdicts),
        total=len(verdicts),
        date=time.strftime("%Y-%m-%d"),
        duration=_duration(seconds),
        versions=", ".join(versions),
        sections="\n".join(sections),
        others="\n".join(["| case | verdict | the suite's words |", "|---|---|---|", *others]) if others else "",
    )


def versions(haproxy: str) -> list[str]:
    return [
        f"trio_h2ws {trio_h2ws.__version__}",
        *(f"{name} {importlib.metadata.version(name)}" for name in ("trio", "h2", "wsproto")),
        f"Python {platform.python_version()}",
        f"autobahntestsuite {VERSION}",
        f"HAProxy {haproxy}",
    ]


def _rows(verdicts: Sequence[Verdict]) -> list[tuple[str, int, Counter[str]]]:
    sections: dict[int, list[Verdict]] = {}
    for verdict in verdicts:
        sections.setdefault(order(verdict.case)[0], []).append(verdict)
    rows = [
        (f"{number} {_SECTIONS.get(number, '')}", len(some), Counter(one.column for one in some))
        for number, some in sections.items()
    ]
    return [*rows, ("all", len(verdicts), Counter(one.column for one in verdicts))]


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
