from __future__ import annotations

import pytest

from trio_h2ws._http.backoff import backoff


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0), (1, 0.25), (2, 0.5), (3, 1), (5, 4), (6, 5), (1000, 5), (10**9, 5)]
)
def test_pauses_double_up_to_the_maximum(failures: int, seconds: float) -> None:
    assert backoff(failures, 0.25, 5.0, jitter=1.0) == seconds


def test_jitter_takes_up_to_half_off() -> None:
    assert backoff(2, 1.0, 60.0, jitter=0.0) == 1.0
    assert backoff(2, 1.0, 60.0, jitter=0.5) == 1.5
