"""HPACK (RFC 7541) with a cache: hpack does the work, and does not do the same work twice.

Most header fields of a client are the same in every request, and most of a server's in every response of one second.
As long as the dynamic table has not changed, the same field encodes to the same bytes, and the same block decodes to
the same fields. So both are cached until the table changes, which shows in its newest entry.

Time is linear in the length of what is encoded or decoded. hpack's Huffman encoder is quadratic, so long fields are
sent as they are. Its decoder copies the rest of the block for each literal field, and takes a step for half a byte of
Huffman code, so both are replaced (`huffman.py`); its table remains.

Both caches are bounded in bytes. The peer chooses what is in them: in the decoder's its header lists, and in the
encoder's the URLs to which it redirects us.
"""

from __future__ import annotations

from typing import Any

from hpack import Decoder, Encoder, HPACKDecodingError, OversizedHeaderListError
from hpack.hpack import decode_integer

from ..._http.headers import RawFields
from .header_lists import Block
from .huffman import decode_huffman

# Bytes. A larger table would let the peer choose how much memory we use, and hpack searches it from end to end.
_TABLE = 4096
# Bytes of each of the two caches of a connection. Python's objects are counted: a field is a tuple of two strings of
# bytes, which take 170 bytes in addition to their content.
_REMEMBERED = 64 * 1024
_FIELD = 170
# Bytes of a name and value that are Huffman-coded at most: for this many hpack takes a tenth of a millisecond, for a
# hundred times as many half a second. It would save a fifth of them.
_HUFFMAN = 1024
_NAMES = 64  # whose changes are counted
_INTEGER = 16  # bytes: hpack allows none this long


