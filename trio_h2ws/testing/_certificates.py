"""The server's certificate and the SSL contexts of both sides, made by trustme for one server, never written to disk.

trustme is imported only when an identity is made: pytest loads `testing` wherever trio_h2ws is installed, with or
without the extra.
"""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import trustme


class Identity:
    """A new certificate authority, and a certificate for these names that it has signed."""

    def __init__(self, names: Sequence[str], alpn: Sequence[str]) -> None:
        try:
            import trustme
        except ImportError as error:
            raise ImportError("a testing server with TLS needs trustme: pip install 'trio_h2ws[testing]'") from error
        self.alpn = tuple(alpn)
        self.ca: trustme.CA = trustme.CA()
        self.server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(*names).configure_cert(self.server_context)
        if alpn:
            self.server_context.set_alpn_protocols(list(alpn))

    def client_context(self) -> ssl.SSLContext:
        """A new context that trusts this authority and nothing else."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.ca.configure_trust(context)
        return context
