"""Redirects: what the next request is (RFC 9110, section 15.4). Pure.

303, and 301 or 302 after a POST, become a GET without the body; 307 and 308 repeat the request as it was. Going to
another origin, credentials stay behind: the user gave them to the first one.
"""

from __future__ import annotations

from urllib.parse import urljoin

from ._body import RequestBody
from ._call import Call
from ._errors import RemoteProtocolError
from ._headers import Headers
from ._url import parse_url

_STATUSES = frozenset((301, 302, 303, 307, 308))
_CREDENTIALS = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
_ABOUT_THE_BODY = frozenset((b"content-length", b"content-type", b"content-encoding", b"content-language"))


def redirected(call: Call, status: int, headers: Headers) -> Call | None:
    """The call that a response asks for; None if it is the answer. Raises RemoteProtocolError for a bad Location."""
    location = headers.get("location")
    if status not in _STATUSES or not location:
        return None
    # urljoin knows http; a WebSocket's URL borrows its twin's scheme, and the handshake is made of the origin anyway.
    base = f"{call.url.origin}{call.url.target.decode()}"
    for ws, http in (("wss:", "https:"), ("ws:", "http:")):
        if location.lower().startswith(ws):
            location = http + location[len(ws) :]
    try:
        url = parse_url(urljoin(base, location).partition("#")[0])
    except ValueError as error:
        raise RemoteProtocolError(f"the server's Location can't be followed: {error}") from error
    method, body, trailers, fields = call.method, call.body, call.trailers, call.fields
    if (status == 303 and method != "HEAD") or (status in (301, 302) and method == "POST"):
        method, body, trailers = "GET", RequestBody(None), None
        fields = [field for field in fields if field[0] not in _ABOUT_THE_BODY]
    elif not body.replayable:
        return None  # the body is gone: the redirect itself is all that can be given
    if url.origin != call.url.origin:
        fields = [field for field in fields if field[0] not in _CREDENTIALS]
    return Call(method, url, url.authority, fields, body, trailers, call.protocol)
