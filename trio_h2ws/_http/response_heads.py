"""Heads of HTTP/1.1 responses as servers really send them, put right before h11 sees them.

h11 accepts what RFC 9112 allows. Browsers accept more, so servers send more: blank lines before the status line,
lines that are not fields ("PHP Warning: …", `Bad Name: x`), `Transfer-Encoding: identity`. Here such lines are left
out. All the rest passes unchanged, and h11 judges it.

Framing. A line that is left out must not hide where the body ends: parsers that differ about that are what response
splitting needs. So the framing is the one that the remaining fields give, and a bad line that may have meant
Content-Length or Transfer-Encoding is an error: `Content-Length : 5`, an indented one, one that continues in the next
line. After a bad line the connection should carry no further exchange (`left_out`).

Which bytes are a head: all before the body of the final (not 1xx) response. The trailers of a chunked body are
treated like a head, and the sizes of its chunks are read to find them. A head is held until it is whole, and its
bound applies to the whole of it, so the result does not depend on how the bytes were cut on their way. It is a
bound for the number of fields as well, 32 bytes each, as RFC 9113, section 6.5.2, counts them: a field of four bytes
becomes Python objects of 150. But 2,048 fields are always allowed.

Cost. A good head that arrives in one piece costs one match of a regular expression.
"""

from __future__ import annotations

import re
from enum import Enum

_LINE_END = rb"\r?\n"
_NAME = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_GOOD_FIELD = rb"(?!(?i:transfer-encoding:))" + _NAME + rb":[^\r\n\0\v\f]*+" + _LINE_END
_CHUNKED = rb"(?i:transfer-encoding:[ \t]*+chunked[ \t]*+)" + _LINE_END
_STATUS = rb"HTTP/[0-9]\.[0-9] ([0-9]{3})[^\r\n\0]*+" + _LINE_END
_STATUS_LINE = re.compile(_STATUS)
# Group 1 is the status; group 2 is there if the body is chunked. (Python before 3.11.5 matches wrongly where a group
# that may backtrack is repeated with *+.)
_GOOD_HEAD = re.compile(_STATUS + rb"(?:" + _GOOD_FIELD + rb"|(" + _CHUNKED + rb"))*" + _LINE_END)
_HEAD_END = re.compile(rb"\n\r?\n")
_BLANK_LINE = re.compile(_LINE_END)
_BLANK_LINES = re.compile(rb"(?:\r?\n)*")
_FIELD_NAME = re.compile(rb"(" + _NAME + rb"):")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,20})(?:;.*)?[ \t]*")
_FIELD = 32  # what a field counts for, at least
_ALWAYS_ALLOWED = 2048  # fields
_MAX_SIZE_LINE = 1024  # a longer one is left to h11, with all that follows it
_FRAMING = (b"content-length", b"transfer-encoding")
_BLANKS = bytes.maketrans(b"\v\f", b"  ")


class MalformedHead(Exception):
    """The message says what is wrong."""


class HeadTooLarge(Exception):
    """A head, or the trailers of a body, have more bytes than the bound."""


class _Phase(Enum):
    HEAD = 1
    CHUNKS = 2
    TRAILERS = 3
    REST = 4  # everything passes
    FAILED = 5  # nothing passes