class BlockEncoder(Encoder):
    """An encoder whose table stays small, however large the peer lets it be."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[Any, bytes] = {}
        self._room = _REMEMBERED
        self._latest: dict[bytes, tuple[bytes, int]] = {}  # of each name: its value, and how often that has changed

    @property
    def header_table_size(self) -> int:
        return self.header_table.maxsize

    @header_table_size.setter
    def header_table_size(self, value: int) -> None:
        value = min(value, _TABLE)
        unannounced = self.header_table.resized
        self.header_table.maxsize = value
        if self.header_table.resized:
            # Of several changes the smallest and the last are announced (RFC 7541, section 4.2). hpack would announce
            # all of them, and a size above what the peer allows by now is an error.
            smallest = min([value, *self.table_size_changes])
            self.table_size_changes = [value] if smallest == value else [smallest, value]
        else:
            # The same size again: hpack would forget that an earlier change has not been announced yet.
            self.header_table.resized = unannounced

    def encode_block(self, block: Block) -> bytes:
        """The same bytes as `encode`, faster."""
        known = self._known
        pieces = []
        if self.header_table.resized:  # the new size is announced first
            self._forget()
            pieces.append(self.encode([]))
        for field in block:
            encoded = known.get(field)
            pieces.append(encoded if encoded is not None else self._encode(field))
        return b"".join(pieces)

    def _encode(self, field: Any) -> bytes:
        if field[0] == b":path" and len(field[1]) < 127:
            # Never indexed, name from the static table, value as it is: Huffman in Python costs more than it saves.
            return b"\x14" + bytes((len(field[1]),)) + field[1]  # type: ignore[no-any-return]
        if len(field) == 2 and self._is_changing(field[0], field[1]):
            return self._without_indexing(field[0], field[1])
        entries = self.header_table.dynamic_entries
        newest = entries[0] if entries else None
        huffman = len(field[0]) + len(field[1]) <= _HUFFMAN
        encoded = self.add((field[0], field[1]), len(field) == 3 and field[2], huffman)
        if (entries[0] if entries else None) is not newest:
            self._forget()
        elif (size := 2 * _FIELD + len(field[0]) + len(field[1]) + len(encoded)) <= self._room:
            self._room -= size
            self._known[field] = encoded
        return encoded

    def _is_changing(self, name: bytes, value: bytes) -> bool:
        """Whether a field has had other values before, more than once: a date, an id, a token. In the table each of
        them would displace others, and what was encoded before would have to be encoded again."""
        if len(name) + len(value) > _HUFFMAN:
            return False  # too large to be kept here
        latest, changes = self._latest.get(name, (value, 0))
        changes += latest != value
        if name in self._latest or len(self._latest) < _NAMES:
            self._latest[name] = (value, changes)
        return changes > 1

    def _without_indexing(self, name: bytes, value: bytes) -> bytes:
        """RFC 7541, section 6.2.2; without Huffman coding, which costs more in Python than it saves."""
        match = self.header_table.search(name, value)
        if match is None:
            encoded: bytes = self._encode_literal(name, value, b"\x00", False)
        elif match[2] is not None:
            encoded = self._encode_indexed(match[0])
        else:
            encoded = self._encode_indexed_literal(match[0], value, b"\x00", False)
        return encoded

    def _forget(self) -> None:
        self._known.clear()
        self._room = _REMEMBERED


class BlockDecoder(Decoder):
    """A decoder that remembers the blocks it has seen."""

    def __init__(self, max_header_list_size: int) -> None:
        super().__init__(max_header_list_size)
        self._known: dict[bytes, RawFields] = {}
        self._room = _REMEMBERED

    def decode_block(self, block: bytes) -> RawFields:
        """The fields as bytes. The same block may give the same object: do not change it. Raises HPACKError."""
        known = self._known.get(block)
        if known is not None:
            return known
        entries = self.header_table.dynamic_entries
        newest, count = (entries[0] if entries else None), len(entries)
        fields = self._decode(block)
        resizes = bool(block) and block[0] & 0xE0 == 0x20  # the table's size may change without its entries
        if (entries[0] if entries else None) is not newest or len(entries) != count or resizes:
            self._known.clear()
            self._room = _REMEMBERED
        elif (size := len(block) + _FIELD * (1 + len(fields))) <= self._room:
            size += sum(len(field[0]) + len(field[1]) for field in fields)
            if size <= self._room:
                self._room -= size
                self._known[block] = fields
        return fields

    def _decode(self, block: bytes) -> RawFields:
        """What hpack's `decode` does (RFC 7541, section 6), without a copy of the rest for each field."""
        table = self.header_table
        fields: RawFields = []
        size = at = 0
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 0x7F)
                field = table.get_by_index(index)
            elif first & 0xE0 == 0x20:
                if fields:
                    raise HPACKDecodingError("Table size update not at the start of the block")
                at += self._update_encoding_context(block[at : at + _INTEGER])
                continue
            else:
                index, at = _integer(block, at, 0x3F if first & 0x40 else 0x0F)
                if index:
                    name = table.get_by_index(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                field = (name, value)
                if first & 0x40:
                    table.add(name, value)
            fields.append(field)
            size += 32 + len(field[0]) + len(field[1])
            if size > self.max_header_list_size:
                raise OversizedHeaderListError(
                    f"A header list larger than {self.max_header_list_size} has been received"
                )
        self._assert_valid_table_size()
        return fields


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """An integer (RFC 7541, section 5.1), of which the first byte has the bits of `mask`; and where it ends."""
    number = block[at] & mask
    if number != mask:
        return number, at + 1
    number, consumed = decode_integer(block[at : at + _INTEGER], mask.bit_length())
    return number, at + consumed


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """A string literal (RFC 7541, section 5.2), and where it ends."""
    if at >= len(block):
        raise HPACKDecodingError("Truncated header block")
    length, begin = _integer(block, at, 0x7F)
    end = begin + length
    if end > len(block):
        raise HPACKDecodingError("Truncated header block")
    string = block[begin:end]
    return (decode_huffman(string) if block[at] & 0x80 else string), end
