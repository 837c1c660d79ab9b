"""The errors a user can meet, one tree.

H2WSError
├─ ConnectFailed              nothing was sent: a retry is safe
│   └─ HTTP2NotAvailable      the origin has no HTTP/2 (or no RFC 8441) for us
├─ ConnectionLost             in _broken.py, because it is also a trio.BrokenResourceError
│   ├─ ConnectionTimedOut
│   └─ ConnectionTerminated
├─ RequestNotProcessed        the peer promised that it did nothing: a retry is safe
├─ StreamReset                the peer ended one stream
├─ ProtocolError
│   ├─ LocalProtocolError     we (or the caller) broke the protocol
│   └─ RemoteProtocolError    the peer did
├─ LimitExceeded              a named bound of Limits was passed
├─ HTTPStatusError            only from Response.raise_for_status()
└─ WebSocketError
    ├─ WebSocketRejected      the handshake got an answer other than yes
    └─ WebSocketClosed        the WebSocket is over

Misuse is not here: it raises Trio's and Python's own words (trio.ClosedResourceError, trio.BusyResourceError,
ValueError, TypeError).

One failure may have many waiters. An exception object that is raised in two tasks collects both tracebacks, so
every waiter gets a copy of its own, made by `fresh()`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from ._http.retry_after import retry_after

if TYPE_CHECKING:
    from ._http.headers import Headers

_E = TypeVar("_E", bound=BaseException)


class ErrorCode(IntEnum):
    """HTTP/2 error codes (RFC 9113, section 7)."""

    NO_ERROR = 0x0
    PROTOCOL_ERROR = 0x1
    INTERNAL_ERROR = 0x2
    FLOW_CONTROL_ERROR = 0x3
    SETTINGS_TIMEOUT = 0x4
    STREAM_CLOSED = 0x5
    FRAME_SIZE_ERROR = 0x6
    REFUSED_STREAM = 0x7
    CANCEL = 0x8
    COMPRESSION_ERROR = 0x9
    CONNECT_ERROR = 0xA
    ENHANCE_YOUR_CALM = 0xB
    INADEQUATE_SECURITY = 0xC
    HTTP_1_1_REQUIRED = 0xD


def code_name(code: int) -> str:
    """`CANCEL` for 8; the bare number for a code that no RFC knows (some servers send them)."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error code {code:#x}"


def fresh(error: _E) -> _E:
    """A new exception object that says the same, with the first one as its cause.

    `__init__` is not called again: the copy takes the arguments and the attributes as they are.
    """
    kind = type(error)
    copy = kind.__new__(kind, *error.args)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__ if error.__cause__ is not None else error
    return copy


class H2WSError(Exception):
    """The root of every error that trio_h2ws raises about the network or the peer."""


class ConnectFailed(H2WSError):
    """No connection to the origin: DNS, TCP, proxy, TLS, ALPN, or no first SETTINGS in time.

    Whose fault: the network's or the server's. Nothing was sent, so a retry is always safe.
    """


