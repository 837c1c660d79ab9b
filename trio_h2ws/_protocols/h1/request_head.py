"""The head of a request as HTTP/1.1 writes it: the target, Host, Upgrade, and names in their usual case.

The fields were checked when the call was prepared (`_http/headers.py`), as h11 would check them.
"""

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
    if head.protocol is not None:
        fields += [(b"Upgrade", head.protocol), (b"Connection", b"Upgrade")]
    if chunked:
        fields.append((b"Transfer-Encoding", b"chunked"))
    target = head.target
    if forward is not None:
        target = forward.origin + target
        fields += forward.fields
    return h11.Request(method=_method(head), target=target, headers=fields)


def request_bytes(head: RequestHead, forward: Forward | None) -> bytes:
    """What h11 makes of `request_event`, for a body that is not chunked."""
    lines = [b"Host: " + head.authority]
    lines += [(_CASED.get(name) or name.title()) + b": " + value for name, value in head.fields]
    if head.protocol is not None:
        lines += [b"Upgrade: " + head.protocol, b"Connection: Upgrade"]
    target = head.target
    if forward is not None:
        target = forward.origin + target
        lines += [name + b": " + value for name, value in forward.fields]
    return b"%b %b HTTP/1.1\r\n%b\r\n\r\n" % (_method(head), target, b"\r\n".join(lines))


def _method(head: RequestHead) -> bytes:
    return head.method if head.protocol is None else b"GET"


def replay_event(head: RequestHead) -> h11.Request:
    """A request without a body that is answered like `head`: for h11, when it has to read the response to that."""
    fields = [(b"Host", b"replay")]
    if head.protocol is not None:
        fields += [(b"Upgrade", head.protocol), (b"Connection", b"Upgrade")]
    return h11.Request(method=_method(head), target=b"/", headers=fields)


# Names whose usual form is not what `title` gives.
_NAMES = b"DNT ETag TE WWW-Authenticate Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key "
_NAMES += b"Sec-WebSocket-Protocol Sec-WebSocket-Version"
_CASED = {name.lower(): name for name in _NAMES.split()}


def _cased(name: bytes) -> bytes:
    """`content-type` as `Content-Type`: case must not matter in names, but it does to some old servers."""
    return _CASED.get(name) or name.title()
