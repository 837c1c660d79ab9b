"""What the server saw, counted on the server's side: a test asserts on these, not on what the client believes."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counters of one `Server`. Read them whenever you like; they change only between your checkpoints."""

    tcp_connections: int = 0
    """Transports that arrived: accepted sockets, or memory streams that were opened."""
    tls_handshakes: int = 0
    """TLS handshakes that were completed."""
    connections_open: int = 0
    """Transports that are alive now."""
    streams_opened: int = 0
    """Requests and WebSockets so far, over HTTP/2 and over HTTP/1.1, whatever became of them. It is the sum of the
    three that follow."""
    requests: int = 0
    """Requests so far."""
    extended_connects: int = 0
    """WebSocket handshakes by extended CONNECT (RFC 8441) so far, also refused ones."""
    upgrades: int = 0
    """WebSocket handshakes by Upgrade (RFC 6455) over HTTP/1.1 so far, also refused ones."""
    streams_open: int = 0
    """Requests and WebSockets that are not over."""
    websockets_open: int = 0
    """WebSockets that were accepted and are not over."""
    resets: list[tuple[int, int]] = field(default_factory=list)
    """(stream id, error code) of each RST_STREAM that a client sent."""
    goaways: list[int] = field(default_factory=list)
    """The error code of each GOAWAY that a client sent."""
    bytes_in: int = 0
    """Bytes received, without what TLS adds."""
    bytes_out: int = 0
    """Bytes sent, without what TLS adds."""
    protocol_errors: list[str] = field(default_factory=list)
    """Why the server ended a connection: what a client did wrong."""
    errors: list[BaseException] = field(default_factory=list)
    """Bugs of the server itself. A test may assert that there are none."""
