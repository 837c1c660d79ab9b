"""The head of a request as HTTP/1.1 writes it: the target, Host, Upgrade, and names in their usual case."""

from __future__ import annotations

from typing import NamedTuple

import h11

from ..._http.headers import RawFields
from ..engine import RequestHead


class Forward(NamedTuple):
    """The peer is a proxy, which forwards requests to one origin (RFC 9112, section 3.2.2)."""

    origin: bytes
    """`http://host:port`: every target begins with it, whatever Host header the user gives."""
    fields: RawFields
    """Header fields for the proxy."""


def request_event(head: RequestHead, forward: Forward | None, *, chunked: bool) -> h11.Request:
    """Raises h11.LocalProtocolError for a head that HTTP/1.1 can't express.

    Of a chunked body no length is sent, also if it is known (RFC 9112, section 6.2): trailers need the chunks.
    """
    given = head.fields
    if chunked:
        given = [field for field in given if field[0] != b"content-length"]
    fields = [(b"Host", head.authority), *((_cased(name), value) for name, value in given)]
    method, target = head.method, head.target
    if head.protocol is not None:
        method = b"GET"
        fields += [(b"Upgrade", head.protocol), (b"Connection", b"Upgrade")]
    if chunked:
        fields.append((b"Transfer-Encoding", b"chunked"))
    if forward is not None:
        target = forward.origin + target
        fields += forward.fields
    return h11.Request(method=method, target=target, headers=fields)


# Names whose usual form is not what `title` gives.
_NAMES = b"DNT ETag TE WWW-Authenticate Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key "
_NAMES += b"Sec-WebSocket-Protocol Sec-WebSocket-Version"
_CASED = {name.lower(): name for name in _NAMES.split()}


def _cased(name: bytes) -> bytes:
    """`content-type` as `Content-Type`: case must not matter in names, but it does to some old servers."""
    return _CASED.get(name) or name.title()
