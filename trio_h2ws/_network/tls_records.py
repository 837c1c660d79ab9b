"""Where TLS records begin and end (RFC 8446, section 5.1), without looking into them.

OpenSSL does not report whether the connection ended between two records or inside one. After an end without
close_notify that is the difference between a server that omits it, and a connection that was cut.
"""

from __future__ import annotations

_HEADER = 5  # type, version, and the length of the rest in two bytes


class RecordBoundary:
    """Give it every byte that arrives, in order."""

    __slots__ = ("_header", "_left")

    def __init__(self) -> None:
        self._header = b""  # of the record that begins, while it is not complete
        self._left = 0  # bytes of the present record that have not arrived

    @property
    def inside(self) -> bool:
        """Whether a record has begun and is not complete."""
        return bool(self._left or self._header)

    def feed(self, data: bytes | memoryview) -> None:
        if self._header:
            data = self._header + bytes(data)
            self._header = b""
        at, size = self._left, len(data)
        while at + _HEADER <= size:
            at += _HEADER + (data[at + 3] << 8 | data[at + 4])
        if at < size:
            self._header = bytes(data[at:])
        self._left = max(at - size, 0)
