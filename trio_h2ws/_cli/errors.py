"""The error that ends a command, and the library's errors in the words of the command line."""

from __future__ import annotations

import ssl

import trio_h2ws


class CommandError(Exception):
    """Ends the command with this message on one line. The default exit code, 2, is for mistakes in the arguments."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def explain(error: Exception) -> str:
    """The message of an error, adapted to the command line."""
    cause = error.__cause__
    if isinstance(error, trio_h2ws.ConnectFailed) and isinstance(cause, ssl.SSLCertVerificationError):
        # The library's message suggests an ssl_context; here there are options instead. It begins with the peer whose
        # certificate it was, the origin or a proxy.
        whose = str(error).partition(": ")[0]
        reason = cause.verify_message.rstrip(".")
        return f"{whose}: its certificate was not accepted: {reason} (see --cafile and --insecure)"
    return str(error)
