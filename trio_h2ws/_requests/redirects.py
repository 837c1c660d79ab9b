"""Redirects: what the next request is (RFC 9110, section 15.4). Pure.

303, and 301 or 302 after a POST, become a GET without the body; 307 and 308 repeat the request unchanged. The
handshake of a WebSocket is always repeated unchanged: as a GET it would not be a handshake any more.

Credentials and a Host header are not sent to another origin: the user gave them to the first one. A request may be
redirected from `https://` to `http://`, as in browsers, curl and httpx. A WebSocket may not be redirected from `wss://`
to `ws://`: its user would send messages in clear for as long as it is open, without knowing. (Browsers follow no
redirect of a handshake at all.)

A Location is read as browsers read it (WHATWG URL Standard): backslashes in it are slashes, tabs are dropped, bytes
that are not ASCII are percent-encoded. Its fragment, or else that of the last URL, becomes the fragment of the next
URL (RFC 9110, section 10.2.2), which is never sent. A user and a password in it are ignored.
"""

from __future__ import annotations

import re

from .._errors import H2WSError, RemoteProtocolError, WebSocketRejected
from .._http.headers import Headers
from .._http.url import URL, encode, parse_url, resolve
from .prepare import PreparedRequest
from .request_body import NO_BODY

_STATUSES = frozenset((301, 302, 303, 307, 308))
_CREDENTIALS = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
# RFC 9110, section 15.4, and Expect, which needs a body (section 10.1.1).
_ABOUT_THE_BODY = re.compile(rb"content-.*|digest|repr-digest|last-modified|expect|trailer")
# What comes before a query or fragment, where alone a backslash is a slash.
_PATH = re.compile(r"[^?#]*")


def redirected(request: PreparedRequest, status: int, headers: Headers) -> PreparedRequest | None:
    """The request that a response redirects to; None if it does not redirect.

    Raises RemoteProtocolError for a bad Location, WebSocketRejected for one that leads from wss:// to ws://.
    """
    if status not in _STATUSES:
        return None
    locations = {value.strip(b" \t") for name, value in headers.raw if name.lower() == b"location"}
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
        method, body, trailers = "GET", NO_BODY, None
        fields = [field for field in fields if not _ABOUT_THE_BODY.fullmatch(field[0])]
    elif not body.replayable:
        return None  # the body can't be sent again: the user gets the redirect itself
    authority = request.authority  # a Host of the user's is kept within the origin
    if url.origin != request.url.origin:
        authority = url.authority
        fields = [field for field in fields if field[0] not in _CREDENTIALS]
    return PreparedRequest(method, url, authority, fields, body, trailers, request.protocol)


def leads_on(request: PreparedRequest, status: int, headers: Headers) -> bool:
    """Whether a caller that follows redirects will not get this response, but the next one, or an error."""
    try:
        return redirected(request, status, headers) is not None
    except H2WSError:
        return True


def _next_url(last: URL, location: bytes) -> URL:
    try:
        text = location.decode()
    except UnicodeDecodeError:  # in no known charset: these very bytes are what the server wants to see again
        text = "".join(chr(byte) if byte < 0x80 else f"%{byte:02X}" for byte in location)
    text = _PATH.sub(lambda path: path[0].replace("\\", "/"), text.replace("\t", ""), count=1)
    reference, mark, fragment = text.partition("#")
    if not mark:
        fragment = last.text.partition("#")[2]
    try:
        url = parse_url(resolve(f"{last.origin}{last.target.decode()}", reference))
    except ValueError as error:
        raise RemoteProtocolError(f"the Location of the server's redirect can't be followed: {error}") from error
    shown = f"{url.origin}{url.target.decode()}" + (f"#{encode(fragment)}" if fragment else "")
    return url._replace(text=shown, authorization=None)
