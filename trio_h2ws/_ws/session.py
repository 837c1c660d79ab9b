"""One WebSocket, client side, without IO: bytes in, messages and replies out (RFC 6455, 7692).

wsproto knows the protocol. What it lacks is bounds: it accepts any announced length, any number of fragments, any
message size. So frame headers are read here first, each bound is checked before a byte of payload is buffered, and
then wsproto gets the frame, in whatever pieces it arrives.

Two lanes. A frame that is whole, final, uncompressed and small is most of the traffic of most users, and needs
nothing that wsproto knows: the fast lane takes its payload directly. Everything else (fragments, control frames,
compressed, large or partial frames, every violation) goes the wsproto lane. A property test holds that both lanes
say the same for any bytes.

Back-pressure. The session parses only while its queue has room; what it was given beyond that stays raw, and its
owner gives it no more. So pings and closes are answered while the application is busy, up to that bound.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from typing import Any

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed, XorMaskerSimple

from .._config import Limits
from .deflate import Deflate

_TEXT, _BINARY = 0x81, 0x82  # FIN and opcode, no reserved bit
_FAST = 64 * 1024  # an inbound frame up to this size may take the fast lane
_SMALL_MASK = 1536  # up to here one big-integer XOR beats wsproto's four table look-ups
_NOT_SENT = frozenset((1005, 1006, 1015))  # RFC 6455, section 7.4.1: never on the wire


class Session:
    """Feed it with `receive`, take from `messages`; send what `replies` holds."""

    __slots__ = (
        "_announced",
        "_deflate",
        "_frame_left",
        "_in_message",
        "_limits",
        "_parts",
        "_parts_size",
        "_raw",
        "_small_frames",
        "_wsproto",
        "close_code",
        "close_reason",
        "close_received",
        "close_sent",
        "failure",
        "messages",
        "pongs",
        "queued_bytes",
        "replies",
    )

    def __init__(self, limits: Limits, deflate: Deflate | None = None) -> None:
        self._limits = limits
        self._deflate = deflate
        self._wsproto = FrameProtocol(client=True, extensions=[deflate] if deflate is not None else [])
        self._raw = b""
        self._frame_left = 0  # bytes of the frame in wsproto's lane that have not come yet
        self._in_message = False
        self._parts: list[Any] = []
        self._parts_size = 0
        self._announced = 0
        self._small_frames = 0
        self.messages: deque[str | bytes] = deque()
        self.queued_bytes = 0
        self.replies = bytearray()  # pongs
        self.pongs: list[bytes] = []  # payloads that the peer answered
        self.close_received = False
        self.close_sent = False
        self.close_code: int | None = None
        self.close_reason = ""
        self.failure: tuple[int, str] | None = None
        """Set when the peer broke the protocol or a bound: the close code to send, and why."""

    # Bytes in.

    @property
    def has_room(self) -> bool:
        """Whether more bytes would be parsed."""
        limits = self._limits
        return len(self.messages) < limits.max_queued_messages and self.queued_bytes < limits.max_queued_bytes

    @property
    def holds_raw(self) -> bool:
        """Whether bytes wait for room."""
        return bool(self._raw)

    def receive(self, data: bytes) -> None:
        """Parse `data`, as far as there is room. Look at `messages`, `replies`, `close_received`, `failure`."""
        raw = self._raw + data if self._raw else data
        self._raw = b""
        if self.close_received or self.failure is not None:
            return  # RFC 6455, section 5.5.1: nothing counts after a Close
        position, size = 0, len(raw)
        limits = self._limits
        messages = self.messages
        try:
            while position < size:
                if len(messages) >= limits.max_queued_messages or self.queued_bytes >= limits.max_queued_bytes:
                    break
                if self._frame_left:
                    chunk = raw[position : position + self._frame_left]
                    position += len(chunk)
                    self._frame_left -= len(chunk)
                    self._slow_lane(chunk)
                    if self.close_received:
                        return
                    continue
                if size - position < 2:
                    break
                first, length = raw[position], raw[position + 1]
                head = 2
                if length == 126:
                    head = 4
                    if size - position < head:
                        break
                    length = raw[position + 2] << 8 | raw[position + 3]
                elif length >= 127:
                    # 127, or the mask bit, which a server must not set: wsproto says what is wrong with it.
                    head = 10 if length & 0x7F == 127 else 2
                    if size - position < head:
                        break
                    length = int.from_bytes(raw[position + 2 : position + 10], "big") if head == 10 else length & 0x7F
                end = position + head + length
                if (first == _TEXT or first == _BINARY) and end <= size and not self._in_message and length <= _FAST:
                    if head == 2 or (head == 4 and length > 125):
                        if limits.max_message_size is not None and length > limits.max_message_size:
                            self._too_big()
                        payload = raw[position + head : end]
                        messages.append(payload.decode() if first == _TEXT else payload)
                        self.queued_bytes += len(messages[-1])
                        position = end
                        continue
                self._check_frame(first, length)
                self._frame_left = head + length
        except UnicodeDecodeError as error:
            self.failure = (CloseReason.INVALID_FRAME_PAYLOAD_DATA, str(error))
        except ParseFailed as error:
            code = CloseReason.MESSAGE_TOO_BIG if error.code == CloseReason.MESSAGE_TOO_BIG else error.code
            self.failure = (code, str(error))
        else:
            self._raw = raw[position:]

    def _check_frame(self, first: int, length: int) -> None:
        """The bounds, before a byte of the payload is buffered."""
        opcode = first & 0x0F
        if opcode >= 8:
            return  # a control frame; wsproto holds it to 125 bytes
        limits = self._limits
        if opcode:
            self._in_message = True
            self._announced = 0
            self._small_frames = 0
            if self._deflate is not None:
                self._deflate.allowed = limits.max_message_size
        self._announced += length
        compressed = self._deflate is not None and (first & 0x40 or self._deflate.inflating)
        if limits.max_message_size is not None and not compressed and self._announced > limits.max_message_size:
            self._too_big()
        if length < 64 and limits.max_fragments is not None and not first & 0x80:
            self._small_frames += 1
            if self._small_frames > limits.max_fragments:
                raise ParseFailed(
                    f"a message in more than {limits.max_fragments} small fragments (Limits.max_fragments)",
                    CloseReason.POLICY_VIOLATION,
                )

    def _too_big(self) -> None:
        raise ParseFailed(
            f"a message of more than {self._limits.max_message_size} bytes (Limits.max_message_size)",
            CloseReason.MESSAGE_TOO_BIG,
        )

    def _slow_lane(self, chunk: bytes) -> None:
        self._wsproto.receive_bytes(chunk)
        for frame in self._wsproto.received_frames():
            opcode = frame.opcode
            payload: Any = frame.payload  # str, bytes, or (code, reason) of a Close
            if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
                self._parts.append(payload)
                self._parts_size += len(payload)
                if frame.message_finished:
                    self._message_done(opcode is Opcode.TEXT)
            elif opcode is Opcode.PING:
                if not self.close_sent:
                    self.replies += self._wsproto.pong(payload)
            elif opcode is Opcode.PONG:
                self.pongs.append(payload)
            else:
                self.close_received = True
                self.close_code, self.close_reason = int(payload[0]), payload[1]

    def _message_done(self, text: bool) -> None:
        parts = self._parts
        message = parts[0] if len(parts) == 1 else ("" if text else b"").join(parts)
        self.queued_bytes += self._parts_size
        self._parts = []
        self._parts_size = 0
        self._in_message = False
        self.messages.append(message)

    def pop(self) -> str | bytes:
        """The next message."""
        message = self.messages.popleft()
        self.queued_bytes = self.queued_bytes - len(message) if self.messages else 0
        return message

    # Messages out. Each returns the bytes to send.

    def message(self, data: str | bytes | bytearray | memoryview) -> bytes:
        """One whole message in one frame."""
        if isinstance(data, str):
            first, payload = _TEXT, data.encode()
        else:
            first, payload = _BINARY, bytes(data)
        size = len(payload)
        deflate = self._deflate
        if deflate is not None and deflate.wants(size):
            deflate.compress_next = True
            try:
                return bytes(self._wsproto.send_data(data if isinstance(data, str) else payload))
            finally:
                deflate.compress_next = False
        if size < 126:
            head = bytes((first, 0x80 | size))
        elif size < 65536:
            head = struct.pack(">BBH", first, 0xFE, size)
        else:
            head = struct.pack(">BBQ", first, 0xFF, size)
        key = os.urandom(4)  # RFC 6455, section 5.3: fresh and unpredictable for each frame
        return b"".join((head, key, _mask(payload, key)))

    def ping(self, payload: bytes) -> bytes:
        return bytes(self._wsproto.ping(payload))

    def close(self, code: int | None, reason: str) -> bytes:
        self.close_sent = True
        return bytes(self._wsproto.close(code, reason or None))


def _mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    if size > _SMALL_MASK:
        return bytes(XorMaskerSimple(key).process(bytearray(payload)))
    stretched = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(stretched, "little")).to_bytes(size, "little")


def check_close(code: int, reason: str) -> None:
    """Raises ValueError for a Close that may not be sent (RFC 6455, section 7.4)."""
    known = 1000 <= code <= 1014 and code != 1004
    if code in _NOT_SENT or not (known or 3000 <= code <= 4999):
        raise ValueError(f"close code {code} can't be sent: use 1000, 1001, 1003, 1007 to 1014, or 3000 to 4999")
    if len(reason.encode()) > 123:
        raise ValueError("a close reason has at most 123 bytes of UTF-8")
