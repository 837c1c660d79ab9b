"""A token bucket: a burst, a rate, and what useful frames give back."""

from __future__ import annotations

from trio_h2ws._protocols.token_bucket import TokenBucket


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def spent(allowance: TokenBucket) -> int:
    count = 0
    while allowance.spend():
        count += 1
    return count


def test_time_refills_the_bucket_up_to_the_burst() -> None:
    clock = Clock()
    allowance = TokenBucket(10, 2, clock)
    assert spent(allowance) == 10
    clock.now = 1
    assert spent(allowance) in (2, 1)
    clock.now = 1000
    assert spent(allowance) == 10


def test_useful_frames_refill_the_bucket_up_to_the_burst() -> None:
    allowance = TokenBucket(10, 0, Clock())
    for _ in range(10):
        assert allowance.spend()
    allowance.earn(3)
    assert spent(allowance) == 3
    allowance = TokenBucket(10, 0, Clock())
    allowance.earn(1000)
    assert spent(allowance) == 10


def test_a_rate_below_the_bound_never_empties_the_bucket() -> None:
    clock = Clock()
    allowance = TokenBucket(10, 2, clock)
    for _ in range(1000):
        clock.now += 0.6
        assert allowance.spend()


def test_a_rate_over_the_bound_empties_the_bucket() -> None:
    clock = Clock()
    allowance = TokenBucket(10, 2, clock)
    count = 0
    while allowance.spend():
        clock.now += 0.25
        count += 1
        assert count < 100
    assert count >= 10
