"""The errors of a dead connection. They are `trio.BrokenResourceError` too, so code written for Trio's own
streams handles them; that is why they stand here and not in `_errors.py`, whose floor knows no Trio.
"""

from __future__ import annotations

import trio

from ._errors import H2WSError, code_name


class ConnectionLost(H2WSError, trio.BrokenResourceError):
    """The connection died while you were using it.

    Whose fault: the network's or the server's. The request may have been processed: retry what is idempotent.
    """


class ConnectionTimedOut(ConnectionLost):
    """The server did not answer a keepalive PING (RFC 9113, section 6.7) within `Timeouts.ping_timeout` seconds, and
    nothing else came from it.

    The request may have been processed: retry only what is idempotent.
    """


class ConnectionTerminated(ConnectionLost):
    """The server said GOAWAY (RFC 9113, section 6.8), and ended the connection before this stream was done.

    `error_code` is the number in the GOAWAY, `debug_data` the bytes that came with it. The request may have been
    processed: retry only what is idempotent.
    """

    def __init__(self, message: str, error_code: int = 0, debug_data: bytes = b"") -> None:
        super().__init__(message, error_code, debug_data)
        self.message = message
        self.error_code = error_code
        self.debug_data = debug_data

    def __str__(self) -> str:
        debug = f", {self.debug_data[:200]!r}" if self.debug_data else ""
        return f"{self.message} ({code_name(self.error_code)}{debug})"
