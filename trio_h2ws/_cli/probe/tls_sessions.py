"""What TLS handshakes agreed on, which is not among the library's public names.

Python's `SSLContext.sslobject_class` is there to be replaced, and that is how it is seen here, whoever made the
context.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple


class TLSSession(NamedTuple):
    """What a TLS handshake agreed on. Noted at its end: of a session that is over, Python tells nothing."""

    alpn: str | None
    version: str | None
    cipher: str | None


@contextmanager
def recorded_tls_sessions() -> Iterator[list[TLSSession]]:
    """Every TLS session that is begun meanwhile, once its handshake is over."""
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
