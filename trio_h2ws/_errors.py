"""Every exception that a user can meet, as one tree:

H2WSError
├─ ConnectFailed              no connection was made and nothing was sent: a retry is safe
│   └─ HTTP2NotAvailable      HTTP/2 was required, and the origin does not offer it
├─ ConnectionLost             the connection ended during the call; also a trio.BrokenResourceError
│   ├─ ConnectionTimedOut     the server did not answer a keepalive PING
│   └─ ConnectionTerminated   the server sent GOAWAY
├─ RequestNotProcessed        the server did nothing with the request: a retry is safe
├─ StreamReset                the server ended one stream with RST_STREAM
├─ ProtocolError
│   ├─ LocalProtocolError     the call would break the protocol, and was not sent
│   └─ RemoteProtocolError    the server broke the protocol
├─ LimitExceeded              a field of Limits was exceeded
├─ HTTPStatusError            a 4xx or 5xx; only from Response.raise_for_status()
└─ WebSocketError
    ├─ WebSocketRejected      the server refused the opening handshake
    └─ WebSocketClosed        the WebSocket is closed

Misuse is not part of the tree. It raises the exceptions of Trio and Python: trio.ClosedResourceError,
trio.BusyResourceError, ValueError, TypeError.

This module imports trio for one exception class, and nothing else of trio.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, TypeVar

import trio

from ._http.headers import Headers
from ._http.retry_after import retry_after

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
    """`CANCEL` for 8; for a code that RFC 9113 does not define, the number (some servers send such codes)."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error code {code:#x}"


def fresh(error: _E) -> _E:
    """A copy of `error`, with the original as its cause.

    One failure may end many waiting tasks, and an exception object that is raised in two tasks collects the
    tracebacks of both: so each task raises a copy. `__init__` is not called again; arguments and attributes are taken
    as they are.
    """
    kind = type(error)
    copy = kind.__new__(kind, *error.args)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__ if error.__cause__ is not None else error
    return copy


def without_frames(error: BaseException | None) -> None:
    """Remove the tracebacks of `error` and of its causes.

    For what the network has raised: the message says it all, and the frames lead to the buffers of the connection,
    which would be kept for as long as a user keeps the error, or a WebSocket that ended with it.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def explain(error: H2WSError, text: str) -> None:
    """Add to the message of an error that was not raised elsewhere."""
    message, *rest = error.args
    error.args = (f"{message}; {text}", *rest)
    if "message" in error.__dict__:
        error.__dict__["message"] = error.args[0]


class H2WSError(Exception):
    """The base class of every error that trio_h2ws raises about the network or the server.

    `may_have_been_processed` is false only if the server has certainly not acted on the call, in any of its tries:
    then it is safe to repeat it, whatever it does.
    """

    may_have_been_processed: bool = True


class ConnectFailed(H2WSError):
    """No connection to the origin could be made: DNS, TCP, proxy, TLS, ALPN; or no first SETTINGS came in time, and
    the call had waited for them (a WebSocket, or a request whose body exists only once).

    The fault is the network's or the server's, or the configuration is wrong. The call was not sent on it, so a retry
    is safe, unless `may_have_been_processed` says that an earlier try of the same call was sent.
    """

    may_have_been_processed = False


class HTTP2NotAvailable(ConnectFailed):
    """HTTP/2 was required, and the origin does not offer it. A retry over HTTP/1.1 is safe.

    `reason` is one of:

    - "alpn": the origin did not choose h2 in the TLS handshake.
    - "setting-absent": it speaks HTTP/2, but did not send SETTINGS_ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441, section 3),
      so it does not accept WebSockets over HTTP/2.
    - "refused": it sent that setting and then refused a WebSocket, or answered with HTTP_1_1_REQUIRED (RFC 9113,
      section 7), or answered HTTP/2 with prior knowledge in HTTP/1.1.
    """

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message

    def __str__(self) -> str:
        return f"HTTP/2 is not available ({self.reason})" + (f": {self.message}" if self.message else "")


class ConnectionLost(H2WSError, trio.BrokenResourceError):
    """The connection ended while it was in use. It is also a `trio.BrokenResourceError`.

    The fault is the network's or the server's. The request may have been processed: retry only what is idempotent.
    """


class ConnectionTimedOut(ConnectionLost):
    """The server did not answer a keepalive PING (RFC 9113, section 6.7) within `Timeouts.ping_timeout` seconds, and
    sent nothing else in that time; or a request was sent on a new connection, and the server's first SETTINGS did not
    come within `Timeouts.connect` seconds.

    The request may have been processed: retry only what is idempotent.
    """


class ConnectionSilent(ConnectionTimedOut):
    """Nothing came on the connection for `Timeouts.probe_timeout` seconds after a PING. The connection goes on.

    Private: the client sends the call again on another connection.
    """


class ConnectionTerminated(ConnectionLost):
    """The server sent GOAWAY (RFC 9113, section 6.8) and ended the connection before this stream was complete.

    `error_code` is the error code of the GOAWAY, `debug_data` the bytes that it carried. The request may have been
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
    """The server did not process this request (RFC 9113, section 8.7): a retry is safe.

    It refused the stream (with REFUSED_STREAM, or a GOAWAY whose last stream is below this one), or it closed the
    connection before the request could be sent. The client sends such a request again by itself, and raises this
    error only when the body can't be replayed, or when all `Limits.max_retries` retries of the call are used up.

    `error_code` is that of the GOAWAY, None otherwise.
    """

    may_have_been_processed = False
    error_code: int | None = None


