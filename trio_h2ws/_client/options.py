"""What a request and a WebSocket may be given, as types, and the checks that belong to no other module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Any, Final, TypeAlias, TypedDict

from .._http.headers import HeaderTypes, prepare
from .._protocols.ws.deflate import DeflateOptions
from .._protocols.ws.handshake import check_subprotocols
from .._requests.prepare import HTTP2
from .._requests.request_body import Content
from .._websockets.websocket import WebSocket


class FromTimeouts(Enum):
    """The default of what `Timeouts` has a field for."""

    FROM_TIMEOUTS = "from Timeouts"

    def __repr__(self) -> str:
        return "FROM_TIMEOUTS"


FROM_TIMEOUTS: Final = FromTimeouts.FROM_TIMEOUTS
Handler: TypeAlias = Callable[[WebSocket], Awaitable[object]]


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


class HandshakeOptions(TypedDict, total=False):
    """What every WebSocket may be given, without its headers; `Client.connect_websocket` documents each."""

    subprotocols: Iterable[str]
    origin: str | None
    compression: DeflateOptions | None
    ping_interval: float | FromTimeouts | None
    ping_timeout: float | FromTimeouts | None
    http2: HTTP2 | None
    follow_redirects: bool


class WebSocketOptions(HandshakeOptions, total=False):
    """What every WebSocket may be given."""

    headers: HeaderTypes


def made_once(options: WebSocketOptions) -> WebSocketOptions:
    """The options of several WebSockets, one after the other or together: an iterator would be used up by the first.
    What is wrong with them is raised now."""
    made = options.copy()
    if "headers" in made and made["headers"] is not None:
        made["headers"] = prepare(made["headers"])
    if "subprotocols" in made:
        made["subprotocols"] = check_subprotocols(made["subprotocols"])
    return made
