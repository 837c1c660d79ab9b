"""What a client has learned about origins: which of them get HTTP/1.1 although they have HTTP/2, and why; and how
many requests may be given up on one connection.

Each fact expires `Timeouts.remember` seconds after it was learned, so a server that was upgraded, or a network that
recovered, is noticed without a restart.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import trio

from .._http.url import Origin

T = TypeVar("T")
_MAX_ORIGINS = 1000  # a crawler meets more origins than need to be remembered


class Facts(Generic[T]):
    """One fact, a reason or a number, for each origin of which it is known."""

    __slots__ = ("_known", "_seconds")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds  # None: nothing is remembered
        self._known: dict[str, tuple[T, float]] = {}

    def put(self, origin: Origin | str, fact: T) -> None:
        """It is so from now on; the oldest origin is dropped when there are too many."""
        if self._seconds is None:
            return
        name = str(origin)
        self._known.pop(name, None)
        self._known[name] = (fact, trio.current_time() + self._seconds)
        if len(self._known) > _MAX_ORIGINS:
            del self._known[next(iter(self._known))]

    def get(self, origin: Origin | str) -> T | None:
        """The fact; None if it is not known."""
        if not self._known:
            return None
        name = str(origin)
        known = self._known.get(name)
        if known is None:
            return None
        if known[1] < trio.current_time():
            del self._known[name]
            return None
        return known[0]


class KnownOrigins:
    """All that is remembered, of one client."""

    __slots__ = (
        "most_resets",
        "requests_over_http1",
        "websockets_failed_once",
        "websockets_over_http1",
        "websockets_over_http2",
    )

    def __init__(self, seconds: float | None) -> None:
        self.most_resets: Facts[int] = Facts(seconds)
        """After twice as many requests were given up, the server has ended a connection."""
        self.requests_over_http1: Facts[str] = Facts(seconds)
        """The server negotiated HTTP/2, and then required HTTP/1.1 for a request."""
        self.websockets_over_http1: Facts[str] = Facts(seconds)
        """WebSockets are opened by Upgrade."""
        self.websockets_over_http2: Facts[str] = Facts(seconds)
        """A WebSocket was opened over HTTP/2 recently. Then a lost connection or a slow answer is put down to the
        network, and is not a reason to give every WebSocket a connection to itself."""
        self.websockets_failed_once: Facts[str] = Facts(seconds)
        """The same, but one try over HTTP/2 has failed since, where HTTP/1.1 worked: the next such failure decides.
        """

    def why_http1(self, origin: Origin | str) -> str | None:
        """Why WebSockets to the origin are opened over HTTP/1.1; None if they are not, as far as is known."""
        return self.websockets_over_http1.get(origin) or self.requests_over_http1.get(origin)
