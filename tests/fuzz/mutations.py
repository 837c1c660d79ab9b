"""What the fuzzers have in common: changing bytes, cutting them, and running a case on a clock of its own."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import trio
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

SECONDS = 100_000.0  # of virtual time: a call that waits for ever fails here
BUG = "bug in trio_h2ws"


def mutated(chance: random.Random, data: bytes) -> bytes:
    """With a few bytes changed, removed, repeated or inserted, or without its end."""
    changed = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        at = chance.randrange(len(changed) + 1)
        kind = chance.randrange(6)
        if kind == 0 and at < len(changed):
            changed[at] ^= 1 << chance.randrange(8)
        elif kind == 1 and at < len(changed):
            changed[at] = chance.choice((0, 1, 127, 128, 255, 10, 13, 32, 58, chance.randrange(256)))
        elif kind == 2:
            del changed[at : at + chance.choice((1, 1, 2, 9))]
        elif kind == 3:
            changed[at:at] = changed[at : at + chance.choice((1, 4, 9, 30))]
        elif kind == 4:
            changed[at:at] = chance.randbytes(chance.choice((1, 2, 9)))
        elif kind == 5 and chance.random() < 0.3:
            del changed[at:]
    return bytes(changed)


def cuts(chance: random.Random, data: bytes) -> list[list[bytes]]:
    """The same bytes in one piece, in random pieces, and in single bytes (or small pieces, if there are many)."""
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 9)))
    pieces = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]
    step = 1 if len(data) < 2_000 else 7
    return [[data], [piece for piece in pieces if piece], [data[at : at + step] for at in range(0, len(data), step)]]


def run(case: Callable[[], Awaitable[object]]) -> None:
    """With a deadline, in virtual time: when nothing can happen any more, the clock jumps to it.

    Hypothesis makes Trio's scheduler, which chooses at random which task runs first, choose the same each time.
    """

    async def bounded() -> None:
        with trio.move_on_after(SECONDS) as scope:
            await case()
        assert not scope.cancelled_caught, "something waits for ever"

    @settings(
        max_examples=1, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )
    @given(st.just(None))
    def example(_: None) -> None:
        try:
            trio.run(bounded, clock=MockClock(autojump_threshold=0))
        except Exception as error:  # Hypothesis would run the case again, which is a function of its seed
            errors.append(error)

    errors: list[Exception] = []
    example()
    if errors:
        raise errors[0]


def check_no_bug(error: BaseException | None) -> None:
    """An error may be anything that a peer can cause, but no fault of ours."""
    while error is not None:
        assert BUG not in str(error), f"{error!r} from {error.__cause__!r}"
        error = error.__cause__
