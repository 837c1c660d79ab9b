"""Every deadline and every bound of a client, each of them one field. docs/explanation/bounds.md adds them up."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields

KIB = 1024
MIB = 1024 * 1024


def check_fields(config: object, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Raise ValueError for a field whose value makes no sense: not of its type, not a number, too small or too large.

    `bounds` are the smallest and largest value by the field's name. The default is 0 to what a machine can count, or
    to infinity for a field that takes any number.
    """
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        kind, _, or_none = str(field.type).partition(" | ")
        if value is None and or_none:
            continue
        least, most = bounds.get(field.name, (0, sys.maxsize if kind == "int" else math.inf))
        if not _makes_sense(value, kind, least, most):
            above = "" if most == math.inf else f" and <= {most}"
            number = f"{'a whole number' if kind == 'int' else 'a number'} >= {least}{above}"
            wanted = "True or False" if kind == "bool" else number
            name = f"{type(config).__name__}.{field.name}"
            raise ValueError(f"{name} must be {wanted}{' or None' if or_none else ''}, not {_shown(value)}")


def _makes_sense(value: object, kind: str, least: float, most: float) -> bool:
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    if not isinstance(value, int if kind == "int" else (int, float)) or not least <= value <= most:
        return False
    return kind == "int" or value == math.inf or value <= sys.maxsize  # a larger int could not be added to a time


