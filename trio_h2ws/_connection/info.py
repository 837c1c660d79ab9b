"""A snapshot of a connection, for users."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from .._protocols.engine import Engine
from .calm import Calm


@dataclass(frozen=True, slots=True)
class ConnectionInfo:
    """A read-only snapshot of one connection. Two snapshots are equal when they are of the same connection."""

    id: int
    """A number that no other connection of this process has."""
    origin: str = field(compare=False)
    """`https://example.org:8443`"""
    protocol: str = field(compare=False)
    """ "HTTP/2" or "HTTP/1.1"."""
    streams_in_use: int = field(compare=False)
    """Requests and WebSockets that are open on it."""
    streams_allowed: int = field(compare=False)
    """The server's MAX_CONCURRENT_STREAMS, 100 until its SETTINGS have come, or our own bound if that is lower. Fewer
    after the server asked for calm: `calm`, and the WebSockets that are open."""
    settings: dict[str, int] = field(compare=False)
    """The server's SETTINGS in force, by their RFC names."""
    round_trip_time: float | None = field(compare=False)
    """Seconds, from the last PING; None if it is not known yet."""
    bytes_in: int = field(compare=False)
    """Received so far, without what TLS adds."""
    bytes_out: int = field(compare=False)
    """Sent so far, without what TLS adds."""
    draining: bool = field(compare=False)
    """It takes no new streams: the server sent GOAWAY, or the connection is about to close."""
    extended_connect: bool = field(compare=False, default=False)
    """The server accepts WebSockets on it (SETTINGS_ENABLE_CONNECT_PROTOCOL, RFC 8441)."""
    websockets: str | None = field(compare=False, default=None)
    """How WebSockets to this origin are opened, once that is known: "HTTP/2", or "HTTP/1.1" with the reason."""
    calm: int | None = field(compare=False, default=None)
    """How many requests and handshakes the origin gets at once, on all its connections, since the server asked for
    calm (ENHANCE_YOUR_CALM); None if it did not. It grows slowly."""


class Described(Protocol):
    """What a snapshot shows."""

    id: int
    origin: str
    engine: Engine
    upgraded: bool
    calm: Calm

    @property
    def is_open(self) -> bool: ...


def describe(connection: Described) -> ConnectionInfo:
    """A snapshot of it now."""
    engine, gate = connection.engine, connection.calm.gate
    calm = gate.current_bound() if gate is not None else None
    allowed = engine.max_streams if calm is None else min(engine.max_streams, calm + connection.calm.open_websockets)
    return ConnectionInfo(
        id=connection.id,
        origin=connection.origin,
        protocol=engine.protocol,
        streams_in_use=len(engine.streams),
        streams_allowed=allowed,
        settings=engine.peer_settings(),
        round_trip_time=engine.round_trip or None,
        bytes_in=engine.bytes_received,
        bytes_out=engine.bytes_sent,
        draining=not connection.is_open,
        extended_connect=engine.can_connect,
        calm=calm,
        websockets="HTTP/2" if engine.can_connect else "HTTP/1.1" if connection.upgraded else None,
    )
