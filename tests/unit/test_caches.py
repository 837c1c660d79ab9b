"""What is remembered between requests is bounded in bytes, whatever a server invents.

The kind: a cache that counts its entries, while the peer chooses how long they are.
"""

from __future__ import annotations

import collections
import gc
import tracemalloc
from collections.abc import Callable, Iterator

import pytest

from trio_h2ws._http.url import parse_url
from trio_h2ws._protocols.h2.header_compression import BlockDecoder, BlockEncoder
from trio_h2ws._protocols.h2.header_lists import check_response, check_trailers

KIB = 1024
STATUS = (b":status", b"200")


def kept_by(calls: Iterator[object]) -> int:
    """Bytes that are allocated after the calls, and were not before. What they return is dropped."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        collections.deque(calls, maxlen=0)
        gc.collect()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("check", [check_response, check_trailers])
@pytest.mark.parametrize(("count", "length"), [(1_000, 120_000), (5_000, 64), (5_000, 65)])
def test_names_that_a_server_invents_are_not_kept(check: Callable[..., object], count: int, length: int) -> None:
    first = [STATUS] if check is check_response else []
    kept = kept_by(check([*first, (b"%d" % n + b"x" * (length - 5), b"")]) for n in range(10_000, 10_000 + count))
    assert kept < 256 * KIB


def literals(*fields: tuple[bytes, bytes]) -> bytes:
    """A header block without indexing, without Huffman codes, and with the lengths that are written in one byte."""
    pieces = []
    for name, value in fields:
        pieces += [b"\x10", bytes([len(name)]), name, bytes([len(value)]), value]
    return b"".join(pieces)


def long_value(n: int) -> bytes:
    # "\x7f" and what follows is the length, 7 bits at a time (RFC 7541, section 5.1).
    rest = 16_000 - 127
    return b"\x10\x01a\x7f" + bytes([rest & 127 | 128, rest >> 7]) + b"%05d" % n + b"x" * 15_995


BLOCKS: dict[str, Callable[[int], bytes]] = {
    "one small field": lambda n: literals((b"a", b"%d" % n)),
    "300 small fields": lambda n: literals(*[(b"a", b"%d" % n)] * 300),
    "64 fields": lambda n: literals(*[(b"name-%d" % n, b"x" * 100)] * 64),
    "one long field": long_value,
    "entries of the static table": lambda n: b"\x88" * (n + 1),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_blocks_that_a_server_invents_fill_64_kib(kind: str) -> None:
    decoder = BlockDecoder(256 * KIB)
    for n in range(3):
        assert decoder.decode_block(BLOCKS[kind](n)) == decoder.decode_block(BLOCKS[kind](n))
    assert kept_by(decoder.decode_block(BLOCKS[kind](n)) for n in range(400)) < 80 * KIB


@pytest.mark.parametrize("length", [5, 100, 5_000])
@pytest.mark.parametrize("name", [b":path", b"cookie"])
def test_fields_that_a_server_makes_us_send_fill_64_kib(name: bytes, length: int) -> None:
    """It redirects us to ever new URLs, for example."""
    encoder = BlockEncoder()
    encoder.encode_block([(b"a", b"b")])
    field = b"%05d" + b"/" * (length - 5)
    assert kept_by(encoder.encode_block([(name, field % n, True)]) for n in range(300)) < 80 * KIB


URLS: dict[str, str] = {
    "a long query": "https://example.org/?{:05}" + "x" * 60_000,
    "a query": "https://example.org/?{:05}" + "x" * 480,
    "a query of other characters": "https://example.org/?{:05}" + "\N{GRINNING FACE}" * 480,
    "a path that is encoded": "https://example.org/{:05} " + "x" * 480,
    "a host": "https://{:05}.example.org/",
    "a long host": "https://{:05}" + ".x" * 120 + "/",
    "a host of 60,000 characters": "https://{:05}" + "x" * 60_000 + "/",
}


@pytest.mark.parametrize("kind", URLS)
def test_urls_that_a_server_invents_fill_two_mib(kind: str) -> None:
    parse_url("https://example.org/")

    def parse(n: int) -> None:
        try:
            parse_url(URLS[kind].format(n))
        except ValueError:  # no host is that long
            assert kind == "a host of 60,000 characters"

    assert kept_by(parse(n) for n in range(2_000)) < 2 * KIB * KIB
