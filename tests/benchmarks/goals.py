"""What a workload should cost: a bound on one number, or on the ratio of two numbers from the same run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Results = Mapping[str, Mapping[str, float]]
"""Medians, by client and then by metric."""

OURS = "ours"
FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Goal:
    """`at_least` bounds theirs / ours, `at_most` ours / theirs. Without `against`, both bound our number itself."""

    text: str
    metric: str
    against: str | None = None
    at_least: float | None = None
    at_most: float | None = None
    unit: float = 1.0

    def measured(self, results: Results) -> float | None:
        """None when a number is missing."""
        ours = results.get(OURS, {}).get(self.metric)
        if ours is None:
            return None
        if self.against is None:
            return ours / self.unit
        theirs = results.get(self.against, {}).get(self.metric)
        if theirs is None or not ours or not theirs:
            return None
        return theirs / ours if self.at_least is not None else ours / theirs

    def met(self, measured: float) -> bool:
        if self.at_least is not None:
            return measured >= self.at_least
        assert self.at_most is not None
        return measured <= self.at_most


def cheaper(peer: str, times: float, metric: str = "cpu") -> Goal:
    return Goal(f"{times:g}× cheaper than {peer}", metric, peer, at_least=times)


def level(peer: str, metric: str = "cpu") -> Goal:
    """ "Level" allows 5 % for noise."""
    name = {"cpu": "CPU", "wall": "wall time"}[metric]
    return Goal(f"level with {peer} or better, {name}", metric, peer, at_least=0.95)


def near_floor(times: float) -> Goal:
    return Goal(f"at most {times:g}× the floor", "cpu", FLOOR, at_most=times)
