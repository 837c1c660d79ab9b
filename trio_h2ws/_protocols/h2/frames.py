"""HTTP/2 frames as bytes (RFC 9113, sections 4 and 6): splitting a byte stream into frames, and building frames.

h2 has a frame buffer as well, but must not see every frame: a GOAWAY that only asks the client to leave makes its
state CLOSED; it loses the good frames that came in one read with a bad one; and it checks a length only after it has
buffered the whole frame. So bytes are split here, one frame at a time, and the receiver handles each.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TypeAlias

from ..._errors import ErrorCode
from ..pieces import add_piece

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

END_STREAM = ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
HAS_PRIORITY = 0x20

DEFAULT_FRAME_SIZE = 16384  # the initial SETTINGS_MAX_FRAME_SIZE; we never change ours
MAX_WINDOW = 2**31 - 1
MAX_STREAM_ID = 2**31 - 1

Frame: TypeAlias = tuple[int, int, int, bytes]
"""Type, flags, stream id (without the reserved bit), payload."""

# Bytes of DATA frames that are given as one: a chunk of a body, which the application gets, is not larger.
_RUN = 64 * 1024
# A length has 24 bits; struct can do 16 and 8.
_HEADER = struct.Struct(">HBBBL")
_RST = struct.Struct(">HBBBLL")
_WINDOW = struct.Struct(">HBBBLL")


class FrameError(Exception):
    """The whole connection must end with `code` (RFC 9113, section 5.4.1)."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


class NotHTTP2(FrameError):
    """The bytes are not a frame: they begin like a response in HTTP/1.x."""


class StreamError(Exception):
    """One stream must end with `code` (RFC 9113, section 5.4.2)."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class FrameSplitter:
    """Splits what arrives into frames.

    DATA frames of one stream that have come one after the other are given as one: there are many of them in a
    download, or when a WebSocket gets many messages. `room(stream_id)` is how many bytes such a frame may have, so
    what breaks a rule comes alone, and what came before it is not lost.

    It holds at most one frame: a length above ours is refused when the frame's first nine bytes have come.
    """

    __slots__ = ("_chunks", "_held", "_needed", "_room")

    def __init__(self, room: Callable[[int], int]) -> None:
        self._room = room
        # Chunks are joined only when a frame is complete: otherwise a peer that sends byte by byte would cause
        # quadratic copying.
        self._chunks: list[bytes] = []
        self._held = 0
        self._needed = 9

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises FrameError at a frame that is too long, after those before it."""
        unpack = _HEADER.unpack_from
        position = 0
        needed = 9
        if self._chunks:
            missing = self._needed - self._held
            if len(data) < missing:
                add_piece(self._chunks, data)
                self._held += len(data)
                return
            chunks, self._chunks = self._chunks, []
            if self._held < 9:
                data = b"".join([*chunks, data])
            else:  # its length is known, and allowed: a large read is not copied for the end of one frame
                whole = b"".join([*chunks, data[:missing]])
                position = missing
                _, _, kind, flags, stream_id = unpack(whole)
                yield kind, flags, stream_id & MAX_STREAM_ID, whole[9:]
        size = len(data)
        while size - position >= 9:
            high, low, kind, flags, stream_id = unpack(data, position)
            length = high << 8 | low
            if length > DEFAULT_FRAME_SIZE:
                if data.startswith(b"HTTP/", position):
                    raise NotHTTP2(ErrorCode.PROTOCOL_ERROR, "an answer in HTTP/1.1")
                raise FrameError(
                    ErrorCode.FRAME_SIZE_ERROR,
                    f"a frame of type {kind} has {length} bytes, and {DEFAULT_FRAME_SIZE} are allowed",
                )
            end = position + 9 + length
            if end > size:
                needed = 9 + length
                break
            payload = data[position + 9 : end]
            if kind == DATA and not flags and length and data[end + 3 : end + 9] == data[position + 3 : position + 9]:
                payload, end = self._run(data, position, end)
            position = end
            yield kind, flags, stream_id & MAX_STREAM_ID, payload
        if position < size:
            rest = data[position:]
            self._chunks.append(rest)
            self._held = len(rest)
            self._needed = needed

    def _run(self, data: bytes, position: int, end: int) -> tuple[bytes, int]:
        """The payload of the DATA frame at `position` and of those after it that are like it, and where they end."""
        same = data[position + 3 : position + 9]
        pieces = [data[position + 9 : end]]
        left = min(self._room(int.from_bytes(same[2:], "big") & MAX_STREAM_ID), _RUN) - len(pieces[0])
        size = len(data)
        while data[end + 3 : end + 9] == same:
            length = int.from_bytes(data[end : end + 3], "big")
            if not 0 < length <= DEFAULT_FRAME_SIZE or length > left or end + 9 + length > size:
                break
            left -= length
            pieces.append(data[end + 9 : end + 9 + length])
            end += 9 + length
        return b"".join(pieces), end


def header(length: int, kind: int, flags: int, stream_id: int) -> bytes:
    """The nine bytes before a payload."""
    return _HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return header(len(payload), kind, flags, stream_id) + payload


def rst_stream(stream_id: int, code: int) -> bytes:
    return _RST.pack(0, 4, RST_STREAM, 0, stream_id, code)


def window_update(stream_id: int, increment: int) -> bytes:
    return _WINDOW.pack(0, 4, WINDOW_UPDATE, 0, stream_id, increment)


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    return frame(GOAWAY, 0, 0, struct.pack(">LL", last_stream_id, code) + debug)


def header_block(stream_id: int, block: bytes, end_stream: bool, max_frame_size: int) -> bytes:
    """HEADERS, and as many CONTINUATIONs as the peer's frame size requires (RFC 9113, section 6.10)."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= max_frame_size:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [frame(HEADERS, flags, stream_id, block[:max_frame_size])]
    for start in range(max_frame_size, len(block), max_frame_size):
        last = start + max_frame_size >= len(block)
        part = block[start : start + max_frame_size]
        pieces.append(frame(CONTINUATION, END_HEADERS if last else 0, stream_id, part))
    return b"".join(pieces)


def strip_padding(flags: int, payload: bytes) -> bytes:
    """DATA and HEADERS without their padding (RFC 9113, section 6.1)."""
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise FrameError(ErrorCode.PROTOCOL_ERROR, "padding is longer than its frame")
    return payload[1 : len(payload) - payload[0]]
