"""Times, connections and header fields as text for a person."""

from __future__ import annotations

import re

import trio_h2ws

# "//", what may be a user and a password, and "@".
_LOGIN = re.compile(r"(?<=//).*@", re.DOTALL)
_LOGIN_IN_TEXT = re.compile(r"(?<=//)[^\s/?#]*@")
_URLS = ("location", "content-location")
_HOST_AND_PORT = re.compile(r"[^/?#]*//(\[[^/?#@]*\]|[^/?#:@]+)(:[0-9]*)?([/?#]|$)")


def without_login(url: str) -> str:
    """A URL as it may be shown: without `user:password@`, also if it is not valid."""
    return url if _HOST_AND_PORT.match(url) else _LOGIN.sub("", url)


def shown_value(name: str, value: str) -> str:
    """The value of a header field as it may be shown: without `user:password@` in a URL."""
    return without_login(value) if name.lower() in _URLS else _LOGIN_IN_TEXT.sub("", value)


def milliseconds(value: float) -> str:
    return f"{value * 1000:.{0 if value >= 0.1 else 1 if value >= 0.01 else 2}f} ms"


def describe(connection: trio_h2ws.ConnectionInfo) -> list[str]:
    """A connection as lines for `-v`: its state, and the server's settings."""
    trip = connection.round_trip_time
    settings = ", ".join(f"{name} {value}" for name, value in sorted(connection.settings.items()))
    lines = [
        f"* connection {connection.origin}, {connection.protocol}, "
        f"{connection.streams_in_use} of {connection.streams_allowed} streams in use",
        f"* round trip {milliseconds(trip) if trip is not None else 'unknown'}, "
        f"{connection.bytes_in:,} bytes in, {connection.bytes_out:,} bytes out",
    ]
    if settings:
        lines.append(f"* settings {settings}")
    if connection.websockets is not None:
        lines.append(f"* WebSockets over {connection.websockets}")
    return lines
