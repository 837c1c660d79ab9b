"""What a row of the report is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .goals import Goal

TICK = (
    '{"type": "l2update", "product": "BTC-USD", "sequence": 80214417, "time": "2026-11-27T21:08:05.417Z",'
    ' "changes": [["buy", "65123.07", "0.41873"], ["buy", "65122.91", "2.50014"], ["sell", "65124.20", "0'
    '.07331"], ["sell", "65125.11", "0.98110"]], "checksum": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0'
    'b822cd15d6c15b0f00a08c5d2e1f"}'
)
"""What a feed sends: JSON of 330 bytes, which does not repeat much."""


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    title: str
    load: str
    clients: tuple[str, ...]
    site: str
    options: Mapping[str, Any]
    quick: Mapping[str, Any]
    """The options that `--quick` changes."""
    goals: tuple[Goal, ...]
    unit: str
    """The operation whose cost the numbers are."""
    metrics: tuple[str, ...] = ("cpu", "wall")
    only: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Extra options of single clients, by name."""
    setting: Mapping[str, bool] = field(default_factory=dict)
    """Fields of `kits.kit.Setting` for every client."""
    rounds: int = 100
    """The most rounds that are worth the time."""
