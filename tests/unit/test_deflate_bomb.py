"""A deflate bomb: it costs what the bound allows, and not what it would be."""

from __future__ import annotations

import struct
import tracemalloc
import zlib

import pytest

from trio_h2ws import DeflateOptions, Limits
from trio_h2ws._protocols.ws.deflate import accept_deflate
from trio_h2ws._protocols.ws.receiver import FrameReceiver

MIB = 1 << 20


def bomb(size: int) -> bytes:
    """`size` zeros, a thousand times smaller."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(MIB)
    data = b"".join([squeezer.compress(zeros) for _ in range(size // MIB)]) + squeezer.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.parametrize("pieces", [1, 64])
@pytest.mark.parametrize("size", [32 * MIB, 256 * MIB])
def test_a_bomb_costs_what_the_bound_allows(size: int, pieces: int) -> None:
    payload = bomb(size)
    session = FrameReceiver(
        Limits(max_message_size=MIB), accept_deflate("permessage-deflate", DeflateOptions()), lambda: 0.0
    )
    session.queue.want_parts = False
    frame = (
        struct.pack(">BBQ", 0xC2, 127, len(payload)) + payload
        if len(payload) > 65535
        else (struct.pack(">BBH", 0xC2, 126, len(payload)) + payload)
    )
    tracemalloc.start()
    step = -(-len(frame) // pieces)
    for at in range(0, len(frame), step):
        session.receive(frame[at : at + step])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert session.failure is not None
    assert session.failure[0] == 1009
    assert not session.queue.messages
    assert peak < 4 * MIB + 3 * len(frame)
