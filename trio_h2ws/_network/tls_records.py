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

    def feed(self, data: bytes) -> None:
        at, size = 0, len(data)
        while True:
            at += self._left
            if at >= size:
                self._left = at - size
                return
            self._left = 0
            missing = _HEADER - len(self._header)
            header = self._header + data[at : at + missing]
            at += missing
            if len(header) < _HEADER:
                self._header = header
                return
            self._header = b""
            self._left = int.from_bytes(header[3:])
