"""`Keep-Alive: timeout=5, max=100`: how long, and for how many requests more, a server keeps a connection open.

The field is from RFC 2068, section 19.7.1.1; later RFCs do not define it, but servers send it. It is a hint. What is
not understood in it is ignored, and so is its absence in a later response.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PARAMETER = re.compile(rb"(timeout|max)[ \t]*=[ \t]*(\"?)([0-9]{1,9})\2", re.IGNORECASE)


class KeepAlive:
    """Of one connection."""

    __slots__ = ("_requests_left", "timeout")

    def __init__(self) -> None:
        self.timeout: int | None = None
        """Seconds without a request after which the server closes the connection."""
        self._requests_left: int | None = None

    @property
    def over(self) -> bool:
        """Whether the server takes no further request."""
        return self.timeout == 0 or self._requests_left == 0

    def on_request(self) -> None:
        if self._requests_left:
            self._requests_left -= 1

    def on_response(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        for name, value in fields:
            if name == b"keep-alive":
                for parameter in value.split(b","):
                    match = _PARAMETER.fullmatch(parameter.strip(b" \t"))
                    if match is None:
                        continue
                    if match[1].lower() == b"timeout":
                        self.timeout = int(match[3])
                    else:
                        self._requests_left = int(match[3])
