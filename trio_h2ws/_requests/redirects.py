"""Redirects: what the next request is (RFC 9110, section 15.4). Pure.

303, and 301 or 302 after a POST, become a GET without the body; 307 and 308 repeat the request as it was. A handshake
of a WebSocket is always repeated as it was: as a GET it would be none.

Going to another origin, credentials stay behind: the user gave them to the first one. So does a Host. From `https://`
a request may go on to `http://`, as with browsers, curl and httpx. A WebSocket may not: who asked for `wss://` would
send messages in clear for as long as it lives, and never know. (Browsers follow no redirect of a handshake.)
"""

from __future__ import annotations

import re
from urllib.parse import urljoin

from .._errors import RemoteProtocolError, WebSocketRejected
from .._http.headers import Headers
from .._http.url import URL, parse_url
from .prepare import Call
from .request_body import RequestBody

_STATUSES = frozenset((301, 302, 303, 307, 308))
_CREDENTIALS = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
# RFC 9110, section 15.4, and Expect, which needs a body (section 10.1.1).
_ABOUT_THE_BODY = re.compile(rb"content-.*|digest|repr-digest|last-modified|expect|trailer")
# urljoin would take the host of the base.
_WITHOUT_HOST = re.compile(r"([a-z]+:)?//([/?#]|$)", re.IGNORECASE)


def redirected(call: Call, status: int, headers: Headers) -> Call | None:
    """The call that a response asks for; None if it is the answer.

    Raises RemoteProtocolError for a bad Location, WebSocketRejected for one that leads a WebSocket into the clear.
    """
    locations = set(headers.get_all("location"))
    if status not in _STATUSES or not any(locations):
        return None
    if len(locations) > 1:
        raise RemoteProtocolError("the server's Location can't be followed: there are several that differ")
    url = _next_url(call.url, locations.pop())
    is_handshake = call.protocol is not None
    if is_handshake and (call.url.origin.scheme, url.origin.scheme) == ("https", "http"):
        raise WebSocketRejected(status, headers, message="its Location leads from wss:// to ws://, which is in clear")
    method, body, trailers, fields = call.method, call.body, call.trailers, call.fields
    becomes_get = (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST")
    if becomes_get and not is_handshake:
        method, body, trailers = "GET", RequestBody(None), None
        fields = [field for field in fields if not _ABOUT_THE_BODY.fullmatch(field[0])]
    elif not body.replayable:
        return None  # the body is gone: the redirect itself is all that can be given
    authority = call.authority  # the user may have given a Host of their own
    if url.origin != call.url.origin:
        authority = url.authority
        fields = [field for field in fields if field[0] not in _CREDENTIALS]
    return Call(method, url, authority, fields, body, trailers, call.protocol)


def _next_url(last: URL, location: str) -> URL:
    # urljoin knows http; a WebSocket's URL borrows its twin's scheme, and the handshake is made of the origin anyway.
    base = f"{last.origin}{last.target.decode()}"
    for ws, http in (("wss:", "https:"), ("ws:", "http:")):
        if location.lower().startswith(ws):
            location = http + location[len(ws) :]
    try:
        if _WITHOUT_HOST.match(location):
            raise ValueError(f"URL {location!r} has no host")
        return parse_url(urljoin(base, location).partition("#")[0])
    except ValueError as error:
        raise RemoteProtocolError(f"the server's Location can't be followed: {error}") from error
