"""Huffman decoding for HPACK (RFC 7541, section 5.2), a byte at a time.

hpack's table has a step for each half of a byte. Here the two steps of a byte are made once, and remembered for all
connections: real values use a few thousand of the 65,536 pairs of a state and a byte. The number that is kept is
bounded, because peers choose which.
"""

from __future__ import annotations

from hpack import HPACKDecodingError
from hpack.huffman_table import HUFFMAN_COMPLETE, HUFFMAN_EMIT_SYMBOL, HUFFMAN_FAIL, HUFFMAN_TABLE

_REMEMBERED = 8192  # steps, of about 150 bytes each

_Step = tuple[int, bytes, bool]
_steps: dict[int, _Step] = {}  # by the state (its number times 256) plus the byte


def decode_huffman(data: bytes) -> bytes:
    """Raises HPACKDecodingError."""
    state, complete = 0, True
    pieces: list[bytes] = []
    add, remembered = pieces.append, _steps.get
    for byte in data:
        state, piece, complete = remembered(state + byte) or _step(state, byte)
        add(piece)
    if not complete:
        raise HPACKDecodingError("Incomplete Huffman string")
    return b"".join(pieces)


def _step(state: int, byte: int) -> _Step:
    """The next state, the symbols that end in this byte, and whether the string may end here."""
    symbols = bytearray()
    half_state, flags = state >> 8, 0
    for half in (byte >> 4, byte & 15):
        half_state, flags, symbol = HUFFMAN_TABLE[half_state * 16 + half]
        if flags & HUFFMAN_FAIL:
            raise HPACKDecodingError("Invalid Huffman string")
        if flags & HUFFMAN_EMIT_SYMBOL:
            symbols.append(symbol)
    step = (half_state << 8, bytes(symbols), bool(flags & HUFFMAN_COMPLETE))
    if len(_steps) < _REMEMBERED:
        _steps[state + byte] = step
    return step