def _shown(value: object) -> str:
    """Python refuses to print integers of more than 4,300 digits."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    return repr(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines in seconds; `None` disables one. For a deadline of a whole call, use a Trio cancel scope."""

    connect: float | None = 10.0
    """For one dial: DNS, TCP, proxy, TLS and the server's first SETTINGS together. After it, `ConnectFailed`."""
    handshake: float | None = 5.0
    """For the server's answer to a WebSocket handshake. After it, `WebSocketError`, or with `http2="auto"` a second
    handshake over HTTP/1.1."""
    close: float | None = 5.0
    """How long `WebSocket.aclose` waits for the server's Close frame, and the end of an `open_client` block for the
    last bytes to be sent. A cancel scope around them may end either wait sooner."""
    ping_interval: float | None = 20.0
    """A PING (RFC 9113, section 6.7) is sent on a connection with open streams after this time without any data from
    the server."""
    ping_timeout: float | None = 20.0
    """How long the client then waits for an answer, or for anything else to arrive. After it,
    `ConnectionTimedOut`."""
    websocket_ping_interval: float | None = 20.0
    """A Ping (RFC 6455, section 5.5.2) is sent on a WebSocket from which nothing has come for this time, over both
    protocols: proxies and load balancers cut silent ones, and HTTP/2's PING does not count for them. The same for
    one: `connect_websocket(ping_interval=…)`."""
    websocket_ping_timeout: float | None = 20.0
    """When nothing comes from that WebSocket for this time after the Ping has left, it is closed with 1006. While its
    messages wait for your code, the time stands still. The same for one: `connect_websocket(ping_timeout=…)`."""
    probe_after: float | None = 10.0
    """A connection from which nothing has come for this time may be dead, without either side having been told. Over
    HTTP/2 a PING goes with the next call. Over HTTP/1.1, which has no PING, such a connection gets no call that can't
    be repeated."""
    probe_timeout: float | None = 5.0
    """When nothing comes for this time after that PING, new calls, and those that wait for a response and can be
    repeated, go to another connection. WebSockets and other calls stay, until `ping_timeout`. Over HTTP/1.1 the
    system ends the connection if what was sent is not acknowledged in this time (TCP_USER_TIMEOUT, on Linux)."""
    idle: float | None = 300.0
    """A connection without streams is closed after this time; over HTTP/1.1 sooner, if the server says in Keep-Alive
    that it closes it sooner."""
    remember: float | None = 600.0
    """How long the client remembers that an origin needs HTTP/1.1 for WebSockets (for requests as well, after
    HTTP_1_1_REQUIRED), and why."""

    def __post_init__(self) -> None:
        check_fields(self, {})
        for name in ("ping_interval", "websocket_ping_interval"):
            if getattr(self, name) == 0:
                raise ValueError(f"Timeouts.{name} must be greater than 0, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds in bytes or counts; `None` disables one, where the type allows that. Each of them limits what a server
    can make the client hold or do."""

    max_body_size: int | None = 128 * MIB
    """Bytes of a body that `request()` or `Response.read()` collects, after its content-encoding is decoded."""
    max_message_size: int | None = 16 * MIB
    """Bytes of one received WebSocket message, after decompression. A larger one that is not received in parts
    closes the WebSocket with 1009."""
    max_queued_messages: int = 64
    """Received messages that one WebSocket queues; further bytes wait unparsed, within the stream's window."""
    max_queued_bytes: int = 256 * KIB
    """Received bytes of messages that one WebSocket queues, and 64 for each message; the last message may exceed
    it."""
    max_send_buffer: int = 64 * KIB
    """Bytes queued for sending on one stream at which the next `send` waits; one message or chunk may exceed it."""
    max_rejection_body: int = 64 * KIB
    """Bytes of the response body that a `WebSocketRejected` keeps; the rest is dropped."""
    max_fragments: int | None = 16 * KIB
    """Frames with less than 64 bytes of payload in one received WebSocket message, not counting its last frame."""

    stream_window: int = 256 * KIB
    """Bytes that the server may send on a new stream before they are read (SETTINGS_INITIAL_WINDOW_SIZE)."""
    max_stream_window: int = 16 * MIB
    """Bytes to which that window may grow on a stream that is read as fast as it arrives."""
    connection_window: int = 16 * MIB
    """Bytes that may be in flight to the client on all streams together. They are credited on receipt, even if the
    application does not read them."""

    max_header_list_size: int = 128 * KIB
    """Bytes of one received header list as RFC 9113, section 6.5.2, counts them, and also of its compressed form.
    Over HTTP/1.1: bytes of a head, and also 32 for each field, if there are more than 2,048."""
    max_continuation_frames: int = 64
    """CONTINUATION frames in one header block."""
    max_informational: int = 64
    """1xx responses before the final response, or before a proxy's response to CONNECT."""
    max_owed_bytes: int = 32 * KIB
    """Bytes of answers (PING and SETTINGS acknowledgements, resets) that may be queued and unsent."""
    max_idle_frames: int = 2000
    """Frames without data (PING, SETTINGS, PRIORITY, empty DATA, unknown types, …) that the server may send in a
    burst: the size of a token bucket."""
    idle_frames_per_second: int = 200
    """Tokens that return to that bucket per second. Each frame that carries data returns two as well."""

    max_streams: int | None = None
    """Streams that the client opens on one connection. The server's MAX_CONCURRENT_STREAMS applies as well."""
    max_connections_per_origin: int = 6
    """HTTP/2 connections to one origin: more than one is opened only when WebSockets occupy every stream. Apart from
    these, as many calls at a time may be alone on a connection, because they have ended others."""
    max_http1_connections: int = 100
    """HTTP/1.1 connections to one origin, each of which carries one request at a time."""
    max_http1_websockets: int | None = 1000
    """WebSockets to one origin over HTTP/1.1, where each of them needs another connection."""
    max_connections: int | None = 1010
    """Connections of the client, of all origins, protocols and WebSockets together. The default leaves a few of the
    1,024 files that most systems let a process open."""
    max_redirects: int = 20
    """Redirects that one request may follow."""
    max_retries: int = 6
    """Times that one call is sent again, for whatever reason: not processed, a connection that ended, HTTP/1.1
    required, too much for the server. The requests of a call that follows redirects share them."""

    def __post_init__(self) -> None:
        check_fields(self, _BOUNDS)
        if self.max_stream_window < self.stream_window:
            raise ValueError("Limits.max_stream_window must not be less than Limits.stream_window")


_MOST = sys.maxsize
_MAX_WINDOW = 2**31 - 1  # RFC 9113, section 6.9.1
_BOUNDS = {
    # With any of these at 0, the client could not work at all.
    "max_queued_messages": (1, _MOST),
    "max_queued_bytes": (1, _MOST),
    "max_send_buffer": (1, _MOST),
    "max_streams": (1, _MOST),
    "max_connections_per_origin": (1, _MOST),
    "max_http1_connections": (1, _MOST),
    "max_connections": (1, _MOST),
    "stream_window": (1, _MAX_WINDOW),
    "max_stream_window": (1, _MAX_WINDOW),
    "connection_window": (65535, _MAX_WINDOW),  # it can't be made smaller than it is at the beginning
}
