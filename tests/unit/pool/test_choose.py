"""What the first call that waits gets: a slot, a dial, a longer wait, or an error."""

from __future__ import annotations

import pytest

from trio_h2ws._pool.origin_pool import Decision, Situation, choose


def http2(
    *,
    admitted: bool = True,
    bounded: bool = False,
    free: bool = False,
    stuck: bool = True,
    usable: int = 0,
    silent: int = 0,
    dialling: int = 0,
    waiting: int = 1,
) -> Situation:
    return Situation(admitted, bounded, free, False, stuck, usable, silent, dialling, waiting, 6)


def http1(*, free: bool = False, usable: int = 0, dialling: int = 0, waiting: int = 1) -> Situation:
    return Situation(True, False, free, True, False, usable, 0, dialling, waiting, 100)


@pytest.mark.parametrize(
    ("now", "decision"),
    [
        (http2(), Decision.DIAL),
        (http2(free=True), Decision.GIVE),
        # One dial decides for all calls.
        (http2(dialling=1, waiting=50), Decision.WAIT),
        # Slots come free.
        (http2(usable=1, stuck=False, waiting=50), Decision.WAIT),
        # WebSockets hold all of them.
        (http2(usable=1), Decision.DIAL),
        (http2(usable=1, dialling=1), Decision.WAIT),
        (http2(usable=6), Decision.REFUSE),
        # A silent connection is not counted on, but it is one of those that there may be.
        (http2(silent=1), Decision.DIAL),
        (http2(silent=6), Decision.WAIT),
        (http2(usable=5, silent=1), Decision.WAIT),
        (http2(usable=1, silent=1, stuck=False), Decision.WAIT),
        # The server asked for calm: calls wait, and no other connection is opened.
        (http2(free=True, bounded=True), Decision.GIVE),
        (http2(free=True, bounded=True, admitted=False), Decision.WAIT),
        (http2(bounded=True, admitted=False), Decision.WAIT),
        (http2(bounded=True), Decision.DIAL),
        (http2(usable=1, bounded=True), Decision.WAIT),
        (http2(usable=6, bounded=True), Decision.WAIT),
        # Over HTTP/1.1, one dial for each call.
        (http1(), Decision.DIAL),
        (http1(usable=1, waiting=1), Decision.DIAL),
        (http1(usable=1, dialling=1, waiting=1), Decision.WAIT),
        (http1(usable=1, dialling=49, waiting=50), Decision.DIAL),
        (http1(usable=1, dialling=50, waiting=50), Decision.WAIT),
        (http1(usable=60, dialling=40, waiting=500), Decision.WAIT),
        (http1(usable=100, waiting=500), Decision.WAIT),
        (http1(free=True, usable=100), Decision.GIVE),
    ],
)
def test_choose(now: Situation, decision: Decision) -> None:
    assert choose(now) is decision
