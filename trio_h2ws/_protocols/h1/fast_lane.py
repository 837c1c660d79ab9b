"""The exchanges that nearly all are, without h11: a request head is written, and a response read, directly.

h11 takes about 70 microseconds for an exchange, because it checks what it writes, and parses whatever may come. What
we write is checked already, when the call is prepared. And what comes is nearly always this:

- a head in one piece, of plain fields: HTTP/1.1, a final status (or 101, if an Upgrade was asked for);
- a body with one Content-Length, or chunked without extensions and trailers, or none.

Everything else is h11's: a head that is cut, old or strange, 1xx, a body that ends with the connection, trailers, and
every error. The response may turn out to be strange at any byte; then `odd` has that byte and all after it, and
`replay` what h11 must be given before, so that it stands where this lane stood. A property test checks that both
lanes make the same of any bytes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from ..._http.headers import RawFields

_NAME = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_VALUE = rb"[^\r\n\0\v\f]*+"
# (Python before 3.11.5 matches wrongly where a group that may backtrack is repeated with *+.)
_HEAD = re.compile(
    rb"HTTP/1\.1 ([1-9][0-9][0-9])(?: " + _VALUE + rb")?\r\n((?:" + _NAME + rb":" + _VALUE + rb"\r\n)*)\r\n"
)
_FIELD = re.compile(rb"(" + _NAME + rb"):[ \t]*(" + _VALUE + rb")\r\n")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")
_BEGINNING_OF_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}\r?|")
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection"))
_MOST_DIGITS = 18
_LARGE = 6144  # bytes: the fields of a larger head are counted, and a match takes memory for each
_CHUNKED = -1


def is_length(value: bytes) -> bool:
    """It is a Content-Length as nearly all write it."""
    return value.isdigit() and len(value) <= _MOST_DIGITS and (value[0] != 0x30 or len(value) == 1)


class ResponseHead(NamedTuple):
    status: int
    fields: RawFields
    size: int
    """Bytes."""


class FastLane:
    """The responses of one connection, one after the other."""

    __slots__ = (
        "_bound",
        "_chunk_left",
        "_chunked",
        "_held",
        "_is_head",
        "_left",
        "_length",
        "_persistent",
        "_raw_head",
        "_unrequested",
        "_upgrades",
        "ended",
        "odd",
    )

    def __init__(self, bound: int) -> None:
        self._bound = min(bound, _LARGE)
        self.start(is_head=False, upgrades=False)

    def start(self, *, is_head: bool, upgrades: bool) -> None:
        """The response to the next request begins."""
        self._is_head = is_head
        self._upgrades = upgrades
        self._raw_head = b""
        self._length = self._left = 0  # of a body with Content-Length
        self._chunked = False
        self._chunk_left = 0  # bytes of this chunk that have not come, those of its line end included
        self._held = b""  # the beginning of the line with the size of a chunk
        self.ended = False
        """The response is complete."""
        self._unrequested = False  # bytes have come after it
        self._persistent = True  # the server keeps the connection open
        self.odd: bytes | None = None
        """What h11 has to handle, after `replay()`."""

    @property
    def in_body(self) -> bool:
        """The head has been read."""
        return bool(self._raw_head)

    def read_head(self, data: bytes) -> ResponseHead | None:
        """The head, if it is one for this lane; else `odd` is set."""
        match = _HEAD.match(data, 0, self._bound)
        if match is None:
            self.odd = data
            return None
        status = int(match[1])
        fields = [(name.lower(), value.rstrip(b" \t")) for name, value in _FIELD.findall(match[2])]
        length = self._framing(status, fields)
        if length is None:
            self.odd = data
            return None
        self._raw_head = match[0]
        self._chunked = length == _CHUNKED
        self._length = self._left = max(length, 0)
        return ResponseHead(status, fields, match.end())

    def _framing(self, status: int, fields: RawFields) -> int | None:
        """The length of the body (RFC 9112, section 6.3), or `_CHUNKED`; None: h11 knows."""
        length: int | None = None
        for name, value in fields:
            if name not in _FRAMING:
                continue
            value = value.lower()
            if name == b"connection":
                if value == b"close":
                    self._persistent = False
                elif value != b"keep-alive" and status != 101:
                    return None
            elif length is not None:
                return None
            elif name == b"transfer-encoding":
                if value != b"chunked" or (name, value) not in fields:
                    return None
                length = _CHUNKED
            elif is_length(value):
                length = int(value)
            else:
                return None
        if status < 200:
            return 0 if status == 101 and self._upgrades else None
        return 0 if self._is_head or status in (204, 304) else length

    def read_body(self, data: bytes) -> bytes:
        """What of the data belongs to the body. Sets `ended`, `unrequested` or `odd`."""
        if self._chunked:
            return self._read_chunks(data)
        left = self._left - len(data)
        if left > 0:
            self._left = left
            return data
        body = data if left == 0 else data[:left]
        self._left = 0
        self.ended = True
        self._unrequested = left < 0
        return body

    def _read_chunks(self, data: bytes) -> bytes:
        if self._held:
            data = self._held + data
            self._held = b""
        pieces: list[bytes] = []
        at, size = 0, len(data)
        while at < size:
            left = self._chunk_left
            if left > 2:
                piece = data[at : at + left - 2]
                pieces.append(piece)
                at += len(piece)
                self._chunk_left -= len(piece)
            elif left:
                line_end = b"\r\n"[2 - left :]
                came = data[at : at + left]
                if not line_end.startswith(came):
                    self.odd = data[at:]
                    break
                at += len(came)
                self._chunk_left -= len(came)
            else:
                match = _SIZE.match(data, at)
                if match is None or (match.end() - at > 3 and data[at : at + 1] == b"0"):
                    if match is None and _BEGINNING_OF_SIZE.fullmatch(data, at):
                        self._held = data[at:]
                    else:
                        self.odd = data[at:]
                    break
                length = int(match[1], 16)
                if length:
                    self._chunk_left = length + 2
                    at = match.end()
                    continue
                rest = data[match.end() :]
                if rest[:2] == b"\r\n":
                    self.ended = True
                    self._unrequested = len(rest) > 2
                elif rest in (b"", b"\r"):
                    self._held = data[at:]
                else:
                    self.odd = data[at:]
                break
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def replay(self) -> bytes:
        """What must come before `odd`: the head, and a chunk of which as much is left. None of its body is new."""
        left = self._chunk_left
        if not left:
            return self._raw_head
        begun = b"%x\r\n" % (left - 2) if left > 2 else b"1\r\nx" + b"\r\n"[: 2 - left]
        return self._raw_head + begun

    def take_odd(self) -> bytes:
        """It is not kept."""
        odd, self.odd = self.odd, None
        return odd or b""

    def leave_held(self) -> None:
        """No more will come: what is held is `odd`."""
        self.odd, self._held = self._held, b""

    def lasts(self) -> bool:
        """Both sides have ended. Whether the connection may carry another exchange."""
        # Unrequested bytes must not be taken for the response to the next request.
        return self._persistent and not self._unrequested

    @property
    def incomplete(self) -> str | None:
        """What is wrong if the connection has ended now, for a body with Content-Length."""
        if self._chunked or self.ended:
            return None
        received = self._length - self._left
        return f"the connection ended after {received} of the {self._length} bytes of the body"
