"""Records what TLS handshakes negotiate, which the library's public names do not show.

`SSLContext.sslobject_class` of the standard library is meant to be replaced by subclasses. Replacing it for a while
records the handshakes of every context.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class TLSSession(NamedTuple):
    """What a TLS handshake negotiated, recorded at its end: it can't be read from a closed connection."""

    alpn: str | None
    version: str | None
    cipher: str | None


@contextmanager
def recorded_tls_sessions() -> Iterator[list[TLSSession]]:
    """The TLS sessions that begin inside the block. Each is added at the end of its handshake."""
    sessions: list[TLSSession] = []

    class Recorded(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            cipher = self.cipher()
            sessions.append(TLSSession(self.selected_alpn_protocol(), self.version(), cipher[0] if cipher else None))

    original = ssl.SSLContext.sslobject_class
    ssl.SSLContext.sslobject_class = Recorded
    try:
        yield sessions
    finally:
        ssl.SSLContext.sslobject_class = original
