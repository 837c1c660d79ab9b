"""What a request and a WebSocket may be given, as types, and the checks that belong to no other module."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypedDict

from .._http.headers import HeaderTypes
from .._protocols.ws.deflate import DeflateOptions
from .._requests.prepare import HTTP2
from .._requests.request_body import Content
from .._websockets.websocket import WebSocket

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


class WebSocketOptions(TypedDict, total=False):
    """What every WebSocket may be given; `Client.connect_websocket` documents each."""

    subprotocols: Sequence[str]
    headers: HeaderTypes
    origin: str | None
    compression: DeflateOptions | None
    ping_interval: float | None
    ping_timeout: float | None
    http2: HTTP2 | None
    follow_redirects: bool


def check_seconds(name: str, value: float | None) -> None:
    """Raises ValueError or TypeError for what is not a number of seconds above 0. None (no bound) is allowed."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be seconds or None, not {type(value).__name__}")
    if not value > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {value!r}")
