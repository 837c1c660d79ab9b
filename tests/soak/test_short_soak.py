"""The soak, for seconds and with a fixed seed. Minutes of it, and other seeds: `nox -s soak`."""

from __future__ import annotations

import pytest

from .run import Plan, soak


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_storm_and_the_calm_after_it() -> None:
    tally = await soak(Plan(seconds=8.0, seed=8441, storm=6.0, calm=2.0, workers=3, flat=False))
    assert not tally.failures, tally.text()
    assert tally.faults.total() > 10
    assert sum(outcomes["ok"] for outcomes in tally.calls.values()) > 50
