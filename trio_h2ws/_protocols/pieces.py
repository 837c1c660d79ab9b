"""Bytes that are kept in the pieces in which they came: small ones are joined, large ones stay as they are.

The peer chooses the sizes, and each Python object takes about 50 bytes beside its content: a body in pieces of two
bytes would take 28 times its size. Joined, bytes that are kept take a tenth more than their size at most.

A small piece is added to the last one while that is shorter than a block. So no byte is copied more often than a
block has small pieces, and the cost is linear. A large piece is not copied at all.
"""

from __future__ import annotations

from collections.abc import MutableSequence

SMALL = 512
BLOCK = 4096


def add_piece(pieces: MutableSequence[bytes], piece: bytes) -> None:
    """Add what came last. On a hot path, append pieces of SMALL bytes or more directly: that saves a call."""
    if len(piece) < SMALL and pieces and len(pieces[-1]) < BLOCK:
        pieces[-1] += piece
    else:
        pieces.append(piece)