class HTTP2NotAvailable(ConnectFailed):
    """HTTP/2 was needed, and the origin does not offer it. Nothing was sent: a retry (over HTTP/1.1) is safe.

    `reason` is "alpn" (the origin did not choose h2 in the TLS handshake), "setting-absent" (it speaks HTTP/2
    but did not send SETTINGS_ENABLE_CONNECT_PROTOCOL = 1, RFC 8441 section 3, so it takes no WebSockets there),
    or "refused" (it sent the setting, and then would not open a WebSocket; it said HTTP_1_1_REQUIRED, RFC 9113
    section 7; or it answered HTTP/2 with prior knowledge in HTTP/1.1).
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"HTTP/2 is not available ({self.reason})" + (f": {self.message}" if self.message else "")


class ConnectionLost(H2WSError, trio.BrokenResourceError):
    """The connection died while you were using it.

    Whose fault: the network's or the server's. The request may have been processed: retry what is idempotent.
    """


class ConnectionTimedOut(ConnectionLost):
    """The server did not answer a keepalive PING (RFC 9113, section 6.7) within `Timeouts.ping_timeout` seconds, and
    nothing else came from it.

    The request may have been processed: retry only what is idempotent.
    """


class ConnectionTerminated(ConnectionLost):
    """The server said GOAWAY (RFC 9113, section 6.8), and ended the connection before this stream was done.

    `error_code` is the number in the GOAWAY, `debug_data` the bytes that came with it. The request may have been
    processed: retry only what is idempotent.
    """

    def __init__(self, message: str, error_code: int = 0, debug_data: bytes = b"") -> None:
        super().__init__(message, error_code, debug_data)
        self.message = message
        self.error_code = error_code
        self.debug_data = debug_data

    def __str__(self) -> str:
        debug = f", {self.debug_data[:200]!r}" if self.debug_data else ""
        return f"{self.message} ({code_name(self.error_code)}{debug})"


class RequestNotProcessed(H2WSError):
    """The server says that it did nothing with this request (RFC 9113, section 8.7).

    It came with GOAWAY below this stream, or as REFUSED_STREAM, and the client could not send it again by
    itself: the body can't be replayed, or every try ended like this. A retry is safe.
    """


class HTTP1Required(RequestNotProcessed):
    """The same, and the server wants HTTP/1.1 for it (HTTP_1_1_REQUIRED, RFC 9113, section 7).

    Not public: what can be sent again goes there by itself.
    """


class StreamReset(H2WSError):
    """The server ended this one stream with RST_STREAM (RFC 9113, section 6.4). The connection is well.

    `error_code` is the number it sent. The request may have been processed: retry only what is idempotent.
    """

    def __init__(self, error_code: int, message: str = "") -> None:
        super().__init__(error_code, message)
        self.error_code = error_code
        self.message = message

    def __str__(self) -> str:
        return f"the server reset the stream with {code_name(self.error_code)}" + (
            f" ({self.message})" if self.message else ""
        )


class ProtocolError(H2WSError):
    """Somebody broke HTTP/2, HTTP/1.1 or WebSocket. `error_code` is the HTTP/2 code that was sent for it."""

    def __init__(self, message: str, error_code: int = ErrorCode.PROTOCOL_ERROR) -> None:
        super().__init__(message, error_code)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return self.message


class LocalProtocolError(ProtocolError):
    """What was asked for would break the protocol; it was not sent. A retry of the same fails again."""


class RemoteProtocolError(ProtocolError):
    """The server broke the protocol. The request may have been processed: retry only what is idempotent."""


class LimitExceeded(H2WSError):
    """A bound was passed. `bound` is its name in `Limits`, `limit` its value.

    Raise the bound if the peer may be trusted with more; the message says which one it is.
    """

    def __init__(self, bound: str, limit: float, message: str = "") -> None:
        super().__init__(bound, limit, message)
        self.bound = bound
        self.limit = limit
        self.message = message

    def __str__(self) -> str:
        return f"{self.message or 'limit exceeded'} (Limits.{self.bound} = {self.limit})"


class HTTPStatusError(H2WSError):
    """`Response.raise_for_status()` met a 4xx or 5xx. `response` is that response."""

    def __init__(self, response: Any) -> None:
        super().__init__(response)
        self.response = response
        self.status: int = response.status

    def __str__(self) -> str:
        return f"the server answered {self.status}"


class WebSocketError(H2WSError):
    """Something that concerns one WebSocket only: no answer to its handshake (a retry is safe), an unanswered Ping,
    or the next message is of the other kind than was asked for."""


class WebSocketRejected(WebSocketError):
    """The server answered the WebSocket handshake with something other than yes.

    `status`, `headers` and `body` are its answer; the body is cut at `Limits.max_rejection_body` bytes. With a 503 or
    429, `retry_after` may say when to come back. A retry is safe; whether it helps depends on the status (a 401, 403
    or 404 will be the same again).
    """

    def __init__(self, status: int, headers: Headers, body: bytes = b"", message: str = "") -> None:
        super().__init__(status, headers, body, message)
        self.status = status
        self.headers = headers
        self.body = body
        self.message = message

    @property
    def retry_after(self) -> float | None:
        """Seconds that Retry-After asks to wait (RFC 9110, section 10.2.3); None without one. It is not obeyed."""
        return retry_after(self.headers)

    def __str__(self) -> str:
        return f"the server refused the WebSocket with status {self.status}" + (
            f": {self.message}" if self.message else ""
        )


class WebSocketClosed(WebSocketError):
    """The WebSocket is over (RFC 6455, section 7).

    `code` and `reason` are those of the Close frame, 1005 when it had none, 1006 when there was no Close frame.
    `clean` is true when both sides said Close, or when the transport ended right after the peer's Close.
    `initiator` is "local", "remote" or None: who closed first.
    """

    def __init__(self, code: int, reason: str = "", clean: bool = False, initiator: str | None = None) -> None:
        super().__init__(code, reason, clean, initiator)
        self.code = code
        self.reason = reason
        self.clean = clean
        self.initiator = initiator

    def __str__(self) -> str:
        who = {"local": "we closed first", "remote": "the server closed first"}.get(
            self.initiator or "", "the connection ended without a closing handshake"
        )
        reason = f" {self.reason!r}" if self.reason else ""
        return f"WebSocket closed with {self.code}{reason}; {who}" + ("" if self.clean else " (not clean)")
