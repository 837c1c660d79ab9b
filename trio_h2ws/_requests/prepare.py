"""From a call's arguments to a request that is checked and can be sent, again if need be.

What the client adds (its headers, the base URL, a Host) is merged here, for requests and for the handshakes of
WebSockets alike.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias

from .._http.headers import HeaderTypes, RawFields, prepare, prepare_trailers
from .._http.url import URL, check_base_url, parse_url
from .._version import __version__
from .content_encoding import ACCEPT
from .request_body import NO_BODY, Content, RequestBody

HTTP2: TypeAlias = Literal["auto", "require", "never"]

_OWN: RawFields = [
    (b"user-agent", f"trio_h2ws/{__version__}".encode()),
    (b"accept", b"*/*"),
    (b"accept-encoding", ACCEPT),
]
_IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"))  # RFC 9110, section 9.2.2
_NOT_IN_METHOD = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")  # RFC 9110, section 9.1: any token is one
_LARGE_HEAD = 8 * 1024  # bytes that any server takes
_REMEMBERED = 16  # kinds of handshakes
# What a handshake sets itself, and what a request without a body must not have (RFC 9113, section 8.1.1).
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


class PreparedRequest:
    """One request. `fields` are its header fields, without pseudo-headers and Host. `protocol` is b"websocket" for
    the handshake of a WebSocket, then the method is CONNECT (RFC 8441, section 4)."""

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

    @property
    def repeatable(self) -> bool:
        """Processing it twice does no harm: its method is idempotent, or it is the handshake of a WebSocket."""
        return self.protocol is not None or self.method in _IDEMPOTENT

    def may_precede_settings(self) -> bool:
        """Whether it may be sent before the server's SETTINGS have come: see `_connection/first_flight.py`."""
        return self.protocol is None and self.body.rewindable and self.large_head is None

    @property
    def large_head(self) -> str | None:
        """A sentence about its header list, if that is so large that some servers do not take it."""
        target = len(self.url.target)
        sizes = [(len(name) + len(value), name.decode()) for name, value in self.fields]
        size = sum(size for size, _ in sizes) + target
        if size <= _LARGE_HEAD:
            return None
        largest, name = max(sizes, default=(0, ""))
        part = f"{target:,} of them in the URL" if target > largest else f"{largest:,} of them in {name!r}"
        return f"the request's header list has {size:,} bytes, {part}"

    @asynccontextmanager
    async def using_file(self) -> AsyncIterator[None]:
        """For a body that is a file: adds its content-length, and at the end waits for a read in progress."""
        body = self.body
        assert body.file is not None
        self.fields = [*self.fields, *await body.measure()]
        try:
            yield
        finally:
            await body.file.settled()


class Defaults:
    """What a client adds to every request and handshake."""

    def __init__(self, base_url: str | None, headers: HeaderTypes, http2: HTTP2) -> None:
        if base_url is not None:
            check_base_url(base_url)
        self._base_url = base_url
        self._host, own = _take_host(prepare(headers))
        names = {name for name, _ in own}
        self._fields = [field for field in _OWN if field[0] not in names] + own
        self._encoding_is_ours = b"accept-encoding" not in names
        if b"range" in names:
            self._remove_encoding(self._fields)
        self.http2: HTTP2 = check_http2(http2)
        # Fields of handshakes to which the call adds none: a client makes few kinds of them, and hundreds of each.
        self._handshakes: dict[tuple[tuple[bytes, bytes], ...], RawFields] = {}

    def url(self, url: str) -> URL:
        return parse_url(url, self._base_url)

    def prepare_request(
        self,
        method: str,
        url: str,
        *,
        headers: HeaderTypes = None,
        content: Content = None,
        json: Any = None,
        trailers: HeaderTypes = None,
    ) -> PreparedRequest:
        """Raises ValueError or TypeError for what can't be sent, before anything is dialled."""
        parsed = self.url(url)
        if not isinstance(method, str):
            raise TypeError(f"a method must be str, not {type(method).__name__}")
        if not method:
            raise ValueError("the method must not be empty")
        if wrong := _NOT_IN_METHOD.search(method):
            shown = f"{method[: wrong.start()]}…"  # it may be a URL, with a password
            raise ValueError(f"method {shown!r} contains {wrong[0]!r}: a method is a token (RFC 9110, section 9.1)")
        method = method.upper()
        if method == "CONNECT":
            raise ValueError("method CONNECT can't be sent as a request: for a WebSocket, use websocket()")
        body = NO_BODY if content is None and json is None else RequestBody(content, json)
        implied = body.fields
        if body.whole == b"" and method in ("POST", "PUT", "PATCH"):
            implied = [*implied, (b"content-length", b"0")]
        authority, fields = self._merge(parsed, prepare(headers), implied)
        body.declare(fields)
        end = prepare_trailers(trailers) or None
        return PreparedRequest(method, parsed, authority, fields, body, end)

    def prepare_handshake(self, url: str, headers: HeaderTypes, offered: RawFields) -> PreparedRequest:
        parsed = self.url(url)
        plain = headers is None and parsed.authorization is None
        if plain and (known := self._handshakes.get(tuple(offered))) is not None:
            authority = self._host or parsed.authority
            return PreparedRequest("CONNECT", parsed, authority, known, NO_BODY, protocol=b"websocket")
        given = prepare(headers)
        names = {name for name, _ in given}
        given_twice = names & {name for name, _ in offered}
        for name in sorted(given_twice | (_NOT_IN_HANDSHAKES & (names | {name for name, _ in self._fields}))):
            raise ValueError(f"header {name.decode()!r} is set by trio_h2ws in a WebSocket handshake: leave it out")
        authority, fields = self._merge(parsed, given, offered)
        if plain and len(self._handshakes) < _REMEMBERED:
            self._handshakes[tuple(offered)] = fields
        return PreparedRequest("CONNECT", parsed, authority, fields, NO_BODY, protocol=b"websocket")

    def _merge(self, url: URL, given: RawFields, implied: RawFields) -> tuple[bytes, RawFields]:
        """The call's headers take precedence over the implied ones, and those over the client's. A Host becomes the
        authority."""
        if not given and not implied and url.authorization is None:
            return self._host or url.authority, self._fields
        host, own = _take_host(given)
        names = {name for name, _ in own}
        if url.authorization is not None and b"authorization" not in names:
            own.append((b"authorization", url.authorization))
        own += [field for field in implied if field[0] not in names]
        names = {name for name, _ in own}
        fields = [field for field in self._fields if field[0] not in names] + own
        if b"range" in names and b"accept-encoding" not in names:
            self._remove_encoding(fields)
        return host or self._host or url.authority, fields

    def _remove_encoding(self, fields: RawFields) -> None:
        """For a request with a Range: that of an encoded body is of no use to the user (RFC 9110, section 14.1.2).
        What the user accepts is sent, whatever it is."""
        if self._encoding_is_ours:
            fields[:] = [field for field in fields if field[0] != b"accept-encoding"]


def _take_host(fields: RawFields) -> tuple[bytes | None, RawFields]:
    """The Host, and the other fields. It becomes `:authority`, or the first field of an HTTP/1.1 request."""
    host = next((value for name, value in fields if name == b"host"), None)
    return host, [field for field in fields if field[0] != b"host"]


def check_http2(http2: HTTP2) -> HTTP2:
    if http2 not in ("auto", "require", "never"):
        raise ValueError(f'http2 must be "auto", "require" or "never", not {http2!r}')
    return http2
