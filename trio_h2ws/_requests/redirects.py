"""Redirects: what the next request is (RFC 9110, section 15.4). Pure.

303, and 301 or 302 after a POST, become a GET without the body; 307 and 308 repeat the request unchanged. The
handshake of a WebSocket is always repeated unchanged: as a GET it would not be a handshake any more.

Credentials and a Host header are not sent to another origin: the user gave them to the first one. A request may be
redirected from `https://` to `http://`, as in browsers, curl and httpx. A WebSocket may not be redirected from `wss://`
to `ws://`: its user would send messages in clear for as long as it is open, without knowing. (Browsers follow no
redirect of a handshake at all.)
"""

from __future__ import annotations

import re
from urllib.parse import urljoin

from .._errors import RemoteProtocolError, WebSocketRejected
from .._http.headers import Headers
from .._http.url import URL, parse_url
from .prepare import PreparedRequest
from .request_body import RequestBody

_STATUSES = frozenset((301, 302, 303, 307, 308))
_CREDENTIALS = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
# RFC 9110, section 15.4, and Expect, which needs a body (section 10.1.1).
_ABOUT_THE_BODY = re.compile(rb"content-.*|digest|repr-digest|last-modified|expect|trailer")
# In these urljoin would use the host of the base URL.
_WITHOUT_HOST = re.compile(r"([a-z]+:)?//([/?#]|$)", re.IGNORECASE)


def redirected(request: PreparedRequest, status: int, headers: Headers) -> PreparedRequest | None:
    """The request that a response redirects to; None if it does not redirect.

    Raises RemoteProtocolError for a bad Location, WebSocketRejected for one that leads from wss:// to ws://.
    """
    if status not in _STATUSES:
        return None
    locations = set(headers.get_all("location"))
    if not any(locations):
        return None
    if len(locations) > 1:
        raise RemoteProtocolError("the server's redirect can't be followed: it has several Locations that differ")
    url = _next_url(request.url, locations.pop())
    is_handshake = request.protocol is not None
    if is_handshake and (request.url.origin.scheme, url.origin.scheme) == ("https", "http"):
        raise WebSocketRejected(
            status, headers, message="it redirects from wss:// to ws://, which is in clear: not followed"
        )
    method, body, trailers, fields = request.method, request.body, request.trailers, request.fields
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    if becomes_get and not is_handshake:
        method, body, trailers = "GET", RequestBody(None), None
        fields = [field for field in fields if not _ABOUT_THE_BODY.fullmatch(field[0])]
    elif not body.replayable:
        return None  # the body can't be sent again: the user gets the redirect itself
    authority = request.authority  # a Host of the user's is kept within the origin
    if url.origin != request.url.origin:
        authority = url.authority
        fields = [field for field in fields if field[0] not in _CREDENTIALS]
    return PreparedRequest(method, url, authority, fields, body, trailers, request.protocol)


def _next_url(last: URL, location: str) -> URL:
    # urljoin does not know ws and wss: take http and https, which lead to the same origin.
    base = f"{last.origin}{last.target.decode()}"
    for ws, http in (("wss:", "https:"), ("ws:", "http:")):
        if location.lower().startswith(ws):
            location = http + location[len(ws) :]
    try:
        if _WITHOUT_HOST.match(location):
            raise ValueError(f"URL {location!r} has no host")
        return parse_url(urljoin(base, location).partition("#")[0])
    except ValueError as error:
        raise RemoteProtocolError(f"the Location of the server's redirect can't be followed: {error}") from error
