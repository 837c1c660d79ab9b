"""A second reading of RFC 6455 and RFC 7692, as short as it can be: what a client must make of a server's frames.

It knows no bounds, and gets all bytes at once.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

_TAIL = b"\x00\x00\xff\xff"
_CODES = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


class _Failure(Exception):
    def __init__(self, code: int) -> None:
        self.code = code


@dataclass
class Reading:
    messages: list[str | bytes] = field(default_factory=list)
    pings: list[bytes] = field(default_factory=list)
    pongs: list[bytes] = field(default_factory=list)
    closed: tuple[int, str] | None = None  # 1005: without a code
    failed: int | None = None  # the code of the Close that the client must send


class Reference:
    def __init__(self, data: bytes, *, deflate: bool) -> None:
        self._deflate = deflate
        self._message: bytearray | None = None
        self._is_text = self._is_compressed = False
        self._inflater = zlib.decompressobj(-15)
        self.reading = Reading()
        try:
            while (step := self._frame(data)) and self.reading.closed is None:
                data = data[step:]
        except _Failure as failure:
            self.reading.failed = failure.code

    def _frame(self, data: bytes) -> int:
        """The first frame of the data. Returns its size; 0 if it is not whole."""
        if len(data) < 2:
            return 0
        fin, rsv, opcode = bool(data[0] & 0x80), data[0] >> 4 & 7, data[0] & 15
        length, at = data[1] & 0x7F, 2
        if length >= 126:
            at = 4 if length == 126 else 10
            if len(data) < at:
                return 0
            length = int.from_bytes(data[2:at], "big")
            if length < (126 if at == 4 else 65536) or length >= 1 << 63:
                raise _Failure(1002)
        if data[1] & 0x80:
            if len(data) < at + 4:
                return 0
            raise _Failure(1002)
        if opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
            raise _Failure(1002)
        is_control = opcode > 7
        if is_control and (not fin or length > 125 or rsv):
            raise _Failure(1002)
        if rsv and (rsv != 4 or not self._deflate or opcode == 0):
            raise _Failure(1002)
        if len(data) < at + length:
            return 0
        if not is_control and (opcode == 0) == (self._message is None):
            raise _Failure(1002)
        payload = data[at : at + length]
        if is_control:
            self._control(opcode, payload)
        else:
            self._data(opcode, rsv == 4, fin, payload)
        return at + length

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == 9:
            self.reading.pings.append(payload)
        elif opcode == 10:
            self.reading.pongs.append(payload)
        elif not payload:
            self.reading.closed = (1005, "")
        else:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 0
            if code not in _CODES and not 3000 <= code < 5000:
                raise _Failure(1002)
            self.reading.closed = (code, self._text(payload[2:]))

    def _data(self, opcode: int, compressed: bool, fin: bool, payload: bytes) -> None:
        if opcode:
            self._message = bytearray()
            self._is_text, self._is_compressed = opcode == 1, compressed
        assert self._message is not None
        self._message += payload
        if not fin:
            return
        message = bytes(self._message)
        self._message = None
        if self._is_compressed:
            try:
                message = self._inflater.decompress(message + _TAIL)
            except zlib.error:
                raise _Failure(1007) from None
            if self._inflater.eof:
                self._inflater = zlib.decompressobj(-15)
        self.reading.messages.append(self._text(message) if self._is_text else message)

    def _text(self, data: bytes) -> str:
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise _Failure(1007) from None
