"""WebSocket frames, whole or mutated, in any pieces: the receiver must make of them what a reference parser does.

The receiver may fail earlier than the reference, which looks at messages when they are whole: in the middle of a
message that is not valid UTF-8, or not valid DEFLATE.
"""

from __future__ import annotations

import random
import zlib

from toolkit import frames
from trio_h2ws import DeflateOptions, Limits
from trio_h2ws._protocols.ws.deflate import Deflate
from trio_h2ws._protocols.ws.receiver import FrameReceiver

from .mutations import cuts, mutated
from .websocket_reference import Reading, Reference

_LIMITS = Limits(
    max_queued_messages=10**6,
    max_queued_bytes=10**9,
    max_idle_frames=10**6,
    max_message_size=None,
    max_fragments=None,
)


def conversation(chance: random.Random, deflate: bool) -> bytes:
    compressor = zlib.compressobj(6, zlib.DEFLATED, -15)
    out = b""
    for _ in range(chance.randrange(1, 8)):
        kind = chance.random()
        if kind < 0.2:
            out += frames.ws(chance.choice((frames.PING, frames.PONG)), chance.randbytes(chance.randrange(126)))
            continue
        text = chance.random() < 0.5
        size = chance.choice((0, 1, 10, 125, 126, 200, 3000, 66_000 if kind > 0.97 else 5))
        payload = ("ä€𝄞x" * size)[:size].encode() if text else chance.randbytes(size)
        rsv = 0
        if deflate and chance.random() < 0.6:
            payload = (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
            rsv = 4
        opcode = frames.TEXT if text else frames.BINARY
        parts = [payload]
        while chance.random() < 0.3:
            at = chance.randrange(len(parts[-1]) + 1)
            parts[-1:] = [parts[-1][:at], parts[-1][at:]]
        for index, part in enumerate(parts):
            last = index == len(parts) - 1
            out += frames.ws(opcode if index == 0 else frames.CONT, part, fin=last, rsv=rsv if index == 0 else 0)
            if chance.random() < 0.2:
                out += frames.ws(frames.PING, b"between")
    if chance.random() < 0.5:
        out += frames.ws_close(chance.choice((None, 1000, 1001, 1005, 1014, 2999, 3000, 4999, 5000)), "bye")
    return out


def received(pieces: list[bytes], deflate: bool) -> Reading:
    agreed = Deflate(DeflateOptions(), 15, 15, True, True) if deflate else None
    receiver = FrameReceiver(_LIMITS, agreed, lambda: 0.0)
    pings: list[bytes] = []
    for piece in pieces:
        receiver.receive(piece)
        pings += _payloads(bytes(receiver.replies))
        receiver.replies.clear()
    closed = (receiver.close_code or 1005, receiver.close_reason) if receiver.close_received else None
    failed = int(receiver.failure[0]) if receiver.failure is not None else None
    return Reading(receiver.queue.messages, pings, receiver.pongs, closed, failed)


def _payloads(pongs: bytes) -> list[bytes]:
    """Of our masked Pongs."""
    found = []
    while pongs:
        assert pongs[0] == 0x8A
        length = pongs[1] & 0x7F
        mask, payload = pongs[2:6], pongs[6 : 6 + length]
        found.append(bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload)))
        pongs = pongs[6 + length :]
    return found


def case(seed: int) -> None:
    chance = random.Random(seed)
    deflate = chance.random() < 0.5
    data = conversation(chance, deflate)
    if chance.random() < 0.8:
        data = mutated(chance, data)
    expected = Reference(data, deflate=deflate).reading
    results = [received(pieces, deflate) for pieces in cuts(chance, data)]
    assert results[0] == results[1] == results[2], f"the cuts change the result: {results}"
    got = results[0]
    if got.failed is not None:
        # It may have seen in the middle of a message what the reference sees at its end, or would see if that came.
        assert got.messages == expected.messages[: len(got.messages)], (got, expected, data)
        assert got.pings == expected.pings[: len(got.pings)], (got, expected, data)
        assert got.failed == 1007 or expected.failed in (None, got.failed), (got, expected, data)
        return
    assert got == expected, f"{got} {expected} {data!r}"
