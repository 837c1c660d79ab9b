"""What happened: calls by kind and outcome, faults, latencies, memory, and failures."""

from __future__ import annotations

import statistics
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

MIB = 1024 * 1024


class Wrong(Exception):
    """A call got something wrong: a wrong byte, a message twice, a close that took too long."""


@dataclass(frozen=True, slots=True)
class Memory:
    """One measurement, taken while nothing was open."""

    seconds: float
    resident: int
    blocks: int
    """Blocks that Python's allocator holds."""

    def __str__(self) -> str:
        return f"{self.resident / MIB:6.1f} MiB resident, {self.blocks:,} blocks, at {self.seconds:.0f} s"


@dataclass(slots=True)
class Tally:
    progress: Callable[[str], None]
    calls: dict[str, Counter[str]] = field(default_factory=dict)
    longest: dict[str, float] = field(default_factory=dict)
    """Seconds of the longest call of each kind."""
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    calm: list[float] = field(default_factory=list)
    """Seconds of each small request in settled calm."""
    noticed: list[float] = field(default_factory=list)
    """Seconds until a dead peer was noticed."""
    memory: list[Memory] = field(default_factory=list)
    rounds: int = 0
    audits: int = 0
    drains: int = 0
    """Audits at which every connection was drained."""
    books: int = 0
    """How often a connection's books were checked while it worked."""
    lag: float = 0.0
    """The longest time that the event loop was blocked: by us, by the server, or by other programs."""
    messages: int = 0
    bytes_checked: int = 0

    def note(self, kind: str, outcome: str, seconds: float) -> None:
        self.calls.setdefault(kind, Counter())[outcome] += 1
        self.longest[kind] = max(self.longest.get(kind, 0.0), seconds)

    def fail(self, text: str) -> None:
        self.failures.append(text)
        self.progress(f"FAILED {text.splitlines()[0]}")

    @property
    def total(self) -> int:
        return sum(sum(outcomes.values()) for outcomes in self.calls.values())

    def text(self) -> str:
        """The summary to print."""
        lines = [*self._calls_text(), *self._faults_text(), *self._times_text()]
        lines.append(
            f"{self.rounds} rounds, {self.audits} audits, {self.drains} of them with nothing left open; "
            f"{self.books} checks of the books of working connections"
        )
        if self.memory:
            measures = (self.memory[0], self.memory[len(self.memory) // 2], self.memory[-1])
            for name, memory in zip(("start", "middle", "end"), measures, strict=True):
                lines.append(f"memory at the {name:<8}{memory}")
        lines.append(f"{len(self.failures)} failures" if self.failures else "nothing failed")
        lines += [f"\n--- {failure}" for failure in self.failures[:20]]
        return "\n".join(lines)

    def _calls_text(self) -> list[str]:
        lines = [f"{'calls':<16}{'ok':>8}{'cancelled':>11}{'longest':>10}  errors"]
        for kind, outcomes in sorted(self.calls.items()):
            errors = [f"{name} {n}" for name, n in sorted(outcomes.items()) if name not in ("ok", "cancelled")]
            longest = f"{self.longest[kind]:.1f} s"
            lines.append(
                f"  {kind:<14}{outcomes['ok']:>8}{outcomes['cancelled']:>11}{longest:>10}  {', '.join(errors)}"
            )
        ok = sum(outcomes["ok"] for outcomes in self.calls.values())
        size = f"{self.bytes_checked / MIB:.0f} MiB"
        return [*lines, f"  {self.total} calls, {ok} ok; {self.messages} messages and {size} of bodies compared"]

    def _faults_text(self) -> list[str]:
        lines = [f"  {name:<28}{count:>6}" for name, count in sorted(self.faults.items())]
        return ["faults", *lines, f"  {'total':<28}{self.faults.total():>6}"]

    def _times_text(self) -> list[str]:
        lines = []
        if self.calm:
            middle, worst = statistics.median(self.calm) * 1000, max(self.calm) * 1000
            lines.append(f"small requests in calm: {len(self.calm)}, median {middle:.1f} ms, worst {worst:.0f} ms")
        lines.append(f"the event loop was blocked for {self.lag * 1000:.0f} ms at most")
        if self.noticed:
            lines.append(
                f"dead peers with work under way: {len(self.noticed)}, noticed within {max(self.noticed):.2f} s"
            )
        return lines


def format_error(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
