"""That a connection takes no new streams, for the WebSockets on it that need a successor."""

from __future__ import annotations

from collections.abc import Callable

import trio


class Draining:
    """Begins once, and never ends: the connection closes when its last stream has ended."""

    __slots__ = ("_calls", "event")

    def __init__(self) -> None:
        self.event = trio.Event()
        self._calls: dict[object, Callable[[], None]] = {}

    def call(self, key: object, call: Callable[[], None]) -> None:
        """`call()` when draining begins, at once if it has begun already. `forget(key)` undoes it."""
        if self.event.is_set():
            call()
        else:
            self._calls[key] = call

    def forget(self, key: object) -> None:
        """Idempotent; also after `begin`."""
        self._calls.pop(key, None)

    def begin(self) -> None:
        """Idempotent."""
        self.event.set()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call()
