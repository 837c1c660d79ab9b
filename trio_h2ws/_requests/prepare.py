"""A call: one request, checked and ready to be sent as often as it needs."""

from __future__ import annotations

import re
from typing import Any, Literal, TypeAlias, TypedDict

from .._http.headers import HeaderTypes, RawFields, prepare, prepare_trailers
from .._http.url import URL, parse_url
from .._version import __version__
from .content_encoding import ACCEPT
from .request_body import Content, RequestBody

HTTP2: TypeAlias = Literal["auto", "require", "never"]

_OWN: RawFields = [
    (b"user-agent", f"trio_h2ws/{__version__}".encode()),
    (b"accept", b"*/*"),
    (b"accept-encoding", ACCEPT),
]
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # RFC 9110, section 9.1: any token
_KINDS = 16  # of handshakes that are remembered
# What is made here, and what a request without a body can't have (it would be malformed, RFC 9113, section 8.1.1).
_NOT_IN_HANDSHAKES = frozenset(
    (
        b"sec-websocket-key",
        b"sec-websocket-accept",
        b"sec-websocket-version",
        b"sec-websocket-protocol",
        b"sec-websocket-extensions",
        b"content-length",
    )
)


class ContentOptions(TypedDict, total=False):
    """What a request carries; `Client.request` documents each."""

    headers: HeaderTypes
    content: Content
    json: Any
    trailers: HeaderTypes


class RequestOptions(ContentOptions, total=False):
    """What every request may be given."""

    http2: HTTP2 | None
    follow_redirects: bool


class Call:
    """One request. `fields` are its header fields without pseudo-headers, and without Host."""

    __slots__ = ("authority", "body", "fields", "method", "protocol", "trailers", "url")

    def __init__(
        self,
        method: str,
        url: URL,
        authority: bytes,
        fields: RawFields,
        body: RequestBody,
        trailers: RawFields | None = None,
        protocol: bytes | None = None,
    ) -> None:
        self.method = method
        self.url = url
        self.authority = authority
        self.fields = fields
        self.body = body
        self.trailers = trailers
        self.protocol = protocol


class Defaults:
    """What a client adds to every call."""

    def __init__(self, base_url: str | None, headers: HeaderTypes, http2: HTTP2) -> None:
        if base_url is not None:
            parse_url(base_url)
        self._base_url = base_url
        self._host, own = _take_host(prepare(headers))
        names = {name for name, _ in own}
        self._fields = [field for field in _OWN if field[0] not in names] + own
        self.http2: HTTP2 = check_http2(http2)
        # Of handshakes with no headers of their own: a client makes few kinds of them, and hundreds of each.
        self._handshakes: dict[tuple[tuple[bytes, bytes], ...], RawFields] = {}

    def url(self, url: str) -> URL:
        return parse_url(url, self._base_url)

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: HeaderTypes = None,
        content: Content = None,
        json: Any = None,
        trailers: HeaderTypes = None,
    ) -> Call:
        """Raises ValueError or TypeError for what can't be sent, before anything is dialled."""
        parsed = self.url(url)
        if not isinstance(method, str):
            raise TypeError(f"a method must be str, not {type(method).__name__}")
        if not _METHOD.fullmatch(method):
            raise ValueError(f"{method!r} is not a method (RFC 9110, section 9.1)")
        method = method.upper()
        if method == "CONNECT":
            raise ValueError("CONNECT is not a request: use websocket() for WebSockets")
        body = RequestBody(content, json)
        implied = body.fields
        if body.whole == b"" and method in ("POST", "PUT", "PATCH"):
            implied = [*implied, (b"content-length", b"0")]
        authority, fields = self._merge(parsed, prepare(headers), implied)
        body.declare(fields)
        end = prepare_trailers(trailers) if trailers is not None else None
        return Call(method, parsed, authority, fields, body, end)

    def websocket(self, url: str, headers: HeaderTypes, offered: RawFields) -> Call:
        parsed = self.url(url)
        plain = headers is None and parsed.authorization is None
        if plain and (known := self._handshakes.get(tuple(offered))) is not None:
            authority = self._host or parsed.authority
            return Call("CONNECT", parsed, authority, known, RequestBody(None), protocol=b"websocket")
        given = prepare(headers)
        names = {name for name, _ in given}
        given_twice = names & {name for name, _ in offered}
        for name in sorted(given_twice | (_NOT_IN_HANDSHAKES & (names | {name for name, _ in self._fields}))):
            raise ValueError(f"header {name.decode()!r} is up to trio_h2ws in a handshake: leave it out")
        authority, fields = self._merge(parsed, given, offered)
        if plain and len(self._handshakes) < _KINDS:
            self._handshakes[tuple(offered)] = fields
        return Call("CONNECT", parsed, authority, fields, RequestBody(None), protocol=b"websocket")

    def _merge(self, url: URL, given: RawFields, implied: RawFields) -> tuple[bytes, RawFields]:
        """The call's headers over the implied ones over the client's; a Host becomes the authority."""
        if not given and not implied and url.authorization is None:
            return self._host or url.authority, self._fields
        host, own = _take_host(given)
        names = {name for name, _ in own}
        if url.authorization is not None and b"authorization" not in names:
            own.append((b"authorization", url.authorization))
        own += [field for field in implied if field[0] not in names]
        names = {name for name, _ in own}
        fields = [field for field in self._fields if field[0] not in names] + own
        return host or self._host or url.authority, fields


def _take_host(fields: RawFields) -> tuple[bytes | None, RawFields]:
    """The Host, and the rest: it becomes `:authority`, or the first line of an HTTP/1.1 request's fields."""
    host = next((value for name, value in fields if name == b"host"), None)
    return host, [field for field in fields if field[0] != b"host"]


def check_http2(http2: HTTP2) -> HTTP2:
    if http2 not in ("auto", "require", "never"):
        raise ValueError(f'http2 must be "auto", "require" or "never", not {http2!r}')
    return http2


def check_seconds(name: str, value: float | None) -> None:
    """Raises ValueError or TypeError for what is no time to wait; None is none."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be seconds or None, not {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value!r}")
