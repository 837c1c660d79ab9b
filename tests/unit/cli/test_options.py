"""Values of options on the command line."""

from __future__ import annotations

import pytest

from trio_h2ws._cli.options import size


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("10_000", 10_000), ("64k", 64_000), ("10MB", 10**7), ("1GiB", 2**30), ("5 b", 5)]
)
def test_a_size_may_have_a_unit(text: str, number: int) -> None:
    assert size(text) == number