class ResponseHeads:
    """The responses on one connection, one after the other. `bodies=False`: what follows the final head passes."""

    __slots__ = (
        "_blank",
        "_bodies",
        "_bound",
        "_chunk_left",
        "_held",
        "_phase",
        "_searched",
        "begun",
        "error",
        "left_out",
    )

    def __init__(self, bound: int, *, bodies: bool = True) -> None:
        self._bound = bound
        self._bodies = bodies
        self._held = bytearray()  # the beginning of something that is not whole yet
        self.error: MalformedHead | HeadTooLarge | None = None
        """Why nothing passes any more. What came before it has passed."""
        self.start()

    def start(self) -> None:
        """The response to the next request begins."""
        self._phase = _Phase.HEAD
        self._held.clear()
        self._searched = 0  # the head does not end before this byte
        self._blank = 0  # bytes of blank lines before a status line
        self._chunk_left = 0  # bytes of this chunk that have not come, those of its line end included
        self.begun = False
        """Whether a byte of it has come that is not a blank line."""
        self.left_out = False
        """Whether a line was left out that is not a field."""

    @property
    def holding(self) -> bool:
        """Whether bytes have come that have not passed."""
        return bool(self._held)

    def feed(self, data: bytes) -> bytes:
        """What may pass of all that has come and has not passed yet."""
        if self._phase is _Phase.REST and not self._held:
            return data
        if self._phase is _Phase.FAILED:
            return b""
        held = self._held
        buffer: bytes | bytearray = data
        if held:
            held += data
            buffer = held
        out: list[bytes | bytearray] = []
        at = 0
        try:
            while at < len(buffer):
                phase = self._phase
                before = at
                if phase is _Phase.HEAD:
                    at = self._head(buffer, at, out)
                elif phase is _Phase.CHUNKS:
                    at = self._chunks(buffer, at)
                    out.append(buffer[before:at])
                elif phase is _Phase.TRAILERS:
                    at = self._trailers(buffer, at, out)
                else:
                    out.append(buffer[at:])
                    at = len(buffer)
                if at == before and phase is self._phase:
                    break  # the rest is not whole
        except (MalformedHead, HeadTooLarge) as error:
            self.error = error
            self._phase = _Phase.FAILED
            held.clear()
        else:
            if buffer is held:
                del held[:at]
            else:
                held += buffer[at:]
        return bytes(out[0]) if len(out) == 1 else b"".join(out)

    def end(self) -> bytes:
        """No more will come: what is held, for h11 to see that it is not whole."""
        held = bytes(self._held)
        self._held.clear()
        return held

    # Each step returns the place up to which the buffer is used; without a change, it waits for more.

    def _head(self, buffer: bytes | bytearray, at: int, out: list[bytes | bytearray]) -> int:
        if not self._searched:
            skipped = _BLANK_LINES.match(buffer, at)
            if skipped and skipped.end() > at:
                self._blank += skipped.end() - at
                self._check_size(self._blank)
                return skipped.end()
            if buffer[at:] == b"\r":
                return at
            self.begun = True
            match = _GOOD_HEAD.match(buffer, at)
            if match:
                self._check_size(match.end() - at)
                self._check_fields(match[0])
                self._after_head(match)
                out.append(match[0])
                return match.end()
        if self._searched < 5 and not b"HTTP/".startswith(buffer[at : at + 5]):
            raise MalformedHead("illegal status line: it does not begin with HTTP/")
        end = self._find_end(buffer, at)
        if end:
            head = bytes(buffer[at:end])
            match = _GOOD_HEAD.fullmatch(head)
            if match is None:
                status = _STATUS_LINE.match(head)
                if status is None:
                    raise MalformedHead(f"illegal status line: {head.splitlines()[0][:100]!r}")
                head = status[0] + self._fields(head[status.end() :])
                match = _GOOD_HEAD.fullmatch(head)
            self._check_fields(head)
            self._after_head(match)
            out.append(head)
        return end or at

    def _trailers(self, buffer: bytes | bytearray, at: int, out: list[bytes | bytearray]) -> int:
        if not self._searched:
            if buffer[at:] == b"\r":
                return at
            blank = _BLANK_LINE.match(buffer, at)
            if blank:
                self._phase = _Phase.REST
                out.append(blank[0])
                return blank.end()
        end = self._find_end(buffer, at)
        if end:
            trailers = self._fields(bytes(buffer[at:end]))
            self._check_fields(trailers)
            self._phase = _Phase.REST
            out.append(trailers)
        return end or at

    def _chunks(self, buffer: bytes | bytearray, at: int) -> int:
        size = len(buffer)
        while at < size and self._phase is _Phase.CHUNKS:
            if self._chunk_left:
                step = min(self._chunk_left, size - at)
                self._chunk_left -= step
                at += step
                continue
            end = buffer.find(b"\r\n", at, at + _MAX_SIZE_LINE)
            if end < 0 and size - at < _MAX_SIZE_LINE:
                break
            match = _CHUNK_SIZE.fullmatch(buffer, at, end) if end >= 0 else None
            if match is None:
                self._phase = _Phase.REST  # h11 reports what is wrong
                break
            length = int(match[1], 16)
            if length:
                self._chunk_left = length + 2
            else:
                self._phase = _Phase.TRAILERS
            at = end + 2
        return at

    def _after_head(self, good: re.Match[bytes] | None) -> None:
        self._searched = 0
        if good is None:
            self._phase = _Phase.REST  # h11 reports what is wrong
            return
        status = int(good[1])
        if status >= 200 or status == 101:
            self._phase = _Phase.CHUNKS if good[2] and status != 101 and self._bodies else _Phase.REST

    def _find_end(self, buffer: bytes | bytearray, at: int) -> int:
        """Where the head that begins at `at` ends; 0 if its end has not come."""
        match = _HEAD_END.search(buffer, at + max(0, self._searched - 2))
        if match is None:
            self._searched = len(buffer) - at
            self._check_size(self._searched)
            return 0
        self._searched = 0
        self._check_size(match.end() - at)
        return match.end()

    def _check_fields(self, head: bytes) -> None:
        most = max(self._bound // _FIELD, _ALWAYS_ALLOWED)
        # A line has three bytes or more, so in most heads there is nothing to count.
        if len(head) > 3 * most and head.count(b"\n") - 2 > most:
            raise HeadTooLarge

    def _check_size(self, size: int) -> None:
        if size > self._bound:
            raise HeadTooLarge

    def _fields(self, block: bytes) -> bytes:
        """Field lines and the blank line after them, without the lines that are not fields."""
        fields: list[tuple[bytes, list[bytes]]] = []  # the name, and the line with those that continue it
        in_field = False
        for line in _lines(block):
            if line[:1] in (b" ", b"\t"):
                # RFC 9112, section 5.2: it continues the line before.
                if _may_frame(line) or (in_field and fields[-1][0] in _FRAMING):
                    raise MalformedHead(f"illegal header line: {line[:100]!r}")
                if in_field:
                    fields[-1][1].append(line.strip(b" \t"))
                self.left_out |= not in_field
                continue
            match = _FIELD_NAME.match(line)
            in_field = match is not None
            if match:
                name = match[1].lower()
                fields.append((name, [line if name in _FRAMING else line.translate(_BLANKS)]))
            elif _may_frame(line):
                raise MalformedHead(f"illegal header line: {line[:100]!r}")
            else:
                self.left_out = True
        codings = [lines[0].partition(b":")[2] for name, lines in fields if name == b"transfer-encoding"]
        if [coding.strip(b" \t").lower() for coding in codings] == [b"identity"]:
            fields = [field for field in fields if field[0] != b"transfer-encoding"]
        return b"".join(b" ".join(lines) + b"\r\n" for _, lines in fields) + b"\r\n"


def _lines(block: bytes) -> list[bytes]:
    lines = [line.removesuffix(b"\r") for line in block.split(b"\n")]
    while lines and not lines[-1]:
        lines.pop()
    for line in lines:
        if b"\r" in line or b"\0" in line:
            # RFC 9110, section 5.5. Its value may be a password.
            name = line.partition(b":")[0][:100].decode("latin-1")
            raise MalformedHead(f"illegal header line: {name!r} contains NUL or CR")
    return lines


def _may_frame(line: bytes) -> bool:
    """Whether a line that is not a field may have been meant to say where the body ends."""
    name = re.sub(rb"[^a-z-]", b"", line.partition(b":")[0].lower())
    return any(framing in name for framing in _FRAMING)
