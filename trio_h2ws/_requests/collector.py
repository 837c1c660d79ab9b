"""A whole body as it arrives, for `Client.request`.

The bytes are taken in the reader's dispatch, and the task that waits is woken once, at the end.
"""

from __future__ import annotations

from .._connection.stream import Stream
from .._connection.wakeups import ParkedTask
from .._errors import LimitExceeded
from .._protocols.pieces import SMALL, add_piece


class Collector:
    """Consumes one stream. One task waits for its end."""

    __slots__ = ("_chunks", "_done", "_limit", "_size", "_stream", "_waiting")

    def __init__(self, stream: Stream, limit: int | None) -> None:
        self._stream = stream
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0
        self._done = False
        self._waiting = ParkedTask()
        stream.consume_with(self)

    def feed(self, data: bytes) -> bool:
        self._size += len(data)
        if self._limit is not None and self._size > self._limit:
            self._chunks.clear()
            self._stream.close()
            self.on_end()
        elif len(data) < SMALL:
            add_piece(self._chunks, data)
        else:
            self._chunks.append(data)
        return True

    def on_end(self) -> None:
        self._done = True
        self._stream.connection.wakeups.wake(self._waiting)

    async def wait(self) -> bytes:
        """The body as it came. Raises what ended it, or LimitExceeded("max_body_size")."""
        if not self._done:
            await self._waiting.park()
        if self._limit is not None and self._size > self._limit:
            raise LimitExceeded("max_body_size", self._limit, "the body is too large: use Client.stream")
        self._stream.raise_error()
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
