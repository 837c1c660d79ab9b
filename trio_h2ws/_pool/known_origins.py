"""What was found out about origins, for a while."""

from __future__ import annotations

import trio

from .._http.url import Origin

_MOST = 1000  # a crawler meets more origins than need to be remembered


class Memory:
    """A short word for each origin, which is forgotten `seconds` after it was put; None: nothing is remembered."""

    __slots__ = ("_known", "_seconds")

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._known: dict[str, tuple[str, float]] = {}

    def put(self, origin: Origin, word: str) -> None:
        if self._seconds is None:
            return
        name = str(origin)
        self._known.pop(name, None)
        self._known[name] = (word, trio.current_time() + self._seconds)
        if len(self._known) > _MOST:
            del self._known[next(iter(self._known))]

    def get(self, origin: Origin | str) -> str | None:
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
