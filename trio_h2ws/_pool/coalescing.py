"""Connection coalescing (RFC 9113, section 9.1.1): may an origin use another origin's connection? Off by default.

It may if the connection leads to an address to which the origin's name resolves, and its certificate is valid for
that name. The server can refuse: a 421 (Misdirected Request) undoes it for that origin.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

import trio

from .._connection.connection import Connection, State
from .._http.url import Origin


def covers(certificate: Mapping[str, Any], host: str) -> bool:
    """Whether a verified certificate (as `getpeercert` gives it) is valid for the host (RFC 9525, section 6)."""
    names: Iterable[tuple[str, str]] = certificate.get("subjectAltName", ())
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return any(kind == "DNS" and _matches(name, host) for kind, name in names)
    return any(kind == "IP Address" and ipaddress.ip_address(name.strip()) == address for kind, name in names)


def _matches(pattern: str, host: str) -> bool:
    pattern, host = pattern.lower().rstrip("."), host.lower().rstrip(".")
    if not pattern.startswith("*."):
        return pattern == host
    # A wildcard must be the whole first label, and matches exactly one label.
    first, dot, rest = host.partition(".")
    return bool(first and dot) and rest == pattern[2:] and "." in rest


async def find_shared(origin: Origin, connections: Iterable[Connection]) -> Connection | None:
    """A connection that may serve the origin as well. None if its name does not resolve: the dial reports that."""
    candidates = [
        connection
        for connection in connections
        if connection.state is State.OPEN
        and not connection.keepalive.is_silent
        and connection.engine.protocol == "HTTP/2"
        and connection.certificate is not None
        and connection.peer is not None
        and connection.peer[1] == origin.port
        and covers(connection.certificate, origin.host)
    ]
    if not candidates:
        return None
    try:
        found = await trio.socket.getaddrinfo(origin.host, origin.port, type=trio.socket.SOCK_STREAM)
    except OSError:
        return None
    addresses = {entry[4][0] for entry in found}
    for connection in candidates:
        # It may have begun to drain during the look-up.
        if connection.peer is not None and connection.peer[0] in addresses and connection.state is State.OPEN:
            return connection
    return None
