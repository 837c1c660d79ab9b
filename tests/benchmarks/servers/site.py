"""Where a client finds its server: plain data, because it crosses a process boundary."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Site:
    cafile: str
    small: str
    """The URL of a body of 1 KiB."""
    large: str
    """The URL of a body of 100 MB."""
    echo: str
    """The URL of a WebSocket that echoes."""
    upload: str = ""
    """The URL that reads a body to its end, and answers with the number of bytes that the request had."""
