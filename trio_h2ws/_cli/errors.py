"""The errors of the command line: what ends a command, and how the library's errors are explained here."""

from __future__ import annotations

import ssl

import trio_h2ws


class CommandError(Exception):
    """Ends the command with this one line. By default the fault is in what was asked for: exit code 2."""

    def __init__(self, message: str, code: int = 2) -> None:
        super().__init__(message)
        self.code = code


def explain(error: Exception) -> str:
    """What went wrong, in the words of the command line."""
    cause = error.__cause__
    if isinstance(error, trio_h2ws.ConnectFailed) and isinstance(cause, ssl.SSLCertVerificationError):
        # The library's own words speak of an ssl_context; here there are options. Whose certificate it was (of the
        # origin, or of a proxy) stands in front.
        whose = str(error).partition(": ")[0]
        reason = cause.verify_message.rstrip(".")
        return f"{whose}: its certificate was not accepted: {reason} (see --cafile and --insecure)"
    return str(error)
