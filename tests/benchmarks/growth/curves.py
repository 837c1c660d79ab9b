"""What is measured, and at which sizes."""

from __future__ import annotations

from dataclasses import dataclass

FLAT = 1.2
"""The most that the last point of a curve may cost, compared with its reference."""


@dataclass(frozen=True, slots=True)
class Curve:
    name: str
    title: str
    load: str
    """The function of `points` that measures it. One that serves several curves runs once for all of them."""
    metric: str
    sizes: tuple[int, ...]
    reference: int
    """The size that the others are compared with."""


_MANY = (1, 10, 100, 1000, 10_000)
_SOCKETS = (100, 1000, 10_000, 30_000)

CURVES = (
    Curve("requests", "requests at once", "requests", "cpu", _MANY, 100),
    Curve("waiting", "tasks that wait for 100 slots", "waiting", "cpu", (100, 1000, 10_000), 100),
    Curve("origins", "origins", "origins", "cpu", (1, 10, 100, 1000), 100),
    Curve("opening", "open WebSockets: one more", "sockets", "opening", _SOCKETS, 100),
    Curve("echo", "open WebSockets: an echo", "sockets", "echo", _SOCKETS, 100),
    Curve("memory", "open WebSockets: memory of each", "sockets", "memory", _SOCKETS, 1000),
    Curve("tasks", "bare Trio tasks", "tasks", "cpu", _MANY, 100),
)
