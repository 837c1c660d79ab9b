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

The [Autobahn|Testsuite](https://github.com/crossbario/autobahn-testsuite) sends broken and unusual WebSocket traffic
to a client and judges how the client handles it. This page has its verdict on every case. The suite speaks HTTP/1.1
without TLS; HAProxy, in front of it, accepts TLS, turns extended CONNECT (RFC 8441) into an HTTP/1.1 Upgrade, and
passes the frames on unchanged. Over HTTP/2 all cases ran on one connection.

On {date}: {versions}.
{results}
OK: the client did strictly what the RFC asks for, and closed as it should. Informational: the suite reports what the
client did, and accepts any behaviour. Non-strict: allowed by the RFC, but not ideal; it counts as not passed.

`nox -s autobahn` runs the suite and writes this page. It needs HAProxy, and Python 2.7 for the suite, on `PATH` or
named by the environment variables `HAPROXY` and `PYTHON27`. `nox -s autobahn -- --http 2 --cases '1.*,6.4.*'` runs
some of the cases and writes nothing.
"""
_RESULT = """
## Over {protocol}

**{passed} of {total} cases passed**, in {duration}.

| section | cases | OK | informational | non-strict | failed |
|---|--:|--:|--:|--:|--:|
{sections}
"""
_OTHERS = """
| case | verdict | the suite's words |
|---|---|---|
{others}
"""


@dataclass
class Verdict:
    case: str
    behavior: str
    """The suite's verdict; on the close, if only the close was wrong."""
    reason: str = ""

    @property
    def passed(self) -> bool:
        return self.behavior in PASSED

    @property
    def column(self) -> str:
        """FAILED covers everything worse than NON-STRICT: UNIMPLEMENTED, WRONG CODE, UNCLEAN, NOT RUN, …"""
        return self.behavior if self.behavior in _COLUMNS else "FAILED"


@dataclass
class Result:
    """The verdict on each case that should have run, in order."""

    protocol: str
    verdicts: list[Verdict]
    seconds: float

    @property
    def passed(self) -> bool:
        return bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)

    @property
    def count(self) -> int:
        return sum(verdict.passed for verdict in self.verdicts)

    @property
    def duration(self) -> str:
        return f"{self.seconds:.0f} s" if self.seconds < 120 else f"{self.seconds / 60:.0f} min"

    def rows(self) -> list[tuple[str, int, Counter[str]]]:
        """For each section and for the total: the title, the number of cases, and the count in each column."""
        sections: dict[int, list[str]] = {}
        for verdict in self.verdicts:
            sections.setdefault(order(verdict.case)[0], []).append(verdict.column)
        rows = [
            (f"{number} {_SECTIONS.get(number, '')}", len(columns), Counter(columns))
            for number, columns in sections.items()
        ]
        return [*rows, ("all", len(self.verdicts), Counter(verdict.column for verdict in self.verdicts))]

    def text(self) -> str:
        lines = [f"{'over ' + self.protocol:38}{'cases':>7}" + "".join(f"{name.lower():>15}" for name in _COLUMNS)]
        for title, cases, counts in self.rows():
            lines.append(f"{title:38}{cases:>7}" + "".join(f"{counts[name] or '–':>15}" for name in _COLUMNS))
        lines += [f"{one.case}: {one.behavior}: {one.reason}" for one in self.verdicts if one.behavior != "OK"]
        lines.append(f"cases passed over {self.protocol}: {self.count} / {len(self.verdicts)}, in {self.duration}")
        return "\n".join(lines)

    def section(self) -> str:
        """This result's part of the page."""
        sections = [
            f"| {title} | {cases} | " + " | ".join(str(counts[name] or "") for name in _COLUMNS) + " |"
            for title, cases, counts in self.rows()
        ]
        text = _RESULT.format(
            protocol=self.protocol,
            passed=self.count,
            total=len(self.verdicts),
            duration=self.duration,
            sections="\n".join(sections),
        )
        others = [
            f"| {one.case} | {one.behavior} | {one.reason.replace('|', ' ')} |"
            for one in self.verdicts
            if one.behavior != "OK"
        ]
        return text + (_OTHERS.format(others="\n".join(others)) if others else "")


def read(directory: pathlib.Path, run: Run) -> Result:
    """The suite's verdicts on one run. Its report grows with each run, so read it after the last."""
    index = json.loads((directory / "index.json").read_text()).get(run.agent, {})
    verdicts = []
    for case in run.cases:
        entry = index.get(case)
        if entry is None:
            verdicts.append(Verdict(case, "NOT RUN", run.errors.get(case, "missing from the suite's report")))
            continue
        details = json.loads((directory / entry["reportfile"]).read_text())
        behavior, reason = entry["behavior"], details["result"]
        if behavior in PASSED and entry["behaviorClose"] not in PASSED:
            behavior, reason = entry["behaviorClose"], details["resultClose"]
        if case in run.errors:
            behavior, reason = "FAILED", f"{reason} (The client: {run.errors[case]})"
        verdicts.append(Verdict(case, behavior, reason))
    return Result(run.protocol, verdicts, run.seconds)


def page(results: Sequence[Result], versions: Sequence[str]) -> str:
    return _PAGE.format(
        date=time.strftime("%Y-%m-%d"),
        versions=", ".join(versions),
        results="".join(result.section() for result in results),
    )


def versions(haproxy: str) -> list[str]:
    return [
        f"trio_h2ws {trio_h2ws.__version__}",
        *(f"{name} {importlib.metadata.version(name)}" for name in ("trio", "h2", "wsproto")),
        f"Python {platform.python_version()}",
        f"autobahntestsuite {VERSION}",
        f"HAProxy {haproxy}",
    ]
