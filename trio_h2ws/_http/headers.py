"""Header fields: what the user reads (`Headers`), and the check of what the user wants sent (`prepare`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, cast, overload

from .host import check_host_field

RawFields: TypeAlias = list[tuple[bytes, bytes]]
HeaderTypes: TypeAlias = "Headers | Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]] | None"

# RFC 9110, section 5.1 (token) and 5.5 (field-value): no controls but TAB, so no CR and LF can be smuggled in.
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# RFC 9113, section 8.2.2: they speak about a connection, and the connection is ours.
_CONNECTION_SPECIFIC = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings")
)
# RFC 9110, section 6.5.1: framing, routing, modifiers, authentication, and what tells how to read the content. Who
# meets them behind the body has acted without them already.
_NOT_IN_TRAILERS = re.compile(
    rb"content-(length|type|encoding|range|language|location)|host|trailer|te|expect|range|max-forwards|if-.*"
    rb"|cache-control|pragma|authorization|proxy-authorization|cookie"
)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


class Headers:
    """Received header fields: case-insensitive, in order, and a name may come more than once.

    `headers["name"]` is the value, joined with ", " if the name came several times (RFC 9110, section 5.3);
    `get_all` keeps them apart (as Set-Cookie needs). `raw` are the pairs of bytes as received. Read-only.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.raw: RawFields = list(raw)

    def get_all(self, name: str) -> list[str]:
        """Every value of that name, in order; an empty list if there is none."""
        key = name.lower().encode("latin-1", "replace")
        size = len(key)
        return [_text(v) for n, v in self.raw if len(n) == size and (n == key or n.lower() == key)]

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The value, joined with ", " if the name came several times; `default` if it did not come."""
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def items(self) -> list[tuple[str, str]]:
        """Every pair, in order, repeated names too."""
        return [(_text(n).lower(), _text(v)) for n, v in self.raw]

    def keys(self) -> list[str]:
        """Every name once, in order."""
        return list(dict.fromkeys(n for n, _ in self.items()))

    def values(self) -> list[str]:
        """Every value, in order."""
        return [v for _, v in self.items()]

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.raw)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Headers):
            return self.items() == other.items()
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({self.items()!r})"


def prepare(headers: HeaderTypes) -> RawFields:
    """The user's headers as pairs of bytes with lower-case names, checked.

    Raises ValueError for what may not be sent: a bad name, a control character, a header that is the
    connection's own business. Raises TypeError for what is not a header at all.
    """
    if headers is None:
        return []
    pairs: Iterable[tuple[str | bytes, str | bytes]]
    if isinstance(headers, Headers):
        pairs = headers.raw
    elif isinstance(headers, Mapping):
        pairs = cast("Mapping[str, str]", headers).items()
    elif isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(f"headers must be a mapping or pairs of (name, value), not {type(headers).__name__}")
    else:
        pairs = headers
    fields: RawFields = []
    hosts = 0
    for pair in pairs:
        try:
            name, value = pair
        except (TypeError, ValueError):
            raise TypeError(f"a header must be a pair (name, value), not {pair!r}") from None
        lowered = _name(name)
        raw = _value(name, value)
        if lowered == b"te" and raw.lower() != b"trailers":  # RFC 9113, section 8.2.2
            raise ValueError('header "te" may only say "trailers" in HTTP/2')
        if lowered == b"host":
            hosts += 1
            _check_host(name, raw, hosts)
        fields.append((lowered, raw))
    return fields


def prepare_trailers(trailers: HeaderTypes) -> RawFields:
    """`prepare` for the fields that follow a body. Raises ValueError also for those that only work in front of it."""
    fields = prepare(trailers)
    for name, _ in fields:
        if _NOT_IN_TRAILERS.fullmatch(name):
            raise ValueError(
                f"{name.decode()!r} can't be among the trailers: it is a header (RFC 9110, section 6.5.1)"
            )
    return fields


def _check_host(name: object, value: bytes, number: int) -> None:
    if number > 1:
        raise ValueError(f"header {name!r} is the second Host: a request has one (RFC 9112, section 3.2)")
    try:
        check_host_field(value)
    except ValueError as error:
        raise ValueError(f"header {name!r}: {error}") from None


def _name(name: str | bytes) -> bytes:
    if not isinstance(name, (str, bytes)):
        raise TypeError(f"a header name must be str or bytes, not {type(name).__name__}")
    raw = _encoded(name, name).lower()
    if raw.startswith(b":"):
        raise ValueError(f"header {name!r}: pseudo-headers are made from the method and the URL")
    if not _TOKEN.fullmatch(raw):
        raise ValueError(f"header name {name!r} has a character that RFC 9110 does not allow")
    if raw in _CONNECTION_SPECIFIC:
        raise ValueError(f"header {name!r} is about the connection, which trio_h2ws manages itself: leave it out")
    return raw


def _encoded(name: object, text: str | bytes) -> bytes:
    try:
        return text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise ValueError(f"header {name!r} has half a character in it (a surrogate)") from None


def _value(name: object, value: str | bytes) -> bytes:
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"the value of header {name!r} must be str or bytes, not {type(value).__name__}")
    raw = _encoded(name, value).strip(b" \t")
    if not _VALUE.fullmatch(raw):
        raise ValueError(f"the value of header {name!r} has a control character (a line break?): not sent")
    return raw
