"""The hand-over of one WebSocket that reconnects: from a connection that is draining to its successor.

A server that restarts says GOAWAY and lets streams go on for a while. Closing the WebSocket then would lose what is
on its way in either direction. So the two overlap:

1. The connection begins to drain. A background task of the client opens the successor, and tries again if need be.
The
   old WebSocket is used as before.
2. The successor is open. No task receives from it yet: what comes waits in its queue, and beyond that the stream's
   window holds it back. The old one is used for `seconds` more, so that answers to what was sent on it arrive.
3. Our Close is sent on the old one. From now on sending on it raises `WebSocketClosed`. What the server has sent
before
   its own Close is still received, in order.
4. The server's Close has come, or the end. A loop over the old one ends quietly, and the next turn of the outer loop
   gives the successor.

If the old one ends before that, the outer loop waits for the successor. If its user closes it, the hand-over is off.
A feed that sends the same to both sends it twice: that is for the application to know.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from .websocket import WebSocket


class Handover:
    """`run` is its task, in the client's nursery."""

    __slots__ = ("_open", "_opened", "_pause", "_scope", "_seconds", "_taken", "error", "old", "successor")

    def __init__(
        self, old: WebSocket, open_successor: Callable[[], Awaitable[WebSocket]], pause: float, seconds: float
    ) -> None:
        self.old = old
        self.successor: WebSocket | None = None
        self.error: Exception | None = None
        self._open = open_successor
        self._pause = pause
        self._seconds = seconds
        self._opened = trio.Event()
        self._scope = trio.CancelScope()
        self._taken = False

    async def run(self) -> None:
        with self._scope:
            try:
                await trio.sleep(self._pause)
                self.successor = await self._open()
            except Exception as error:
                self.error = error
            finally:
                self._opened.set()
            if self.successor is not None:
                await trio.sleep(self._seconds)
                self.old._channel.hand_over()

    async def take(self) -> WebSocket:
        """The successor, when it is open. Raises why it could not be opened."""
        await self._opened.wait()
        if self.error is not None:
            raise self.error
        if self.successor is None:
            raise trio.ClosedResourceError("the client is closed")
        self._taken = True
        self._scope.cancel()  # the old one is over, or its user wants no more of it
        return self.successor

    def on_closed(self) -> None:
        """The user has closed the old one, so the next turn is not wanted, or opens another one."""
        self.cancel()

    def cancel(self) -> None:
        """Give it up, unless the successor was taken. Idempotent."""
        self._scope.cancel()
        if self.successor is not None and not self._taken:
            self.successor.abort()
            self.successor = None
