"""Header fields: `Headers` for those received, and `prepare`, which checks those to be sent.

No error shows a value: it may be a password or a token. It may also be where a name or a pair was expected, as in
`"Authorization: Bearer …"`, so of an invalid name only its valid beginning is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias, cast, overload

from .host import check_host_field
from .url import without_login

RawFields: TypeAlias = list[tuple[bytes, bytes]]
HeaderTypes: TypeAlias = "Headers | Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]] | None"

# RFC 9110, sections 5.1 (token) and 5.5 (field-value): no control characters but TAB, so CR and LF can't be injected.
_TOKEN_TEXT = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# RFC 9113, section 8.3.1, and RFC 8441, section 4.
_PSEUDO_HEADERS = frozenset((":method", ":scheme", ":authority", ":path", ":protocol", ":status"))
# RFC 9113, section 8.2.2: they describe the connection, which the library manages.
_CONNECTION_SPECIFIC = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings")
)
# A second one would contradict the first, or repeat it, which some servers refuse as well.
_SINGLE = {
    b"host": "a request has one Host (RFC 9112, section 3.2)",
    b"content-length": "a message has one length (RFC 9110, section 8.6)",
}
# RFC 9110, section 6.5.1: framing, routing, modifiers, authentication and content format. After the body they come
# too late: the recipient has already acted without them.
_NOT_IN_TRAILERS = re.compile(
    rb"content-(length|type|encoding|range|language|location)|host|trailer|te|expect|range|max-forwards|if-.*"
    rb"|cache-control|pragma|authorization|proxy-authorization|cookie"
)
_CREDENTIALS = frozenset(("authorization", "proxy-authorization"))
_URLS = frozenset(("location", "content-location"))


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _shown(name: str, value: str) -> str:
    """A value as it may be shown."""
    return "***" if name in _CREDENTIALS else without_login(value, is_url=name in _URLS)


class Headers:
    """Received header fields, in order. Names are case-insensitive, and a name may occur more than once. Read-only.

    `headers["name"]` is the value as str; several values of one name are joined with ", " (RFC 9110, section 5.3).
    `get_all` returns them as a list, as Set-Cookie requires. `raw` is the list of (name, value) pairs of bytes, as
    received. Its repr shows no passwords: neither `user:password@` of a URL nor the value of Authorization.
    """

    __slots__ = ("raw",)

    def __init__(self, raw: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.raw: RawFields = list(raw)

    def get_all(self, name: str) -> list[str]:
        """Every value of the name, in order; an empty list if the name does not occur."""
        key = name.lower().encode("latin-1", "replace")
        size = len(key)
        return [_text(v) for n, v in self.raw if len(n) == size and (n == key or n.lower() == key)]

    @overload
    def get(self, name: str) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The value, or several values joined with ", "; `default` if the name does not occur."""
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
        """Every (name, value) pair, in order, including repeated names. Names are in lower case."""
        return [(_text(n).lower(), _text(v)) for n, v in self.raw]

    def keys(self) -> list[str]:
        """Every name, once each, in order and in lower case."""
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

    def __reduce__(self) -> tuple[object, ...]:
        return Headers, (self.raw,)

    def __repr__(self) -> str:
        return f"Headers({[(name, _shown(name, value)) for name, value in self.items()]!r})"


def prepare(headers: HeaderTypes) -> RawFields:
    """Check the user's headers, and return them as pairs of bytes with lower-case names.

    Raises ValueError for a header that must not be sent (an invalid name, a control character, a header about the
    connection, a second Host or Content-Length), and TypeError for anything that is not a header.
    """
    if headers is None:
        return []
    pairs: Iterable[tuple[str | bytes, str | bytes]]
    if isinstance(headers, Headers):
        pairs = headers.raw
    elif isinstance(headers, Mapping):
        pairs = cast("Mapping[str, str]", headers).items()
    elif isinstance(headers, (str, bytes)) or not isinstance(headers, Iterable):
        raise TypeError(f"headers must be a mapping or (name, value) pairs, not {type(headers).__name__}")
    else:
        pairs = headers
    fields: RawFields = []
    single: set[bytes] = set()
    for place, pair in enumerate(pairs, 1):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            kind = type(pair).__name__
            shown = f"a {kind} of {len(pair)}" if isinstance(pair, (tuple, list)) else kind
            raise TypeError(f"header {place} must be a (name, value) pair, not {shown}")
        name, value = pair
        lowered = _name(name)
        raw = _value(name, value)
        if lowered == b"te" and raw.lower() != b"trailers":  # RFC 9113, section 8.2.2
            raise ValueError("header 'te' must be 'trailers' in HTTP/2 (RFC 9113, section 8.2.2): leave out the rest")
        if lowered in _SINGLE:
            if lowered in single:
                raise ValueError(f"header {name!r} is given twice: {_SINGLE[lowered]}")
            single.add(lowered)
        if lowered == b"host":
            _check_host(name, raw)
        fields.append((lowered, raw))
    return fields


def prepare_trailers(trailers: HeaderTypes) -> RawFields:
    """`prepare` for trailers. Also raises ValueError for a field that is only allowed before the body."""
    fields = prepare(trailers)
    for name, _ in fields:
        if _NOT_IN_TRAILERS.fullmatch(name):
            raise ValueError(
                f"{name.decode()!r} is not allowed in trailers (RFC 9110, section 6.5.1): send it as a header"
            )
    return fields


def _check_host(name: object, value: bytes) -> None:
    try:
        check_host_field(value)
    except ValueError as error:
        raise ValueError(f"header {name!r}: {error}") from None


def _name(name: str | bytes) -> bytes:
    if not isinstance(name, (str, bytes)):
        raise TypeError(f"a header name must be str or bytes, not {type(name).__name__}")
    text = name if isinstance(name, str) else name.decode("latin-1")
    if text.lower() in _PSEUDO_HEADERS:
        raise ValueError(f"header {name!r} is made by trio_h2ws, from the method and the URL: leave it out")
    valid = _TOKEN_TEXT.match(text)
    end = valid.end() if valid else 0
    if end < len(text):
        shown = f"{text[: max(end, text[0] == ':')]}…"
        raise ValueError(f"header name {shown!r} contains {text[end]!r}, which RFC 9110, section 5.1, does not allow")
    if not text:
        raise ValueError("a header name must not be empty (RFC 9110, section 5.1)")
    raw = text.lower().encode()
    if raw in _CONNECTION_SPECIFIC:
        raise ValueError(f"header {name!r} is about the connection, which trio_h2ws manages: leave it out")
    return raw


def _value(name: object, value: str | bytes) -> bytes:
    if not isinstance(value, (str, bytes)):
        raise TypeError(f"the value of header {name!r} must be str or bytes, not {type(value).__name__}")
    try:
        raw = (value.encode() if isinstance(value, str) else value).strip(b" \t")
    except UnicodeEncodeError:
        raise ValueError(f"header {name!r} contains a lone surrogate, which can't be encoded as UTF-8") from None
    if not _VALUE.fullmatch(raw):
        raise ValueError(f"the value of header {name!r} contains a control character, such as a line break")
    return raw
