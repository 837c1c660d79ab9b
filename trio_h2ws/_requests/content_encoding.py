"""Content-encoding: gzip and deflate, inflated in bounded pieces (RFC 9110, section 8.4.1).

Some servers flush a compressed body and never finish it, or leave out gzip's trailer. When HTTP says that the body is
whole, what was inflated is the body, as in browsers and curl, and `Decoder.cut_short` says that an end is missing.
Corrupt data and a wrong check sum stay errors.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

from .._errors import RemoteProtocolError

_PIECE = 256 * 1024
_STEP = 16 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_MAX_CHAIN = 2  # no server needs more encodings, one applied to the other: it is an attack
ACCEPT = b"gzip, deflate"


class _Inflater:
    """One encoding. It gives at most 256 KiB at a time, so a bomb can't fill the memory between two checks."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = name == "gzip"
        self._held = b""  # too few bytes to recognize a header
        self._fed = False
        self._over = False  # what still comes does not belong to it
        self._zlib = zlib.decompressobj(31 if name == "gzip" else 15)

    @property
    def unfinished(self) -> bool:
        """Whether it was fed something and has not reached its end."""
        return self._fed and (not self._zlib.eof or bool(self._held))

    def feed(self, data: bytes) -> Iterator[bytes]:
        self._fed = self._fed or bool(data)
        # At each step zlib copies what it has not used yet, so it must not get a large body at once.
        for start in range(0, len(data), _STEP):
            yield from self._feed(data[start : start + _STEP])
            yield b""  # a pause for other tasks, even if nothing came out of this step

    def rest(self) -> Iterator[bytes]:
        """What zlib has inflated and not given yet, when nothing more is fed."""
        while not self._zlib.eof and (piece := self._zlib.decompress(b"", _PIECE)):
            yield piece

    def _feed(self, data: bytes) -> Iterator[bytes]:
        if not self._begun:
            data = self._begin(data)
        while data:
            if self._zlib.eof:
                data = self._begin_member(data)
                continue
            try:
                piece = self._zlib.decompress(data, _PIECE)
            except zlib.error as error:
                raise RemoteProtocolError(f"the body is not valid {self._name}: {error}") from error
            data = self._zlib.unused_data if self._zlib.eof else self._zlib.unconsumed_tail
            if piece:
                yield piece

    def _begin(self, data: bytes) -> bytes:
        """RFC 9110, section 8.4.1.2: some senders omit the zlib header (RFC 1950, section 2.2: two bytes)."""
        data, self._held = self._held + data, b""
        if len(data) < 2:
            self._held = data
            return b""
        self._begun = True
        if data[0] & 0x0F != 8 or (data[0] << 8 | data[1]) % 31:
            self._zlib = zlib.decompressobj(-15)
        return data

    def _begin_member(self, data: bytes) -> bytes:
        """The next gzip member, if that is what follows the last one (RFC 1952, section 2.2); b"" if not, or not yet.

        Zeros are padding. Anything else is ignored together with all that follows it, as in browsers; but what begins
        like a member must be a whole one.
        """
        if self._name != "gzip" or self._over:
            return b""
        data, self._held = (self._held + data).lstrip(b"\0"), b""
        if data.startswith(_GZIP_MAGIC):
            self._zlib = zlib.decompressobj(31)
            return data
        if data and _GZIP_MAGIC.startswith(data):
            self._held = data
        else:
            self._over = bool(data)
        return b""


class Decoder:
    """Undoes a Content-Encoding header. Unknown encodings are left as they are."""

    def __init__(self, content_encoding: str) -> None:
        names = [name.strip().lower() for name in content_encoding.split(",") if name.strip()]
        names = ["gzip" if name == "x-gzip" else name for name in names if name != "identity"]
        if len(names) > _MAX_CHAIN:
            raise RemoteProtocolError(f"the body has {len(names)} content-encodings: at most {_MAX_CHAIN} are undone")
        known = all(name in ("gzip", "deflate") for name in names)
        self._chain = [_Inflater(name) for name in reversed(names)] if known else []
        self.cut_short = False
        """After `finish`: whether the body ended before its encoding did."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The content in these bytes, in pieces of bounded size, some of them empty. Each takes about a millisecond
        at most, so a large body can be decoded without stopping other tasks."""
        return self._through(self._chain, data)

    def finish(self) -> Iterator[bytes]:
        """The body is at its end: the last pieces."""
        for position, inflater in enumerate(self._chain):
            for piece in inflater.rest():
                yield from self._through(self._chain[position + 1 :], piece)
        self.cut_short = any(inflater.unfinished for inflater in self._chain)

    def _through(self, chain: list[_Inflater], data: bytes) -> Iterator[bytes]:
        if not chain:
            yield data
            return
        for piece in chain[0].feed(data):
            if piece:
                yield from self._through(chain[1:], piece)
            else:
                yield piece
