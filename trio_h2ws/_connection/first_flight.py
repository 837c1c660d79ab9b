"""What is sent before the server's SETTINGS have come (RFC 9113, section 3.4), and how it may fail.

The preface ends our part of the handshake, and requests may follow it at once: a new connection costs no round trip
more than TLS does. Until the SETTINGS are here, the values that HTTP/2 prescribes are in force: windows of 65,535
bytes for the connection and for each stream, frames of 16,384 bytes, and, as far as a client can expect it, 100
streams. What the SETTINGS then refute is repaired without the caller's knowledge:

    the SETTINGS, or what comes instead       what was sent before
    fewer streams than were opened            the server refuses the rest (REFUSED_STREAM): sent again in turn
    smaller windows                           sending pauses: a window may be negative (RFC 9113, section 6.9.2)
    an answer in HTTP/1.1                     nothing was processed: sent again over HTTP/1.1
    the connection ends                       ConnectionLost: the server may have processed it

Three kinds of calls wait for the SETTINGS all the same, and the pool gives them no connection before
(`_pool/origin_pool.py`): the handshake of a WebSocket, because the SETTINGS say whether it may be sent at all (RFC
8441, section 3); a request whose body exists only once, because it could not be sent again; and one with so large a
header list that it may be more than MAX_HEADER_LIST_SIZE allows.
"""

from __future__ import annotations

from .._errors import (
    ConnectFailed,
    ConnectionLost,
    ConnectionTimedOut,
    H2WSError,
    HTTP2NotAvailable,
    RemoteProtocolError,
)


def not_started(error: H2WSError, name: str, *, in_clear: bool) -> H2WSError:
    """The error of every call on a connection to `name` that has ended, with `error`, before the SETTINGS came."""
    message = f"the server did not start HTTP/2: {error}"
    result: H2WSError
    if isinstance(error, HTTP2NotAvailable):
        result = HTTP2NotAvailable(error.reason, f"{name}: {error.message}")
    elif isinstance(error, ConnectFailed):
        result = ConnectFailed(f"{name}: {error}")
    elif isinstance(error, RemoteProtocolError):
        result = RemoteProtocolError(message, error.error_code)
    elif isinstance(error, ConnectionTimedOut):
        result = ConnectionTimedOut(message)
    elif isinstance(error, ConnectionLost):
        hint = "; if this port is for TLS, use https:// (or wss://)" if in_clear else ""
        result = ConnectionLost(message + hint)
    else:
        return error
    result.may_have_been_processed = error.may_have_been_processed
    result.__cause__ = error.__cause__
    return result
