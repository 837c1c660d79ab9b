"""That a connection takes no new streams, for the WebSockets on it that need a successor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio


class Drained(Protocol):
    """A stream whose WebSocket wants to know."""

    def end_with_bug(self, bug: Exception) -> None: ...


class Draining:
    """Begins once, and never ends: the connection closes when its last stream has ended."""

    __slots__ = ("_calls", "event")

    def __init__(self) -> None:
        self.event = trio.Event()
        self._calls: dict[Drained, Callable[[], None]] = {}

    def call(self, stream: Drained, call: Callable[[], None]) -> None:
        """`call()` when draining begins, at once if it has begun already. `forget(stream)` undoes it."""
        if self.event.is_set():
            call()
        else:
            self._calls[stream] = call

    def forget(self, stream: Drained) -> None:
        """Idempotent; also after `begin`."""
        self._calls.pop(stream, None)

    def begin(self) -> None:
        """Idempotent. A call that raises ends its own stream."""
        self.event.set()
        calls, self._calls = self._calls, {}
        for stream, call in calls.items():
            try:
                call()
            except Exception as bug:
                stream.end_with_bug(bug)
