"""A line that shows the progress of the demo at a terminal."""

from __future__ import annotations

import trio

from ..stdout import Output
from .load import Outcome, Plan
from .text import amount

_DELAY = 0.5  # a shorter run needs no progress line
_INTERVAL = 0.1


async def show_progress(stderr: Output, outcome: Outcome, plan: Plan) -> None:
    """Show the line until cancelled, then clear it."""
    if not stderr.is_terminal:
        return
    await trio.sleep(_DELAY)
    try:
        while True:
            parts = []
            if plan.download:
                parts.append(amount(outcome.downloaded))
            if plan.websockets:
                parts.append(f"{outcome.opened} of {plan.websockets} WebSockets")
            if plan.requests:
                parts.append(f"{outcome.answered} of {plan.requests} requests")
            if outcome.work_seconds is not None:
                parts = ["echoes without the download"]
            stderr.write_now(f"\r\x1b[K{stderr.dim(' · '.join(parts))}")
            await trio.sleep(_INTERVAL)
    finally:
        stderr.write_now("\r\x1b[K")
