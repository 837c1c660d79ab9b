"""The events of WebSockets under the logger `trio_h2ws.websocket`: attempts as info, failures as warnings.

Never a token: of a URL only the origin is shown, of an error what no user and no server has chosen.
"""

from __future__ import annotations

import logging

from .._errors import ConnectFailed, ConnectionLost, WebSocketClosed, WebSocketRejected
from .._events import (
    Event,
    WebSocketAttempted,
    WebSocketEnded,
    WebSocketFellBack,
    WebSocketHandedOver,
    WebSocketNotOpened,
    WebSocketOpened,
)

_log = logging.getLogger("trio_h2ws.websocket")


def is_wanted() -> bool:
    return _log.isEnabledFor(logging.WARNING)


def log(event: Event) -> None:
    if isinstance(event, WebSocketAttempted):
        _log.info("%s: attempt %d", event.origin, event.attempt)
    elif isinstance(event, WebSocketOpened):
        _log.info("%s: open over %s", event.origin, event.http_version)
    elif isinstance(event, WebSocketNotOpened):
        then = "no further attempt" if event.seconds is None else f"next attempt in {event.seconds:.2f} s"
        _log.warning("%s: attempt %d failed: %s; %s", event.origin, event.attempt, summary(event.error), then)
    elif isinstance(event, WebSocketEnded):
        _log.warning("%s: ended: %s; next attempt in %.2f s", event.origin, summary(event.error), event.seconds)
    elif isinstance(event, WebSocketFellBack):
        _log.info("%s: not over HTTP/2 (%s), so over HTTP/1.1", event.origin, event.reason)
    elif isinstance(event, WebSocketHandedOver):
        _log.info("%s: the connection is draining; its successor is open", event.origin)


def summary(error: Exception) -> str:
    kind = type(error).__name__
    if isinstance(error, WebSocketRejected):
        return f"{kind}: status {error.status}"
    if isinstance(error, WebSocketClosed):
        return f"{kind}: code {error.code}"
    return f"{kind}: {error}" if isinstance(error, (ConnectFailed, ConnectionLost)) else kind
