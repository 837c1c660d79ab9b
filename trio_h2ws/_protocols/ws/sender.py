"""The frames that we send (RFC 6455, section 5; RFC 7692): messages, parts of them, Ping, Close."""

from __future__ import annotations

from struct import pack
from typing import TypeAlias

from .deflate import Deflate
from .frames import BINARY, CLOSE, FIN, PING, RSV1, TEXT, client_frame

Data: TypeAlias = "str | bytes | bytearray | memoryview"

LONE_SURROGATE = "the text contains a lone surrogate, which can't be encoded as UTF-8"


class FrameSender:
    """Turns messages into bytes."""

    __slots__ = ("_deflate", "_in_message", "close_sent")

    def __init__(self, deflate: Deflate | None) -> None:
        self._deflate = deflate
        self._in_message = False  # a part was sent, and not the last one
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
        deflate = self._deflate
        if deflate is not None and deflate.wants(len(payload)):
            return client_frame(first | RSV1, deflate.compress(payload, final=True))
        return client_frame(first, payload)

    def part(self, data: Data, final: bool) -> bytes:
        """One frame of a message in parts, which is compressed if compression was agreed on."""
        first = 0 if self._in_message else (TEXT if isinstance(data, str) else BINARY) & ~FIN
        payload = data.encode() if isinstance(data, str) else bytes(data)
        if self._deflate is not None:
            first |= 0 if self._in_message else RSV1
            payload = self._deflate.compress(payload, final=final)
        self._in_message = not final
        return client_frame(first | FIN if final else first, payload)

    def ping(self, payload: bytes) -> bytes:
        return client_frame(PING, payload)

    def close(self, code: int | None, reason: str) -> bytes:
        """Without a code there is no reason either. At most 123 bytes of it (RFC 6455, section 5.5)."""
        self.close_sent = True
        return client_frame(CLOSE, b"" if code is None else pack(">H", code) + reason.encode())
