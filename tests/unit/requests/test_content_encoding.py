"""Content-encodings are decoded in bounded pieces."""

from __future__ import annotations

import gzip
import time
import zlib
from collections.abc import Iterator

import pytest

from toolkit.inside import unused_data_of
from trio_h2ws import RemoteProtocolError
from trio_h2ws._requests.content_encoding import Decoder

BODY = bytes(range(256)) * 300


WHOLE = gzip.compress(BODY)


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
def test_known_encodings_are_decoded(encoding: str, data: bytes) -> None:
    assert undo(encoding, data) == BODY
    assert undo(encoding, *(data[at : at + 1] for at in range(len(data)))) == BODY


def test_decoded_pieces_are_bounded() -> None:
    decoder = Decoder("gzip")
    sizes = [len(piece) for piece in decoder.feed(gzip.compress(bytes(10_000_000)))]
    assert max(sizes) <= 256 * 1024
    assert sum(sizes) == 10_000_000


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_data_in_another_encoding_is_an_error(encoding: str) -> None:
    with pytest.raises(RemoteProtocolError):
        undo(encoding, b"plain text, and no more of it")


def test_a_chain_of_encodings_is_bounded() -> None:
    Decoder("gzip, gzip")
    with pytest.raises(RemoteProtocolError):
        Decoder("gzip, gzip, gzip")


def test_an_empty_body_decodes_to_nothing() -> None:
    assert undo("gzip") == b""
    assert undo("gzip", b"") == b""
    assert undo("deflate", b"") == b""


# Bytes after the last gzip member are harmless, and no content is lost. Browsers and urllib3 ignore what is not a
# member, gunzip and Python's gzip ignore zeros. Some servers do pad their bodies.


def undo_all(encoding: str, *parts: bytes, cut_short: bool = False) -> bytes:
    decoder = Decoder(encoding)
    content = b"".join(piece for part in parts for piece in decoder.feed(part))
    content += b"".join(decoder.finish())
    assert decoder.cut_short is cut_short
    return content


def ways(data: bytes) -> Iterator[list[bytes]]:
    """The same bytes, in the pieces in which they may arrive."""
    yield [data]
    yield [data[at : at + 1] for at in range(len(data))]
    for cut in range(len(WHOLE) - 3, min(len(data), len(WHOLE) + 6)):
        yield [data[:cut], data[cut:]]


@pytest.mark.parametrize(
    "tail", [b"\0", b"\0" * 1000, b"\r\n", b"junk", b"\0\0junk", b"\x1f\x1f\x8b", b"\x1f\0", b"\x8b\x1f", b"\0\x1fx"]
)
def test_bytes_after_the_last_member_are_ignored(tail: bytes) -> None:
    for parts in ways(WHOLE + tail):
        assert undo_all("gzip", *parts) == BODY


@pytest.mark.parametrize("between", [b"", b"\0", b"\0" * 100])
def test_all_members_are_decoded(between: bytes) -> None:
    for parts in ways(WHOLE + between + gzip.compress(b"more") + between):
        assert undo_all("gzip", *parts) == BODY + b"more"


def test_a_member_after_junk_is_ignored() -> None:
    for parts in ways(WHOLE + b"junk" + gzip.compress(b"more")):
        assert undo_all("gzip", *parts) == BODY


@pytest.mark.parametrize("between", [b"", b"\0\0"])
def test_a_truncated_member_is_reported(between: bytes) -> None:
    second = gzip.compress(b"more")
    for cut in range(1, len(second)):
        for parts in ways(WHOLE + between + second[:cut]):
            content = undo_all("gzip", *parts, cut_short=True)
            assert content.startswith(BODY)
            assert b"more".startswith(content[len(BODY) :])


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw", "deflate, gzip", "gzip, gzip"])
def test_all_that_was_flushed_is_decoded(encoding: str) -> None:
    """A server that flushes and never finishes, or leaves out the trailer. The body inflates to several pieces whose
    ends don't fall together with those of the compressed bytes."""
    body = b"".join(b"%d\n" % number for number in range(60_000))
    names = ["deflate"] if encoding == "raw" else encoding.split(", ")
    data = body
    for name in names:
        compressor = zlib.compressobj(wbits=-15 if encoding == "raw" else 31 if name == "gzip" else 15)
        data = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    for parts in ways(data):
        assert undo_all(", ".join(names), *parts, cut_short=True) == body
    for missing in (b"", zlib.compress(body)[:-4]):
        assert undo_all("deflate", missing, cut_short=bool(missing)) == (body if missing else b"")
    assert undo_all("gzip", gzip.compress(body)[:-8], cut_short=True) == body


def test_a_corrupt_member_is_an_error() -> None:
    second = bytearray(gzip.compress(b"more"))
    second[-6] ^= 1  # its checksum
    for parts in ways(WHOLE + bytes(second)):
        with pytest.raises(RemoteProtocolError, match="not valid gzip"):
            undo_all("gzip", *parts)


def test_a_body_must_begin_with_a_member() -> None:
    for data in (b"\0" + WHOLE, b"junk", b"\0\0"):
        with pytest.raises(RemoteProtocolError):
            undo_all("gzip", data)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_ignored_bytes_are_not_kept(encoding: str) -> None:
    """zlib keeps what is fed to a stream after its end, so an endless body would fill the memory."""
    decoder = Decoder(encoding)
    data = WHOLE if encoding == "gzip" else zlib.compress(BODY)
    assert b"".join(decoder.feed(data + b"junk")) == BODY
    for _ in range(100):
        assert not any(decoder.feed(b"junk" * 1000))
    assert unused_data_of(decoder) < 100
    assert not any(decoder.finish())


def test_many_empty_members_take_linear_time() -> None:
    """Copying the rest at each step makes six megabytes take a quarter of a minute, and blocks every other task."""
    data = gzip.compress(b"") * 300_000
    start = time.perf_counter()
    assert undo_all("gzip", data) == b""
    assert time.perf_counter() - start < 5
