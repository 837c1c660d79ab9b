"""The result as a chart in plain SVG: a group of bars for each workload, CPU time or memory as a multiple of ours.

All groups of one metric share a scale, so lengths compare across workloads; the figure next to a bar is absolute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from .clients import title as name_of
from .goals import FLOOR, OURS
from .report import show
from .rounds import Outcome

_WIDTH, _LEFT, _RIGHT = 860, 150, 130
_BAR, _GAP, _HEAD = 14, 4, 24
_COLOURS = {OURS: "#2563eb", FLOOR: "#9ca3af"}
_PEER = "#f59e0b"
_INK, _FAINT = "#111827", "#6b7280"


def _text(x: float, y: float, text: str, *, size: int = 11, anchor: str = "start", colour: str = _INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


_Group = tuple[str, str, list[tuple[str, float]]]


def _groups(outcomes: Iterable[Outcome]) -> list[_Group]:
    """(title, metric, [(client, value)]) of each workload that has a peer or a floor to compare with."""
    groups: list[_Group] = []
    for outcome in outcomes:
        medians = outcome.medians()
        for metric in ("cpu", "memory"):
            if metric not in outcome.row.metrics:
                continue
            bars = [(client, medians[client][metric]) for client in outcome.row.clients if client in medians]
            if len(bars) > 1 and bars[0][0] == OURS:
                what = "CPU" if metric == "cpu" else "memory"
                groups.append((f"{outcome.row.title} – {what}", metric, bars))
    return groups


def draw(outcomes: Iterable[Outcome], versions: Sequence[str]) -> str:
    groups = _groups(outcomes)
    longest: dict[str, float] = {}
    for _, metric, bars in groups:
        longest[metric] = max(longest.get(metric, 1.0), *(value / bars[0][1] for _, value in bars))
    parts: list[str] = []
    y = 20.0
    for title, metric, bars in groups:
        y += _HEAD
        parts.append(_text(10, y, title, size=13))
        y += 8
        ours = bars[0][1]
        scale = (_WIDTH - _LEFT - _RIGHT) / longest[metric]
        for client, value in bars:
            width = max(1.0, value / ours * scale)
            colour = _COLOURS.get(client, _PEER)
            middle = y + _BAR - 3
            parts.append(_text(_LEFT - 8, middle, name_of(client), anchor="end"))
            parts.append(
                f'<rect x="{_LEFT}" y="{y:.1f}" width="{width:.1f}" height="{_BAR}" fill="{colour}" rx="2"/>'
            )
            figure = show(metric, value) + ("" if client == OURS else f"  ({value / ours:.1f}×)")
            parts.append(_text(_LEFT + width + 6, middle, figure, colour=_FAINT))
            y += _BAR + _GAP
    y += _HEAD
    # Part of the chart, because a reader can't interpret the grey bars without it.
    parts.append(
        _text(10, y, "floor: the same bytes through h2, hpack and wsproto alone: no IO, no TLS", colour=_FAINT)
    )
    for start in range(0, len(versions), 7):
        y += 16
        parts.append(_text(10, y, ", ".join(versions[start : start + 7]), size=10, colour=_FAINT))
    height = y + 16
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" font-family="sans-serif">'
    return "\n".join([frame, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])
