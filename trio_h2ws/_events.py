"""What happens inside a client, as one typed stream of events. Read-only: nothing that listens can change anything.

An event is made only if something listens (`Events.wanted`), so what is not wanted costs an attribute. Every
listener is called at once, in the task in which it happened, and must neither block nor await. What it raises is
logged and changes nothing.

URLs and texts of errors may contain tokens: an event names origins, and has the error as an object.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

_log = logging.getLogger("trio_h2ws")


@dataclass(frozen=True, slots=True)
class WebSocketAttempted:
    """A WebSocket that reconnects begins to open its next connection: attempt 1 is its first."""

    origin: str
    attempt: int


@dataclass(frozen=True, slots=True)
class WebSocketNotOpened:
    """That failed. `seconds`: the pause before the next attempt; None: there will be none."""

    origin: str
    attempt: int
    error: Exception
    seconds: float | None


@dataclass(frozen=True, slots=True)
class WebSocketOpened:
    """A handshake was answered. `http_version` is "HTTP/2" or "HTTP/1.1"."""

    origin: str
    http_version: str


@dataclass(frozen=True, slots=True)
class WebSocketFellBack:
    """A WebSocket could not be opened over HTTP/2, for this reason, and is tried over HTTP/1.1."""

    origin: str
    reason: str


@dataclass(frozen=True, slots=True)
class WebSocketEnded:
    """A WebSocket that reconnects has ended with this error, and the next attempt follows after a pause."""

    origin: str
    error: Exception
    seconds: float


@dataclass(frozen=True, slots=True)
class WebSocketHandedOver:
    """The connection of a WebSocket that reconnects is draining, and its successor is open."""

    origin: str


@dataclass(frozen=True, slots=True)
class RequestRetried:
    """A request is sent again, after a pause: because of this error of the last try, for this reason."""

    method: str
    origin: str
    error: Exception | None
    reason: str
    seconds: float


Event: TypeAlias = (
    WebSocketAttempted
    | WebSocketNotOpened
    | WebSocketOpened
    | WebSocketFellBack
    | WebSocketEnded
    | WebSocketHandedOver
    | RequestRetried
)
Listener: TypeAlias = Callable[[Event], object]


class Events:
    """Of one client."""

    __slots__ = ("_listeners", "_wanted_by_log")

    def __init__(self, wanted_by_log: Callable[[], bool], log: Listener) -> None:
        self._wanted_by_log = wanted_by_log
        self._listeners: list[Listener] = [log]

    @property
    def wanted(self) -> bool:
        """Whether anything listens: ask before an event is made."""
        return len(self._listeners) > 1 or self._wanted_by_log()

    def add(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def emit(self, event: Event) -> None:
        for listener in self._listeners:
            try:
                listener(event)
            except Exception:
                _log.exception("a listener of events has raised")
