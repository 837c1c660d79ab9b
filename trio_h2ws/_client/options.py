"""What a request and a WebSocket may be given, as types, and the checks that belong to no other module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from enum import Enum
from typing import Any, Final, TypeAlias, TypedDict, cast

from .._http.headers import HeaderTypes, prepare
from .._protocols.ws.deflate import DeflateOptions
from .._protocols.ws.handshake import check_subprotocols
from .._requests.prepare import HTTP2
from .._requests.request_body import Content
from .._websockets.recovery import StopOn
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


class ReconnectOptions(TypedDict, total=False):
    """When a WebSocket comes back; `Client.reconnecting_websocket` documents each."""

    first_delay: float
    first_backoff: float
    max_backoff: float
    handover: float
    stop_on: StopOn


class GroupOptions(WebSocketOptions, ReconnectOptions, total=False):
    """What the WebSockets of a group may be given."""


def split_options(options: GroupOptions) -> tuple[ReconnectOptions, HandshakeOptions, HeaderTypes]:
    """Those for coming back, those of each handshake, made once, and the headers."""
    names = ReconnectOptions.__annotations__
    again = {name: value for name, value in options.items() if name in names}
    plain = {name: value for name, value in options.items() if name not in names}
    made = made_once(cast("WebSocketOptions", plain))
    headers = made.pop("headers", None)
    return cast("ReconnectOptions", again), cast("HandshakeOptions", made), headers


def made_once(options: WebSocketOptions) -> WebSocketOptions:
    """The options of several WebSockets, one after the other or together: an iterator would be used up by the first.
    What is wrong with them is raised now."""
    made = options.copy()
    if "headers" in made and made["headers"] is not None:
        made["headers"] = prepare(made["headers"])
    if "subprotocols" in made:
        made["subprotocols"] = check_subprotocols(made["subprotocols"])
    return made
