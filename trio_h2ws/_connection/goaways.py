"""What the server said when it ended the connection (GOAWAY, RFC 9113, section 6.8), and the error that follows.

A server may send several GOAWAYs: first that it goes, later up to which stream it went. What counts as the reason is
the first: some servers forget at once that they have sent it, and then call whatever else arrives a PROTOCOL_ERROR.
"""

from __future__ import annotations

from .._errors import ConnectionLost, ConnectionTerminated, code_name, without_frames


class Goaways:
    """Those of one connection."""

    __slots__ = ("_first", "_latest")

    def __init__(self) -> None:
        self._first: tuple[int, bytes] | None = None
        self._latest: tuple[int, bytes] | None = None

    def add(self, code: int, debug: bytes) -> None:
        self._latest = (code, debug)
        self._first = self._first or self._latest

    def error(self, cause: BaseException | None, hint: str) -> ConnectionLost:
        """Why the streams were lost, when the transport has ended, or broke by `cause`."""
        if self._first is not None:
            code, debug = self._first
            message = "the server ended the connection with GOAWAY"
            if self._latest is not None and self._latest[0] != code:
                message = f"{message}; the last said {code_name(self._latest[0])}, the first"
            message += hint
            error: ConnectionLost = ConnectionTerminated(message, code, debug)
        elif cause is None:
            error = ConnectionLost("the server closed the connection" + hint)
        else:
            error = ConnectionLost(f"the connection broke: {cause}{hint if hint.startswith(';') else ''}")
        without_frames(cause)
        error.__cause__ = cause
        return error
