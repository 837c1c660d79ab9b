"""Many WebSockets in one loop.

A group costs no task per WebSocket to receive from it. A channel notifies the group when it has something; the group
keeps these WebSockets in a queue, takes one message from the first and puts it back at the end: a busy feed can't
starve a quiet one. What opens the WebSockets, and opens them again, is in `group_opening.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from functools import partial
from typing import Protocol

import trio

from .._connection.wakeups import ParkedTask
from .._errors import WebSocketClosed
from .._util import PrivateConstructor
from .checkpoints import Checkpoints, checkpoint
from .websocket import WebSocket


class Opener(Protocol):
    """What opens the WebSockets of a group."""

    @property
    def is_working(self) -> bool:
        """More WebSockets may come."""
        ...

    def on_over(self, ws: WebSocket) -> None:
        """It has ended. Messages of it may wait."""
        ...

    def comes_back(self, ws: WebSocket) -> bool:
        """All of its messages were taken. Returns whether its end is of no interest, because it is opened again."""
        ...

    def add(self, url: str) -> None: ...
    def remove(self, ws: WebSocket) -> None: ...


class WebSocketGroup(metaclass=PrivateConstructor):
    """Several WebSockets, received in one loop. Made by `Client.open_websocket_group`.

    `async for ws, message in group` takes from all of them in turn and ends when the last one was closed with 1000
    or 1001. When one ends otherwise, its error is raised, with the WebSocket as `error.websocket`; the others are not
    affected, and the loop may be started again. With `reconnect=True` one that ends is opened again instead, and only
    the error of a URL that was given up is raised, with the URL as `error.url`, or given to `on_failure`.
    """

    __slots__ = ("_checkpoints", "_failures", "_members", "_open", "_opener", "_ready", "_waiting")

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self._members: dict[WebSocket, None] = {}
        self._open: set[WebSocket] = set()
        self._ready: dict[WebSocket, None] = {}  # an ordered set
        self._failures: deque[Exception] = deque()  # of URLs, to be raised
        self._waiting = ParkedTask()
        self._checkpoints = Checkpoints()

    @property
    def websockets(self) -> tuple[WebSocket, ...]:
        """Those that belong to it now. Without `reconnect`: all of them, in the order of their URLs."""
        return tuple(self._members)

    def add(self, url: str) -> None:
        """Open another WebSocket, in the background; its messages come with the others. Raises ValueError or
        TypeError for a bad URL. One that can't be opened is an error of `receive`, or is given to `on_failure`."""
        self._opener.add(url)

    def remove(self, ws: WebSocket) -> None:
        """Close one of them with 1000, without waiting, and forget it and its messages. Raises ValueError if it is
        not in the group. With `reconnect`, it is not opened again."""
        if ws not in self._members:
            raise ValueError("this WebSocket is not in the group")
        self._detach(ws)
        self._opener.remove(ws)
        ws._begin_close(1000, "")
        self._waiting.wake()

    # For the opener.

    def _attach(self, ws: WebSocket) -> None:
        self._members[ws] = None
        self._open.add(ws)
        ws._channel.notify = partial(self._on_ready, ws)
        ws._channel.want_whole()
        self._on_ready(ws)

    def _detach(self, ws: WebSocket) -> None:
        self._members.pop(ws, None)
        self._open.discard(ws)
        self._ready.pop(ws, None)
        ws._channel.notify = None

    def _fail(self, error: Exception) -> None:
        """A URL was given up."""
        self._failures.append(error)
        self._waiting.wake()

    def _on_change(self) -> None:
        """`Opener.is_working` may be false now."""
        self._waiting.wake()

    def _on_ready(self, ws: WebSocket) -> None:
        self._ready[ws] = None
        if ws._channel.is_over:
            self._opener.on_over(ws)
        ws._channel.stream.connection.wakeups.wake(self._waiting)

    # Receiving.

    async def receive(self) -> tuple[WebSocket, str | bytes]:
        """The next message, and the WebSocket that received it.

        Raises `trio.EndOfChannel` when all were closed with 1000 or 1001, and the error of one that ended otherwise.
        Cancelled, it has taken nothing.
        """
        if self._ready or not self._open:
            await checkpoint(schedules=self._checkpoints.yields(busy=len(self._ready) > 1))
        while True:
            taken = self._take()
            if taken is not None:
                return taken
            await self._wait()

    async def receive_batch(self) -> list[tuple[WebSocket, str | bytes]]:
        """All messages that are here, from all of them in turn; waits until there is one. For caches of the latest
        values, which need not look at each alone. Otherwise like `receive`."""
        batch = [await self.receive()]
        while self._ready and not self._failures:
            try:
                taken = self._take()
            except Exception as error:
                self._failures.appendleft(error)  # for the next call: what was taken is not lost
                break
            if taken is None:
                break
            batch.append(taken)
        return batch

    def _take(self) -> tuple[WebSocket, str | bytes] | None:
        while self._ready:
            ws = next(iter(self._ready))
            del self._ready[ws]
            channel = ws._channel
            messages = channel.queue.messages
            if messages and not channel.closed:
                message = channel.take()
                if messages or channel.is_over:
                    self._ready[ws] = None
                return ws, message
            if channel.is_over and ws in self._open:
                self._open.discard(ws)
                if self._opener.comes_back(ws):
                    self._members.pop(ws, None)
                else:
                    self._check_end(ws)
        return None

    async def _wait(self) -> None:
        if self._failures:
            raise self._failures.popleft()
        if not self._open and not self._opener.is_working:
            raise trio.EndOfChannel
        await self._waiting.park("another task is receiving from this group")

    def _check_end(self, ws: WebSocket) -> None:
        error = ws._channel.end_error()
        if isinstance(error, trio.ClosedResourceError):
            return  # the application closed it
        if isinstance(error, WebSocketClosed) and error.clean and error.code in (1000, 1001):
            return
        error.websocket = ws  # type: ignore[attr-defined]
        raise error

    def __aiter__(self) -> AsyncIterator[tuple[WebSocket, str | bytes]]:
        return self

    async def __anext__(self) -> tuple[WebSocket, str | bytes]:
        try:
            return await self.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None
