"""A whole body as it arrives, for `Client.request`.

The bytes are taken in the reader's dispatch, and the task that waits is woken once, at the end.

A response that the caller does not get (a redirect that is followed, a 421 after which the request is sent again) is
not worth its body: of such a one only the beginning is kept. Whether it is one is asked once, when a body is larger
than that, so a small body costs nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from .._connection.stream import Stream
from .._connection.wakeups import ParkedTask
from .._errors import LimitExceeded
from .._protocols.pieces import SMALL, add_piece

BEGINNING = 8 * 1024
"""Bytes that are kept of a body that the caller does not get."""
_DRAINED = 64 * 1024  # bytes of it that are read over HTTP/1.1, which can't end a response alone


class Collector(ParkedTask):
    """Consumes one stream. One task waits for its end.

    `is_discarded(stream)`: whether the caller will not get this response; called at most once. `limit` applies to a
    response that it gets, `BEGINNING` to another.
    """

    __slots__ = ("_bound", "_chunks", "_cut", "_done", "_is_discarded", "_limit", "_size", "_stream")

    def __init__(self, stream: Stream, limit: int | None, is_discarded: Callable[[Stream], bool]) -> None:
        super().__init__()
        self._stream = stream
        self._limit = sys.maxsize if limit is None else limit
        self._bound = min(BEGINNING, self._limit)
        self._is_discarded: Callable[[Stream], bool] | None = is_discarded
        self._chunks: list[bytes] = []
        self._size = 0
        self._cut = False
        self._done = False
        stream.consume_with(self)

    def feed(self, data: bytes) -> bool:
        self._size += len(data)
        if self._size > self._bound and not self._may_grow(data):
            return True
        if len(data) < SMALL:
            add_piece(self._chunks, data)
        else:
            self._chunks.append(data)
        return True

    def _may_grow(self, data: bytes) -> bool:
        """The size is above the bound. False: `data` was dealt with."""
        if self._is_discarded is not None:
            is_discarded, self._is_discarded = self._is_discarded, None
            if is_discarded(self._stream):
                self._cut = True
                self._chunks.append(data)  # so it is seen that there was more
            else:
                self._bound = self._limit
                if self._size <= self._bound:
                    return True
        if self._cut and not self._stream.connection.engine.can_ping and self._size <= _DRAINED:
            return False  # HTTP/1.1: the connection can carry the next request if this body ends soon
        if not self._cut:
            self._chunks.clear()
        self._stream.close()
        self.on_end()
        return False

    def on_end(self) -> None:
        self._done = True
        self._stream.connection.wakeups.wake(self)

    async def wait(self) -> bytes:
        """The body as it came, or a little more than its first `BEGINNING` bytes. Raises what ended it, or
        LimitExceeded("max_body_size")."""
        if not self._done:
            await self.park()
        if self._size > self._limit and not self._cut:
            raise LimitExceeded("max_body_size", self._limit, "the body is too large: use Client.stream")
        if not self._cut or self._stream.user_error is not None:
            self._stream.raise_error()
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
