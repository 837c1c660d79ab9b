"""Every loop over bytes that a peer chooses: eight times as many may cost about eight times as much, not sixty-four.

Measured in CPU time of this thread, so that other programs on the machine do not count.
"""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hpack import Encoder

from trio_h2ws import DeflateOptions, Limits
from trio_h2ws._http.charset import charset
from trio_h2ws._http.headers import Headers
from trio_h2ws._http.response_heads import ResponseHeads
from trio_h2ws._http.retry_after import retry_after
from trio_h2ws._http.url import append, parse_url, resolve, without_login
from trio_h2ws._network.tls_records import RecordBoundary
from trio_h2ws._protocols.h2.frames import FrameSplitter, frame
from trio_h2ws._protocols.h2.header_compression import BlockDecoder, BlockEncoder
from trio_h2ws._protocols.h2.header_lists import check_response
from trio_h2ws._protocols.h2.settings import SettingsExchange
from trio_h2ws._protocols.ws.deflate import Deflate
from trio_h2ws._protocols.ws.frames import plain_frame
from trio_h2ws._protocols.ws.handshake import check_answer
from trio_h2ws._protocols.ws.receiver import FrameReceiver
from trio_h2ws._requests.content_encoding import Decoder

SMALL, TIMES = 16 * 1024, 8
MOST = 24  # times as much: far from 64, and far from what a busy machine makes of 8
UNBOUNDED = Limits(max_message_size=None, max_fragments=None, max_queued_bytes=2**40, max_queued_messages=2**40)
UNBOUNDED_CONTROL = Limits(max_idle_frames=2**40)

Work = Callable[[], object]