class HTTP1Required(RequestNotProcessed):
    """The server did not process this request, and requires HTTP/1.1 for it (HTTP_1_1_REQUIRED, RFC 9113, section 7).

    Private: the client sends the request again over HTTP/1.1 if it can, and otherwise the caller gets this error as a
    `RequestNotProcessed`.
    """


class StreamReset(H2WSError):
    """The server ended this stream with RST_STREAM (RFC 9113, section 6.4). The connection is still usable.

    `error_code` is the error code that it sent. The request may have been processed: retry only what is idempotent.
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
    """The rules of HTTP/2, HTTP/1.1 or WebSocket were broken. `error_code` is the HTTP/2 error code for it."""

    def __init__(self, message: str, error_code: int = ErrorCode.PROTOCOL_ERROR) -> None:
        super().__init__(message, error_code)
        self.message = message
        self.error_code = error_code

    def __str__(self) -> str:
        return self.message


class LocalProtocolError(ProtocolError):
    """The call would break the protocol, so it was not sent. The same call fails again.

    If the message begins with "bug in trio_h2ws", the client itself failed in the handling of this stream, and reset
    it: `__cause__` is the unexpected exception. Then the request may have been processed.
    """


class RemoteProtocolError(ProtocolError):
    """The server broke the protocol. The request may have been processed: retry only what is idempotent."""

    of_handshake: bool = False
    """The server's answer to the handshake of a WebSocket agrees to something that was not offered."""


class LimitExceeded(H2WSError):
    """A bound of `Limits` was exceeded. `bound` is the name of the field, `limit` its value.

    Raise the bound if you trust the server with more. The message names the field.
    """

    def __init__(self, bound: str, limit: float, message: str = "") -> None:
        super().__init__(bound, limit, message)
        self.bound = bound
        self.limit = limit
        self.message = message

    def __str__(self) -> str:
        return f"{self.message or 'limit exceeded'} (Limits.{self.bound} = {self.limit})"


class HTTPStatusError(H2WSError):
    """`Response.raise_for_status()` was called on a 4xx or 5xx response. `response` is that response.

    Like every error of this tree it can be pickled and copied. The copy's response is not bound to the connection.
    """

    def __init__(self, response: Any) -> None:
        super().__init__(response)
        self.response = response
        self.status: int = response.status

    def __str__(self) -> str:
        return f"the server answered {self.status}"


class WebSocketError(H2WSError):
    """An error that concerns one WebSocket only: the server did not answer the opening handshake in time (a retry is
    safe) or did not answer a Ping, or the next message is text where bytes were expected, or the reverse."""


class WebSocketRejected(WebSocketError):
    """The server answered the opening handshake with a status that refuses it.

    `status`, `headers` and `body` are its response; the body is cut after `Limits.max_rejection_body` bytes. With a
    503 or 429, `retry_after` may say when to try again. A retry is safe. Whether it helps depends on the status: a
    401, 403 or 404 will most likely be the same again.
    """

    def __init__(self, status: int, headers: Headers, body: bytes = b"", message: str = "") -> None:
        super().__init__(status, headers, body, message)
        self.status = status
        self.headers = headers
        self.body = body
        self.message = message

    @property
    def retry_after(self) -> float | None:
        """The seconds that Retry-After asks to wait (RFC 9110, section 10.2.3), or None. The client does not wait."""
        return retry_after(self.headers)

    def __str__(self) -> str:
        return f"the server refused the WebSocket with status {self.status}" + (
            f": {self.message}" if self.message else ""
        )


class WebSocketClosed(WebSocketError):
    """The WebSocket is closed (RFC 6455, section 7).

    `code` and `reason` are those of the Close frame; the code is 1005 if the frame had none, and 1006 if no Close
    frame was received. `clean` is true if both sides sent Close, or if the transport ended right after the server's
    Close. `initiator` is the side that closed first: "local", "remote", or None if neither did.
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
