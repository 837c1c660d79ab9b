"""Many WebSockets in one loop.

A group costs no task per WebSocket. A channel notifies the group when it has something; the group keeps these
WebSockets in a queue, takes one message from the first and puts it back at the end: a busy feed can't starve a quiet
one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from types import TracebackType

import trio

from .._connection.wakeups import ParkedTask
from .._errors import WebSocketClosed
from .._util import PrivateConstructor
from .checkpoints import Checkpoints, checkpoint
from .websocket import Connect, WebSocket


class WebSocketGroup(metaclass=PrivateConstructor):
    """Several WebSockets, received in one loop. Made by `Client.open_websocket_group`.

    `async for ws, message in group` takes from all of them in turn and ends when the last one was closed with 1000
    or 1001. When one ends otherwise, its error is raised, with the WebSocket as `error.websocket`; the others are not
    affected, and the loop may be started again.
    """

    __slots__ = ("_checkpoints", "_open", "_ready", "_waiting", "websockets")

    def __init__(self, websockets: list[WebSocket]) -> None:
        self.websockets = tuple(websockets)
        """All of them, in the order of their URLs."""
        self._open = set(websockets)
        self._ready: dict[WebSocket, None] = {}  # an ordered set
        self._waiting = ParkedTask()
        self._checkpoints = Checkpoints()
        for ws in websockets:
            ws._channel.notify = partial(self._on_ready, ws)
            ws._channel.want_whole()
            self._on_ready(ws)

    def _on_ready(self, ws: WebSocket) -> None:
        self._ready[ws] = None
        ws._channel.stream.connection.wakeups.wake(self._waiting)

    async def receive(self) -> tuple[WebSocket, str | bytes]:
        """The next message, and the WebSocket that received it.

        Raises `trio.EndOfChannel` when all were closed with 1000 or 1001, and the error of one that ended otherwise.
        Cancelled, it has taken nothing.
        """
        if self._ready or not self._open:
            await checkpoint(schedules=self._checkpoints.yields(busy=len(self._ready) > 1))
        while True:
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
                    self._check_end(ws)
            if not self._open:
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


class OpenGroup:
    """`async with client.open_websocket_group(urls) as group`"""

    def __init__(self, connects: list[Connect]) -> None:
        self._connects = connects
        self._websockets: list[WebSocket] = []

    async def __aenter__(self) -> WebSocketGroup:
        opened: dict[int, WebSocket] = {}

        async def open_one(index: int, connect: Connect) -> None:
            opened[index] = await connect()

        try:
            async with trio.open_nursery() as nursery:
                for index, connect in enumerate(self._connects):
                    nursery.start_soon(open_one, index, connect)
        except BaseException as error:
            for ws in opened.values():
                ws.abort()
            # Raise the first failure bare, not as a group: the others were only cancelled because of it.
            first = _first_error(error)
            if first is error:
                raise
            raise first from first.__cause__
        self._websockets = [opened[index] for index in sorted(opened)]
        group: WebSocketGroup = WebSocketGroup._create(self._websockets)
        return group

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None:
            for ws in self._websockets:
                ws._leave(error)
            return
        for ws in self._websockets:
            ws._begin_close(1000, "")
        try:
            for ws in self._websockets:
                await ws.aclose()
        except BaseException:
            for ws in self._websockets:
                ws.abort()
            raise


def _first_error(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        real = [one for one in error.exceptions if not isinstance(one, trio.Cancelled)]
        error = real[0] if real else error.exceptions[0]
    return error
