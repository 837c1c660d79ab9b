"""Every bound and every deadline, each one named, documented field. docs/explanation/bounds gives the formula."""

from __future__ import annotations

from dataclasses import dataclass, fields

KIB = 1024
MIB = 1024 * 1024


def _check_fields(config: object, positive: frozenset[str]) -> None:
    for field in fields(config):  # type: ignore[arg-type]
        value = getattr(config, field.name)
        kind = str(field.type)
        if value is None and "None" in kind:
            continue
        number = int if kind.startswith("int") else (int, float)
        minimum = 1 if field.name in positive else 0
        if not isinstance(value, number) or isinstance(value, bool) or value != value or value < minimum:
            name = f"{type(config).__name__}.{field.name}"
            what = "a whole number" if number is int else "a number"
            or_none = " or None" if "None" in kind else ""
            raise ValueError(f"{name} must be {what} >= {minimum}{or_none}, not {value!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Deadlines in seconds; `None` switches one off. A caller's own deadline is a Trio cancel scope."""

    connect: float | None = 10.0
    """For one dial: DNS, TCP, proxy, TLS and the server's first SETTINGS together. Past it: `ConnectFailed`."""
    handshake: float | None = 5.0
    """For the server's answer to a WebSocket handshake. Past it: `WebSocketError`, or HTTP/1.1 in "auto"."""
    close: float | None = 5.0
    """How long `WebSocket.aclose` waits for the peer's Close, and leaving `open_client` for the last bytes."""
    ping_interval: float | None = 20.0
    """A connection with open streams on which nothing arrived for so long gets a PING (RFC 9113, section 6.7)."""
    ping_timeout: float | None = 20.0
    """A PING unanswered for so long, and nothing else arriving, means a dead peer: `ConnectionTimedOut`."""
    idle: float | None = 300.0
    """A connection without streams is closed after so long."""
    remember: float | None = 600.0
    """How long it is remembered that an origin's WebSockets (or, after HTTP_1_1_REQUIRED, its requests, too) must go
    over HTTP/1.1, and why."""

    def __post_init__(self) -> None:
        _check_fields(self, frozenset())
        if self.ping_interval == 0:
            raise ValueError("Timeouts.ping_interval must be more than 0, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds in bytes or counts; `None` switches one off. Each is what a peer can make us hold or do."""

    max_body_size: int | None = 128 * MIB
    """Bytes of one body that `request()` or `Response.read()` collects, after any content-encoding."""
    max_message_size: int | None = 16 * MIB
    """Bytes of one WebSocket message, after inflation. Past it the socket is closed with 1009."""
    max_queued_messages: int = 64
    """Received messages that one WebSocket holds; further bytes wait unparsed, inside the stream's window."""
    max_queued_bytes: int = 256 * KIB
    """Received bytes of messages that one WebSocket holds, besides the last message."""
    max_send_buffer: int = 64 * KIB
    """Bytes waiting on one stream above which `send` waits; one message or chunk may stand on top of it."""
    max_rejection_body: int = 64 * KIB
    """Bytes of the body that a `WebSocketRejected` carries; the rest is dropped."""
    max_fragments: int | None = 16 * KIB
    """Frames of one WebSocket message that carry less than 64 bytes each."""

    stream_window: int = 256 * KIB
    """Bytes that a peer may send on one stream before we read them (SETTINGS_INITIAL_WINDOW_SIZE), at first."""
    max_stream_window: int = 16 * MIB
    """How far that window may grow for a stream that is read as fast as it arrives (bandwidth-delay)."""
    connection_window: int = 16 * MIB
    """Bytes on all streams together between two reads of ours; credited on receipt, never by the application."""

    max_header_list_size: int = 128 * KIB
    """Bytes of one header list, as RFC 9113 section 6.5.2 counts them; also of its compressed form."""
    max_continuation_frames: int = 64
    """CONTINUATION frames of one header block."""
    max_informational: int = 64
    """1xx responses before the final one; also those of a proxy before it opens a tunnel."""
    max_owed_bytes: int = 32 * KIB
    """Bytes of answers (PING and SETTINGS acknowledgements, resets) that a peer may make us owe unsent."""
    max_idle_frames: int = 2000
    """Frames that carry nothing (PING, SETTINGS, PRIORITY, empty DATA, unknown, …) a peer may send in a burst;
    the allowance comes back at `idle_frames_per_second`."""
    idle_frames_per_second: int = 200
    """How fast that allowance comes back. Every frame that carries data gives a little back, too."""

    max_streams: int | None = None
    """Streams of ours on one connection; the server's MAX_CONCURRENT_STREAMS holds besides."""
    max_connections_per_origin: int = 6
    """Connections that one origin may need when WebSockets hold every slot of the others, or with HTTP/1.1."""
    max_http1_websockets: int | None = 256
    """WebSockets to one origin over HTTP/1.1, where each needs a connection of its own."""
    max_redirects: int = 20
    """Redirects that one request follows."""
    max_retries: int = 6
    """How often one request that the server did not process is sent again."""

    def __post_init__(self) -> None:
        _check_fields(self, _POSITIVE)
        if self.stream_window > 2**31 - 1 or not 65535 <= self.connection_window <= 2**31 - 1:
            raise ValueError("stream_window must be 1 to 2**31-1 bytes, connection_window 65535 to 2**31-1")
        if not self.stream_window <= self.max_stream_window <= 2**31 - 1:
            raise ValueError("max_stream_window must be stream_window to 2**31-1 bytes")


# With 0 of these nothing would ever move.
_POSITIVE = frozenset(
    (
        "max_queued_messages",
        "max_queued_bytes",
        "max_send_buffer",
        "stream_window",
        "max_streams",
        "max_connections_per_origin",
    )
)
