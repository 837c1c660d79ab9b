"""The frames that we send (RFC 6455, section 5): whole messages directly, everything else through wsproto."""

from __future__ import annotations

import os
import struct
from typing import Protocol, TypeAlias

from wsproto.frame_protocol import FrameProtocol

from .deflate import Deflate
from .frames import BINARY, PING, TEXT, control_frame, mask

Data: TypeAlias = "str | bytes | bytearray | memoryview"

LONE_SURROGATE = "the text contains a lone surrogate, which can't be encoded as UTF-8"


class HasWsproto(Protocol):
    """The receiver: it makes wsproto's part of a WebSocket when it is first needed."""

    @property
    def wsproto(self) -> FrameProtocol: ...


class FrameSender:
    """Turns messages into bytes. It shares wsproto's frame protocol with the receiver."""

    __slots__ = ("_deflate", "_receiver", "close_sent")

    def __init__(self, receiver: HasWsproto, deflate: Deflate | None) -> None:
        self._receiver = receiver
        self._deflate = deflate
        self.close_sent = False

    def message(self, data: Data) -> bytes:
        """One whole message in one frame. Raises ValueError for text that is not Unicode."""
        if isinstance(data, str):
            try:
                first, payload = TEXT, data.encode()
            except UnicodeEncodeError:
                raise ValueError(LONE_SURROGATE) from None
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
        return b"".join((head, key, mask(payload, key)))

    def part(self, data: Data, final: bool, *, compress: bool) -> bytes:
        """One frame of a message; `compress` of the first frame applies to all of them."""
        deflate = self._deflate
        if deflate is None:
            return bytes(self._receiver.wsproto.send_data(data if isinstance(data, str) else bytes(data), final))
        deflate.compress_next = compress
        try:
            return bytes(self._receiver.wsproto.send_data(data if isinstance(data, str) else bytes(data), final))
        finally:
            deflate.compress_next = False

    def ping(self, payload: bytes) -> bytes:
        return control_frame(PING, payload)

    def close(self, code: int | None, reason: str) -> bytes:
        self.close_sent = True
        return bytes(self._receiver.wsproto.close(code, reason or None))
