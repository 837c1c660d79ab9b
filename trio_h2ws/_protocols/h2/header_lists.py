"""Header lists by the rules of RFC 9113, section 8: what a response may look like, and how a request is written.

h2 could check received lists, but it ends the connection for a malformed response, which RFC 9113, section 8.1.1,
makes an error of that one stream. So they are checked here, and `Malformed` becomes a reset of the stream.

One rule is not enforced: blanks at the end or the beginning of a value make a message malformed (section 8.2.1), but
many servers send them. They are stripped, as over HTTP/1.1. The size of the list has been checked by then, with them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeAlias

from ..._http.headers import RawFields

# RFC 9113, section 8.2.1. Names: no upper case, no control characters, no space, ":" only as the first character.
_NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")
# One search finds both what is forbidden and what has to be stripped: most values have neither.
_UNCLEAN_VALUE = re.compile(rb"[\x00\r\n]|\A[ \t]|[ \t]\Z")
_FORBIDDEN = re.compile(rb"[\x00\r\n]")
_CONNECTION_SPECIFIC = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade")
)
# Names that were checked already. Servers use few and short ones; with these bounds those that a hostile one invents
# take 150 KB of the process at most, and are forgotten again.
_known_names: set[bytes] = set()
_MAX_KNOWN_NAMES = 1024
_MAX_KNOWN_NAME = 64  # bytes
_SENSITIVE = frozenset((b"authorization", b"proxy-authorization"))
# These differ from request to request: in the table they would only displace fields that don't.
_CHANGING = frozenset((b"content-length", b"if-none-match", b"if-modified-since", b"range"))

Block: TypeAlias = "list[tuple[bytes, bytes] | tuple[bytes, bytes, bool]]"
"""A header list for the HPACK encoder; a third item of True keeps a field out of every table."""


class Malformed(Exception):
    """The header list violates RFC 9113; str() says how."""


def _checked(name: bytes, value: bytes) -> bytes:
    """The value without blanks around it. Raises Malformed for a name or value that is not allowed."""
    if name not in _known_names:
        if not _NAME.fullmatch(name):
            raise Malformed(f"header name {name!r} is not allowed in HTTP/2")
        if name in _CONNECTION_SPECIFIC:
            raise Malformed(f"header {name!r} is connection-specific, which HTTP/2 forbids")
        if len(name) <= _MAX_KNOWN_NAME:
            if len(_known_names) >= _MAX_KNOWN_NAMES:
                _known_names.clear()
            _known_names.add(name)
    if _UNCLEAN_VALUE.search(value):
        if _FORBIDDEN.search(value):
            raise Malformed(f"the value of header {name!r} contains NUL, CR or LF")
        if name[0] != 0x3A:  # a pseudo-header is not a field: it is taken as it is
            return value.strip(b" \t")
    return value


def check_response(block: Iterable[tuple[bytes, bytes]]) -> tuple[int, int | None, RawFields]:
    """Status, content-length (None: not given) and the fields without `:status`. Raises Malformed."""
    status: int | None = None
    length: int | None = None
    fields: RawFields = []
    for field in block:
        name, given = field
        value = _checked(name, given)
        if name[0] == 0x3A:  # ":"
            if name != b":status":
                raise Malformed(f"pseudo-header {name!r} in a response")
            if status is not None:
                raise Malformed("two :status pseudo-headers")
            if fields:
                raise Malformed(":status comes after a regular header")
            if len(value) != 3 or not value.isdigit() or not value.isascii() or value < b"100":
                raise Malformed(f":status is {value!r}, and must be a number from 100 to 999")
            status = int(value)
            continue
        if name == b"content-length":
            if not value.isdigit() or not value.isascii() or len(value) > 19:
                raise Malformed(f"content-length is {value!r}, and must be a number of at most 19 digits")
            if length is not None and length != int(value):
                raise Malformed("two content-length headers that differ")
            length = int(value)
        elif name == b"te" and value != b"trailers":
            raise Malformed("header te with a value other than trailers")
        fields.append(field if value is given else (name, value))
    if status is None:
        raise Malformed("the response has no :status")
    return status, length, fields


def check_trailers(block: Iterable[tuple[bytes, bytes]]) -> RawFields:
    fields: RawFields = []
    for name, value in block:
        value = _checked(name, value)
        if name[0] == 0x3A:
            raise Malformed(f"pseudo-header {name!r} in trailers")
        fields.append((name, value))
    return fields


def request_block(
    method: bytes, scheme: bytes, authority: bytes, target: bytes, fields: RawFields, protocol: bytes | None = None
) -> Block:
    """The header list of a request (RFC 9113, section 8.3.1), or of an extended CONNECT (RFC 8441, section 4)."""
    block: Block = [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", target, True)]
    if protocol is not None:
        block.insert(1, (b":protocol", protocol))
    for name, value in fields:
        # RFC 7541, section 7.1.3: secrets that could be guessed stay out of every compression context on the path.
        if name in _SENSITIVE or name in _CHANGING or (name == b"cookie" and len(value) < 20):
            block.append((name, value, True))
        else:
            block.append((name, value))
    return block


def list_size(block: Block | RawFields) -> int:
    """Bytes, as SETTINGS_MAX_HEADER_LIST_SIZE counts them (RFC 9113, section 6.5.2)."""
    return sum(len(field[0]) + len(field[1]) + 32 for field in block)
