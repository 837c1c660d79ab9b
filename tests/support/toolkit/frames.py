"""HTTP/2 frames as bytes, written with hyperframe and hpack and not with the code under test.

Each function returns the bytes of one frame, of several, or of a header block, even of one that no RFC allows:
`raw` writes any type, flags and payload, and `literal` writes any field, so a test can be as rude as any peer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence

import hpack
import hyperframe.frame as hf

Fields = Sequence[tuple[bytes | str, bytes | str]]

# Settings, by the names of RFC 9113 and RFC 8441.
HEADER_TABLE_SIZE = 1
ENABLE_PUSH = 2
MAX_CONCURRENT_STREAMS = 3
INITIAL_WINDOW_SIZE = 4
MAX_FRAME_SIZE = 5
MAX_HEADER_LIST_SIZE = 6
ENABLE_CONNECT_PROTOCOL = 8

# Error codes.
NO_ERROR = 0
PROTOCOL_ERROR = 1
INTERNAL_ERROR = 2
FLOW_CONTROL_ERROR = 3
SETTINGS_TIMEOUT = 4
STREAM_CLOSED = 5
FRAME_SIZE_ERROR = 6
REFUSED_STREAM = 7
CANCEL = 8
COMPRESSION_ERROR = 9
CONNECT_ERROR = 10
ENHANCE_YOUR_CALM = 11

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_SIZE = 16384
MAX_WINDOW = 2**31 - 1


def raw(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"", *, length: int | None = None) -> bytes:
    """Any frame. `length` is announced in place of the payload's length."""
    size = len(payload) if length is None else length
    return struct.pack(">HBBBL", size >> 8, size & 0xFF, kind, flags, stream) + payload


def data(stream: int, body: bytes = b"", *, end: bool = False, pad: int | None = None) -> bytes:
    """DATA; with `pad`, padded by that many bytes in addition to the length byte."""
    frame = hf.DataFrame(stream, body, pad_length=pad or 0)
    if end:
        frame.flags.add("END_STREAM")
    if pad is not None:
        frame.flags.add("PADDED")
    return frame.serialize()


def body(stream: int, content: bytes, *, end: bool = True, size: int = FRAME_SIZE) -> bytes:
    """A body in as many DATA frames as needed."""
    pieces = [content[at : at + size] for at in range(0, len(content), size)] or [b""]
    return b"".join(data(stream, piece, end=end and piece is pieces[-1]) for piece in pieces)


def headers(
    stream: int, block: bytes, *, end: bool = False, end_headers: bool = True, pad: int | None = None
) -> bytes:
    """HEADERS with an encoded block."""
    frame = hf.HeadersFrame(stream, block, pad_length=pad or 0)
    if end:
        frame.flags.add("END_STREAM")
    if end_headers:
        frame.flags.add("END_HEADERS")
    if pad is not None:
        frame.flags.add("PADDED")
    return frame.serialize()


def continuation(stream: int, block: bytes = b"", *, end_headers: bool = False) -> bytes:
    frame = hf.ContinuationFrame(stream, block)
    if end_headers:
        frame.flags.add("END_HEADERS")
    return frame.serialize()


def settings(values: Mapping[int, int] | Iterable[tuple[int, int]] = (), *, ack: bool = False) -> bytes:
    """SETTINGS; a setting may occur twice."""
    pairs = values.items() if isinstance(values, Mapping) else values
    return raw(4, 1 if ack else 0, 0, b"".join(struct.pack(">HL", code, value) for code, value in pairs))


def ping(payload: bytes = b"\0" * 8, *, ack: bool = False) -> bytes:
    return raw(6, 1 if ack else 0, 0, payload)


def goaway(last: int = 2**31 - 1, code: int = NO_ERROR, debug: bytes = b"") -> bytes:
    return hf.GoAwayFrame(0, last_stream_id=last, error_code=code, additional_data=debug).serialize()


def rst(stream: int, code: int = CANCEL) -> bytes:
    return hf.RstStreamFrame(stream, error_code=code).serialize()


def window_update(stream: int, increment: int) -> bytes:
    return raw(8, 0, stream, increment.to_bytes(4, "big"))


def priority(stream: int, depends_on: int = 0, weight: int = 15) -> bytes:
    return hf.PriorityFrame(stream, depends_on=depends_on, stream_weight=weight).serialize()


def push_promise(stream: int, promised: int, block: bytes) -> bytes:
    frame = hf.PushPromiseFrame(stream, promised_stream_id=promised, data=block)
    frame.flags.add("END_HEADERS")
    return frame.serialize()


# Header blocks.


def _bytes(text: bytes | str) -> bytes:
    return text.encode() if isinstance(text, str) else text


def pairs(fields: Fields | Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    items = fields.items() if isinstance(fields, Mapping) else fields
    return [(_bytes(name), _bytes(value)) for name, value in items]


def encode(encoder: hpack.Encoder, fields: Fields | Mapping[str, str]) -> bytes:
    """A block in an HPACK context. hpack accepts anything: upper case, line breaks, pseudo-headers anywhere."""
    return encoder.encode(pairs(fields))


def _integer(value: int, bits: int, first: int) -> bytes:
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((first | value,))
    out = bytearray((first | limit,))
    value -= limit
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(name: bytes, value: bytes, *, index: bool = False) -> bytes:
    """One literal field without Huffman coding (RFC 7541, section 6.2); with `index` it enters the table."""
    head = b"\x40" if index else b"\x00"
    return head + _integer(len(name), 7, 0) + name + _integer(len(value), 7, 0) + value


def literals(fields: Fields | Mapping[str, str]) -> bytes:
    """A block that does not change the HPACK context: it needs no encoder, and can be sent at any time."""
    return b"".join(literal(name, value) for name, value in pairs(fields))


def indexed(index: int) -> bytes:
    """A reference to a table entry (RFC 7541, section 6.1)."""
    return _integer(index, 7, 0x80)


def table_size(size: int) -> bytes:
    """A dynamic table size update (RFC 7541, section 6.3)."""
    return _integer(size, 5, 0x20)


# WebSocket frames (RFC 6455, section 5.2), as a server writes them.

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def ws(
    opcode: int,
    payload: bytes | str = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
    length: int | None = None,
    width: int | None = None,
) -> bytes:
    """One frame. `length` is announced in place of the payload's length, in a field of `width` (7, 16, 64) bits."""
    content = _bytes(payload)
    size = len(content) if length is None else length
    width = width or (7 if size < 126 else 16 if size < 65536 else 64)
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0 if mask is None else 0x80
    if width == 7:
        head = bytes((first, masked | size))
    elif width == 16:
        head = struct.pack(">BBH", first, masked | 126, size)
    else:
        head = struct.pack(">BBQ", first, masked | 127, size)
    if mask is not None:
        content = bytes(byte ^ mask[i % 4] for i, byte in enumerate(content))
        head += mask
    return head + content


def ws_close(code: int | None = 1000, reason: str = "") -> bytes:
    return ws(CLOSE, b"" if code is None else struct.pack(">H", code) + reason.encode())


def parse(data: bytes) -> list[hf.Frame]:
    """The frames in these bytes, as hyperframe reads them."""
    parsed = []
    while data:
        frame, length = hf.Frame.parse_frame_header(memoryview(data[:9]), strict=True)
        frame.parse_body(memoryview(data[9 : 9 + length]))
        data = data[9 + length :]
        parsed.append(frame)
    return parsed
