"""Content-encodings, undone in bounded pieces."""

from __future__ import annotations

import gzip
import zlib

import pytest

from trio_h2ws import RemoteProtocolError
from trio_h2ws._requests.content_encoding import Decoder

BODY = bytes(range(256)) * 300


def undo(encoding: str, *data: bytes) -> bytes:
    decoder = Decoder(encoding)
    return b"".join(piece for part in data for piece in decoder.feed(part))


def raw_deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    return deflate.compress(data) + deflate.flush()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("gzip", gzip.compress(BODY)),
        ("GZIP", gzip.compress(BODY)),
        ("x-gzip", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:1000]) + gzip.compress(BODY[1000:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
        ("identity", BODY),
        ("", BODY),
        ("gzip, identity", gzip.compress(BODY)),
        ("gzip, deflate", zlib.compress(gzip.compress(BODY))),
        ("br", BODY),
        ("gzip, br", BODY),
    ],
)
def test_encodings(encoding: str, data: bytes) -> None:
    assert undo(encoding, data) == BODY
    assert undo(encoding, *(data[at : at + 1] for at in range(len(data)))) == BODY


def test_pieces_are_bounded() -> None:
    decoder = Decoder("gzip")
    sizes = [len(piece) for piece in decoder.feed(gzip.compress(bytes(10_000_000)))]
    assert max(sizes) <= 256 * 1024
    assert sum(sizes) == 10_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_is_not_encoded_so(encoding: str) -> None:
    with pytest.raises(RemoteProtocolError):
        undo(encoding, b"plain text, and no more of it")


def test_a_chain_is_bounded() -> None:
    Decoder("gzip, gzip")
    with pytest.raises(RemoteProtocolError):
        Decoder("gzip, gzip, gzip")


def test_nothing() -> None:
    assert undo("gzip") == b""
    assert undo("gzip", b"") == b""
    assert undo("deflate", b"") == b""
