"""What the server saw: counters that tests can assert on instead of trusting the client's view."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Stats:
    """Counters of one `Server`. Read them at any time; they change only while your task is at a checkpoint."""

    tcp_connections: int = 0
    """Transports so far: sockets that were accepted, or memory streams that were opened."""
    tls_handshakes: int = 0
    """Completed TLS handshakes."""
    connections_open: int = 0
    """Transports that are open now."""
    streams_opened: int = 0
    """Requests and WebSocket handshakes so far, over HTTP/2 and HTTP/1.1, whatever their outcome: the sum of the next
    three counters."""
    requests: int = 0
    """Requests so far."""
    extended_connects: int = 0
    """WebSocket handshakes by extended CONNECT (RFC 8441) so far, including refused ones."""
    upgrades: int = 0
    """WebSocket handshakes by Upgrade (RFC 6455) over HTTP/1.1 so far, including refused ones."""
    streams_open: int = 0
    """Requests and WebSockets that have not ended."""
    websockets_open: int = 0
    """WebSockets that were accepted and have not ended."""
    resets: list[tuple[int, int]] = field(default_factory=list)
    """(stream id, error code) of each RST_STREAM from a client."""
    goaways: list[int] = field(default_factory=list)
    """The error code of each GOAWAY from a client."""
    bytes_in: int = 0
    """Bytes received, without the overhead of TLS."""
    bytes_out: int = 0
    """Bytes sent, without the overhead of TLS."""
    protocol_errors: list[str] = field(default_factory=list)
    """For each connection that the server ended because of an error of the client: what the client did wrong."""
    errors: list[BaseException] = field(default_factory=list)
    """Bugs in the server itself. A test can assert that there are none."""
