"""The numbers on the demo's page."""

from __future__ import annotations

import pytest

from trio_h2ws._cli.demo.text import amount


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_960, "100 kB"), (999_600, "1.0 MB"), (5 * 10**9, "5.0 GB")],
)
def test_an_amount_has_a_readable_unit(number: int, text: str) -> None:
    assert amount(number) == text