def in_cuts(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def encode(name: bytes, value: bytes) -> Work:
    return lambda: BlockEncoder().encode_block([(name, value)])


def encode_many(n: int) -> Work:
    return lambda: BlockEncoder().encode_block([(b"x-%d" % i, b"%d" % i) for i in range(n // 16)])


def decode(block: bytes) -> Work:
    return lambda: list(BlockDecoder(2**30).decode_block(block))


def encoded(fields: list[tuple[bytes, bytes]], *, huffman: bool) -> bytes:
    return b"".join(Encoder().encode([field], huffman=huffman) for field in fields)


def never_indexed(n: int) -> bytes:
    return b"".join(b"\x10\x01a\x03%03d" % (i % 1000) for i in range(n // 6))


def http1(data: bytes, cut: int) -> Work:
    def work() -> None:
        heads = ResponseHeads(2**30)
        for piece in in_cuts(data, cut):
            heads.feed(piece)

    return work


def websocket(data: bytes, cut: int, deflate: bool = False, limits: Limits = UNBOUNDED) -> Work:
    def work() -> None:
        agreed = Deflate(DeflateOptions(), 15, 15, True, True) if deflate else None
        receiver = FrameReceiver(limits, agreed, lambda: 0.0)
        for piece in in_cuts(data, cut):
            receiver.receive(piece)
            receiver.replies.clear()
        assert receiver.failure is None

    return work


def compressed(data: bytes, wbits: int) -> bytes:
    compressor = zlib.compressobj(1, zlib.DEFLATED, wbits)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def inflated(body: bytes, encoding: str) -> Work:
    def work() -> None:
        decoder = Decoder(encoding)
        for _ in decoder.feed(body):
            pass
        for _ in decoder.finish():
            pass

    return work


def split(data: bytes, cut: int) -> Work:
    def work() -> None:
        splitter = FrameSplitter(lambda stream: 100_000)
        for piece in in_cuts(data, cut):
            for _ in splitter.feed(piece):
                pass

    return work


def record_ends(data: bytes, cut: int) -> Work:
    def work() -> None:
        boundary = RecordBoundary()
        for piece in in_cuts(data, cut):
            boundary.feed(piece)

    return work


def settings(n: int) -> Work:
    payload = b"".join((0x100 + i).to_bytes(2, "big") + bytes(4) for i in range(n // 6))
    return lambda: SettingsExchange(BlockEncoder(), BlockDecoder(2**30)).receive(payload)


def fragments(n: int, size: int) -> bytes:
    return plain_frame(1, b"a" * size) + plain_frame(0, b"a" * size) * (n // size) + plain_frame(0x80, b"")


def quiet(call: Callable[[], object]) -> Work:
    """Most of what a hostile peer sends is refused: what counts is how long that takes."""

    def work() -> None:
        try:
            call()
        except Exception:
            pass

    return work


LOOPS: dict[str, Callable[[int], Work]] = {
    "encode a value": lambda n: encode(b"cookie", b"a" * n),
    "encode a name": lambda n: encode(b"a" * n, b"1"),
    "encode a path": lambda n: encode(b":path", b"/" * n),
    "encode a secret": lambda n: lambda: BlockEncoder().encode_block([(b"authorization", b"a" * n, True)]),
    "encode fields": encode_many,
    "decode a value": lambda n: decode(encoded([(b"a", b"a" * n)], huffman=False)),
    "decode a Huffman-coded value": lambda n: decode(huffman_literal(n)),
    "decode fields": lambda n: decode(never_indexed(n)),
    "decode indexed fields": lambda n: decode(b"\x82" * n),
    "decode fields that are added": lambda n: decode(
        encoded([(b"a", b"%d" % i) for i in range(n // 8)], huffman=False)
    ),
    "check fields": lambda n: lambda: check_response([(b":status", b"200")] + [(b"x-a", b" a ")] * (n // 8)),
    "check a value": lambda n: lambda: check_response([(b":status", b"200"), (b"x-a", b" \t" * n)]),
    "split frames": lambda n: split(frame(6, 0, 0, bytes(8)) * (n // 17), n),
    "split frames in single bytes": lambda n: split(frame(0, 0, 1, bytes(16_000)) * (n // 16_000), 1),
    "settings": settings,
    "TLS records": lambda n: record_ends(b"\x17\x03\x03\0\0" * (n // 5), n),
    "TLS records in single bytes": lambda n: record_ends(b"\x17\x03\x03\0\0" * (n // 5), 1),
    "head": lambda n: http1(b"HTTP/1.1 200 OK\r\nx: " + b"a" * n + b"\r\n\r\n", n + 100),
    "head in single bytes": lambda n: http1(b"HTTP/1.1 200 OK\r\nx: " + b"a" * n + b"\r\n\r\n", 1),
    "fields": lambda n: http1(b"HTTP/1.1 200 OK\r\n" + b"a:b\r\n" * (n // 5) + b"\r\n", n + 100),
    "folded lines": lambda n: http1(b"HTTP/1.1 200 OK\r\na: b\r\n" + b" c\r\n" * (n // 4) + b"\r\n", n + 100),
    "lines that are not fields": lambda n: http1(b"HTTP/1.1 200 OK\r\n" + b"??\r\n" * (n // 4) + b"\r\n", n + 100),
    "blank lines": lambda n: http1(b"\r\n" * (n // 2), n),
    "blank lines in single bytes": lambda n: http1(b"\r\n" * (n // 2), 1),
    "bare ends of lines": lambda n: http1(b"HTTP/1.1 200 OK\r\na: b\r" + b"\r" * n, 100),
    "chunks": lambda n: http1(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * (n // 6), n + 100
    ),
    "chunks in single bytes": lambda n: http1(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * (n // 6), 1
    ),
    "trailers": lambda n: http1(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"a:b\r\n" * (n // 5) + b"\r\n", 7
    ),
    "1xx": lambda n: http1(b"HTTP/1.1 100 a\r\n\r\n" * (n // 18), n),
    "messages": lambda n: websocket(plain_frame(0x81, b"ab") * (n // 4), n),
    "messages in single bytes": lambda n: websocket(plain_frame(0x81, b"ab") * (n // 4), 1),
    "one message": lambda n: websocket(plain_frame(0x82, bytes(4 * n)), 1000),
    "fragments": lambda n: websocket(fragments(n, 2), n),
    "large fragments": lambda n: websocket(fragments(8 * n, 2000), 16_384),
    "pings": lambda n: websocket(plain_frame(0x89, b"ab") * (n // 4), n, limits=UNBOUNDED_CONTROL),
    "a compressed message": lambda n: websocket(
        plain_frame(0xC2, compressed(os.urandom(8 * n), -15)[:-4]), 16_384, True
    ),
    "compressed messages": lambda n: websocket(plain_frame(0xC2, compressed(b"ab", -15)[:-4]) * (n // 8), n, True),
    "gzip": lambda n: inflated(gzip.compress(os.urandom(16 * n), 1), "gzip"),
    "gzip members": lambda n: inflated(gzip.compress(b"a") * (n // 21), "gzip"),
    "deflate in gzip": lambda n: inflated(gzip.compress(compressed(os.urandom(4 * n), 15), 1), "deflate, gzip"),
    "path": lambda n: lambda: parse_url("https://a.test/" + "a/" * (n // 2)),
    "dot segments": lambda n: lambda: parse_url("https://a.test/" + "a/" * (n // 4) + "../" * (n // 4)),
    "characters to encode": lambda n: lambda: parse_url("https://a.test/" + "é" * n),
    "query": lambda n: lambda: parse_url("https://a.test/?" + "?" * n),
    "user": lambda n: quiet(lambda: parse_url("https://" + "a:" * (n // 2) + "@a.test/")),
    "at signs": lambda n: quiet(lambda: parse_url("https://" + "@" * n)),
    "host": lambda n: quiet(lambda: parse_url("https://" + "a." * (n // 2))),
    "international host": lambda n: quiet(lambda: parse_url("https://" + "é." * (n // 2))),
    "port": lambda n: quiet(lambda: parse_url("https://a.test:" + "1" * min(n, 4000))),
    "resolve": lambda n: lambda: resolve("https://a.test/a", "/" + "a/../" * (n // 5)),
    "append": lambda n: lambda: append("https://a.test/a", "/" * n),
    "logins in a text": lambda n: lambda: without_login("//a" * (n // 3), is_url=False),
    "a login without an end": lambda n: lambda: without_login("//" + "a" * n, is_url=False),
    "charset": lambda n: lambda: charset("text/html" + ';a="' * (n // 4)),
    "parameters": lambda n: lambda: charset("text/html" + ";a=b" * (n // 4)),
    "Retry-After": lambda n: lambda: retry_after(Headers([(b"retry-after", b"Mon, 1 " * (n // 7))])),
    "Headers": lambda n: lambda: Headers([(b"a", b"b")] * (n // 4)).items(),
    "repr of Headers": lambda n: lambda: repr(Headers([(b"location", b"//" * n)])),
    "extensions": lambda n: quiet(
        lambda: check_answer(
            Headers([(b"sec-websocket-extensions", b"permessage-deflate" + b"; a" * n)]), (), DeflateOptions()
        )
    ),
    "subprotocol": lambda n: quiet(
        lambda: check_answer(Headers([(b"sec-websocket-protocol", b"a" * n)]), ("a",), None)
    ),
}


def huffman_literal(n: int) -> bytes:
    """A field whose value is n bytes of "a", Huffman-coded: 5 bits each, 00011."""
    bits = int("00011" * (n // 8 * 8), 2).to_bytes(n // 8 * 5)
    return b"\x00\x01a" + length(len(bits)) + bits


def length(n: int) -> bytes:
    """With seven bits in the first byte, which says that Huffman coding follows."""
    n -= 127
    out = b"\xff"
    while n > 127:
        out += bytes((n & 127 | 128,))
        n >>= 7
    return out + bytes((n,))


def cpu(work: Work) -> float:
    begin = time.thread_time()
    work()
    return time.thread_time() - begin


@pytest.mark.parametrize("name", LOOPS)
def test_time_is_linear_in_the_bytes_of_the_peer(name: str) -> None:
    small, large = LOOPS[name](SMALL), LOOPS[name](SMALL * TIMES)
    ratio: Any = None
    for _ in range(3):
        ratio = min(cpu(large) for _ in range(2)) / max(min(cpu(small) for _ in range(3)), 2e-4)
        if ratio <= MOST:
            return
    pytest.fail(f"{TIMES} times as many bytes cost {ratio:.0f} times as much")
