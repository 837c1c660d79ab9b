"""Where TLS records begin and end."""

from __future__ import annotations

import pytest

from trio_h2ws._network.tls_records import RecordBoundary


def record(size: int) -> bytes:
    return b"\x17\x03\x03" + size.to_bytes(2) + b"\xff" * size


WIRE = record(0) + record(1) + record(5) + record(0x4100) + record(300)
ENDS = {5, 11, 21, 21 + 5 + 0x4100, len(WIRE)}


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 6, 7, 300, 5000])
def test_only_the_ends_of_records_are_boundaries(step: int) -> None:
    boundary = RecordBoundary()
    for start in range(0, len(WIRE), step):
        boundary.feed(WIRE[start : start + step])
        at = min(start + step, len(WIRE))
        assert boundary.inside is (at not in ENDS)
