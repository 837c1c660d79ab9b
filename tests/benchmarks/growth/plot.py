"""The curves as one plot in plain SVG: the cost over that at the reference, for each size, which has a log scale."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape

from .curves import FLAT, Curve

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 380, 50, 250, 20, 60
_COLOURS = ("#2563eb", "#7c3aed", "#059669", "#db2777", "#f59e0b", "#0891b2", "#9ca3af")
_FAINT, _GRID = "#6b7280", "#e5e7eb"
_LEAST = 12  # between the names of two curves
_CAPTION = f"cost over that at 100 (memory: at 1,000), by size; dashed: {FLAT}×, up to which a curve is flat"


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {style}/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = _FAINT) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
    )


def draw(curves: Mapping[Curve, Mapping[int, float]]) -> str:
    """`curves`: what each costs, by size."""
    ratios = {
        curve: {size: value / values[curve.reference] for size, value in values.items()}
        for curve, values in curves.items()
    }
    sizes = sorted({size for values in ratios.values() for size in values})
    top = math.ceil(max(ratio for values in ratios.values() for ratio in values.values()) * 2) / 2
    span = math.log10(sizes[-1] / sizes[0]) or 1.0

    def x(size: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * math.log10(size / sizes[0]) / span

    def y(ratio: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - ratio / top)

    right = x(sizes[-1])
    parts = []
    for half in range(int(top * 2) + 1):
        parts.append(_line(_LEFT, y(half / 2), right, y(half / 2), f'stroke="{_GRID}"'))
        parts.append(_text(_LEFT - 8, y(half / 2) + 4, f"{half / 2:g}×", anchor="end"))
    parts.append(_line(_LEFT, y(FLAT), right, y(FLAT), f'stroke="{_FAINT}" stroke-dasharray="4 4"'))
    for size in sizes:
        parts.append(_line(x(size), y(0), x(size), y(0) + 5, f'stroke="{_FAINT}"'))
        parts.append(_text(x(size), y(0) + 20, f"{size:,}", anchor="middle"))
    parts.append(_text(_LEFT, _HEIGHT - 12, _CAPTION))
    below = math.inf
    by_height = sorted(zip(ratios.items(), _COLOURS, strict=False), key=lambda entry: entry[0][1][max(entry[0][1])])
    for (curve, values), colour in by_height:
        points = " ".join(f"{x(size):.1f},{y(ratio):.1f}" for size, ratio in sorted(values.items()))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for size, ratio in values.items():
            parts.append(f'<circle cx="{x(size):.1f}" cy="{y(ratio):.1f}" r="3" fill="{colour}"/>')
        last = values[max(values)]
        below = min(below - _LEAST, y(last) + 4)
        parts.append(_text(right + 14, below, f"{curve.title}: {last:.2f}×", colour=colour))
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">'
    return "\n".join([frame, '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>", ""])
