"""The frames that we send (RFC 6455, section 5): whole messages directly, everything else through wsproto."""

from __future__ import annotations

import os
import struct
from typing import TypeAlias

from wsproto.frame_protocol import XorMaskerSimple

from .deflate import Deflate
from .receiver import BINARY, TEXT, FrameReceiver, is_close_code

_SLICE = 64 * 1024
_SMALL_MASK = 1536  # up to here one big-integer XOR beats wsproto's four table look-ups

Data: TypeAlias = "str | bytes | bytearray | memoryview"


class FrameSender:
    """Turns messages into bytes. It shares wsproto's frame protocol with the receiver that reads."""

    __slots__ = ("_deflate", "_receiver", "close_sent")

    def __init__(self, receiver: FrameReceiver, deflate: Deflate | None) -> None:
        self._receiver = receiver
        self._deflate = deflate
        self.close_sent = False

    def message(self, data: Data) -> bytes:
        """One whole message in one frame."""
        if isinstance(data, str):
            first, payload = TEXT, data.encode()
        else:
            first, payload = BINARY, bytes(data)
        size = len(payload)
        if self._deflate is not None and self._deflate.wants(size):
            return self.part(data if first == TEXT else payload, True, compress=True)
        if size < 126:
            head = bytes((first, 0x80 | size))
        elif size < 65536:
            head = struct.pack(">BBH", first, 0xFE, size)
        else:
            head = struct.pack(">BBQ", first, 0xFF, size)
        key = os.urandom(4)  # RFC 6455, section 5.3: fresh and unpredictable for each frame
        return b"".join((head, key, _mask(payload, key)))

    def part(self, data: Data, final: bool, *, compress: bool) -> bytes:
        """One frame of a message; the first frame's `compress` counts for all of them."""
        deflate = self._deflate
        if deflate is None:
            return bytes(self._receiver.wsproto.send_data(data if isinstance(data, str) else bytes(data), final))
        deflate.compress_next = compress
        try:
            return bytes(self._receiver.wsproto.send_data(data if isinstance(data, str) else bytes(data), final))
        finally:
            deflate.compress_next = False

    def ping(self, payload: bytes) -> bytes:
        return bytes(self._receiver.wsproto.ping(payload))

    def close(self, code: int | None, reason: str) -> bytes:
        self.close_sent = True
        return bytes(self._receiver.wsproto.close(code, reason or None))


def _mask(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    if size > _SMALL_MASK:
        # In slices that stay in the processor's cache; wsproto's masker goes on where it stopped.
        process = XorMaskerSimple(key).process
        return b"".join([process(bytearray(payload[at : at + _SLICE])) for at in range(0, size, _SLICE)])
    stretched = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(stretched, "little")).to_bytes(size, "little")


def check_close(code: int, reason: str) -> None:
    """Raises ValueError for a Close that may not be sent (RFC 6455, section 7.4)."""
    if not is_close_code(code):
        raise ValueError(f"close code {code} can't be sent: use 1000 to 1003, 1007 to 1014, or 3000 to 4999")
    if len(reason.encode()) > 123:
        raise ValueError("a close reason has at most 123 bytes of UTF-8")
