"""An HTTP and WebSocket client for Trio that uses one HTTP/2 connection per origin for everything."""

from __future__ import annotations

import logging

from ._client.client import Client
from ._client.open import open_client
from ._config import Limits, Timeouts
from ._connection.info import ConnectionInfo
from ._errors import (
    ConnectFailed,
    ConnectionLost,
    ConnectionTerminated,
    ConnectionTimedOut,
    ErrorCode,
    H2WSError,
    HTTP2NotAvailable,
    HTTPStatusError,
    LimitExceeded,
    LocalProtocolError,
    ProtocolError,
    RemoteProtocolError,
    RequestNotProcessed,
    StreamReset,
    WebSocketClosed,
    WebSocketError,
    WebSocketRejected,
)
from ._http.headers import Headers
from ._protocols.ws.deflate import DeflateOptions
from ._requests.response import Response
from ._version import __version__
from ._websockets.group import WebSocketGroup
from ._websockets.heartbeat import Heartbeat
from ._websockets.parts import OutgoingMessage
from ._websockets.reconnecting import ReconnectingWebSocket
from ._websockets.websocket import WebSocket

# Without a handler of the program's, Python would print warnings to stderr.
logging.getLogger(__name__).addHandler(logging.NullHandler())

__all__ = [
    "Client",
    "ConnectFailed",
    "ConnectionInfo",
    "ConnectionLost",
    "ConnectionTerminated",
    "ConnectionTimedOut",
    "DeflateOptions",
    "ErrorCode",
    "H2WSError",
    "HTTP2NotAvailable",
    "HTTPStatusError",
    "Headers",
    "Heartbeat",
    "Limits",
    "LimitExceeded",
    "LocalProtocolError",
    "OutgoingMessage",
    "ProtocolError",
    "ReconnectingWebSocket",
    "RemoteProtocolError",
    "RequestNotProcessed",
    "Response",
    "StreamReset",
    "Timeouts",
    "WebSocket",
    "WebSocketClosed",
    "WebSocketError",
    "WebSocketGroup",
    "WebSocketRejected",
    "__version__",
    "open_client",
]


# A traceback or a repr shows trio_h2ws.StreamReset, the public name, and not the private module that defines it.
def _publish() -> None:
    for name in __all__:
        public = globals()[name]
        if callable(public):
            public.__module__ = __name__


_publish()
