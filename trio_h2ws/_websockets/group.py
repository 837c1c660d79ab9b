"""Many WebSockets in one loop, and one that comes back.

A group costs no task per socket. Each channel says when it has something; the group keeps those sockets in a
ring, takes one message from the first and puts it back at the end: a busy feed can't starve a quiet one.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from types import TracebackType

import trio

from .._errors import (
    ConnectFailed,
    H2WSError,
    HTTP2NotAvailable,
    LimitExceeded,
    LocalProtocolError,
    WebSocketClosed,
    WebSocketRejected,
)
from .._util import PrivateConstructor
from .checkpoints import Checkpoints, checkpoint
from .websocket import WebSocket

Connect = Callable[[], Awaitable[WebSocket]]

_MAY_CHANGE = frozenset((408, 421, 425, 429))  # refusals below 500 that another try may turn into a yes
_LIVED = 10.0  # seconds after which a WebSocket was a success, and the back-off begins anew


class WebSocketGroup(metaclass=PrivateConstructor):
    """Several WebSockets, received in one loop. Made by `Client.open_websocket_group`.

    `async for ws, message in group` takes from all of them in turn and ends when the last one was closed with 1000
    or 1001. When one ends otherwise, its error is raised, with the socket as `error.websocket`; the others are well,
    and the loop may be begun again.
    """

    __slots__ = ("_burst", "_open", "_ready", "_task", "websockets")

    def __init__(self, websockets: list[WebSocket]) -> None:
        self.websockets = tuple(websockets)
        """All of them, in the order of their URLs."""
        self._open = set(websockets)
        self._ready: dict[WebSocket, None] = {}  # an ordered set
        self._task: trio.lowlevel.Task | None = None
        self._burst = Checkpoints()
        for ws in websockets:
            channel = ws._channel
            channel.receiver.queue.want_parts = False
            channel.group_ready = partial(self._on_ready, ws)
            channel.resume()
            self._on_ready(ws)

    def _on_ready(self, ws: WebSocket) -> None:
        self._ready[ws] = None
        task, self._task = self._task, None
        if task is not None:
            ws._channel.stream.connection.woken += 1
            trio.lowlevel.reschedule(task)

    async def receive(self) -> tuple[WebSocket, str | bytes]:
        """The next message, and the WebSocket that it came on.

        Raises `trio.EndOfChannel` when all were closed with 1000 or 1001, and the error of one that ended otherwise.
        Cancelled, it has taken nothing.
        """
        if self._ready or not self._open:
            await checkpoint(schedules=self._burst.yields(busy=len(self._ready) > 1))
        while True:
            while self._ready:
                ws = next(iter(self._ready))
                del self._ready[ws]
                channel = ws._channel
                if channel.receiver.queue.messages and not channel.closed:
                    message = channel.receiver.queue.pop()
                    channel.resume()
                    if channel.receiver.queue.messages or channel.is_over:
                        self._ready[ws] = None
                    return ws, message
                if channel.is_over and ws in self._open:
                    self._open.discard(ws)
                    self._check_end(ws)
            if not self._open:
                raise trio.EndOfChannel
            await self._wait()

    def _check_end(self, ws: WebSocket) -> None:
        error = ws._channel.end_error()
        if isinstance(error, trio.ClosedResourceError):
            return  # closed here, by the application
        if isinstance(error, WebSocketClosed) and error.clean and error.code in (1000, 1001):
            return
        error.websocket = ws  # type: ignore[attr-defined]
        raise error

    async def _wait(self) -> None:
        if self._task is not None:
            raise trio.BusyResourceError("another task is receiving from this group")
        self._task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._task = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

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
            # The first that failed speaks for all; what it cancelled says nothing more.
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


class ReconnectingWebSocket(metaclass=PrivateConstructor):
    """`async for ws in client.reconnecting_websocket(url)`: a WebSocket, and its successor when it is over.

    Each turn of the loop gives an open WebSocket; when the body comes back for more, the last one is closed and the
    next one opened. `async for message in ws` inside it also ends when the connection is going away (GOAWAY), so the
    successor opens before the server hangs up.

    A failed attempt is repeated after a pause that doubles, with jitter, up to `max_backoff` seconds; it begins
    anew after a socket that lived for ten seconds. What will not change ends the loop with its error: a refusal with
    401, 403, 404 (every 4xx but 408, 421, 425 and 429), a certificate that is not trusted, no HTTP/2 where it is
    required. As `async with … as sockets`, it closes the last socket when the block ends, however it ends.
    """

    __slots__ = ("_backoff", "_connect", "_current", "_failures", "_opened")

    def __init__(self, connect: Connect, first_backoff: float, max_backoff: float) -> None:
        if not 0 < first_backoff <= max_backoff:
            raise ValueError("give 0 < first_backoff <= max_backoff, in seconds")
        self._connect = connect
        self._backoff = (first_backoff, max_backoff)
        self._failures = 0
        self._current: WebSocket | None = None
        self._opened = 0.0

    async def __aenter__(self) -> ReconnectingWebSocket:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._current is not None:
            if error is None:
                await self._current.aclose()
            else:
                self._current._leave(error)

    def __aiter__(self) -> AsyncIterator[WebSocket]:
        return self

    async def __anext__(self) -> WebSocket:
        last = self._current
        if last is not None:
            if trio.current_time() - self._opened > _LIVED:
                self._failures = 0
            if not last.draining.is_set():
                last._begin_close(1000, "")
                await self._pause()
        try:
            ws = await self._open()
        finally:
            # A draining predecessor is closed only now, when its successor is there.
            if last is not None:
                last._begin_close(1000, "")
        self._current = ws
        self._opened = trio.current_time()
        ws._channel.end_when_draining()
        return ws

    async def _open(self) -> WebSocket:
        while True:
            try:
                return await self._connect()
            except WebSocketRejected as error:
                if error.status < 500 and error.status not in _MAY_CHANGE:
                    raise
            except (HTTP2NotAvailable, LimitExceeded, LocalProtocolError):
                raise
            except ConnectFailed as error:
                if isinstance(error.__cause__, ssl.SSLCertVerificationError):
                    raise
            except H2WSError:
                pass  # lost, refused, timed out, reset: another try may do better
            await self._pause()

    async def _pause(self) -> None:
        first, most = self._backoff
        if self._failures:
            seconds = min(first * 2 ** (self._failures - 1), most)
            await trio.sleep(seconds * random.uniform(0.5, 1.0))
        self._failures = min(self._failures + 1, 32)
