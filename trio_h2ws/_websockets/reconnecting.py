"""A WebSocket that comes back: each turn of a loop gives the successor of the last one.

When it is tried again, and when not, is in `recovery.py`; what happens when its connection is draining in
`handover.py`.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import trio

from .._errors import H2WSError
from .._events import Events, WebSocketAttempted, WebSocketEnded, WebSocketHandedOver, WebSocketNotOpened
from .._util import PrivateConstructor
from .handover import Handover
from .recovery import Pauses, StopOn, is_final, stops
from .websocket import WebSocket

T = TypeVar("T")
AtEachAttempt: TypeAlias = "Callable[[], T | Awaitable[T]] | Callable[[ReconnectingWebSocket], T | Awaitable[T]]"
"""A function that gives a value at each attempt."""


class Background(Protocol):
    """Runs tasks of the client until it is closed."""

    def start_background(self, run: Callable[[], Awaitable[None]]) -> None: ...


class Given(Generic[T]):
    """A value, or a function that gives it at each attempt: sync or async, without an argument, or with the
    ReconnectingWebSocket."""

    __slots__ = ("_function", "_takes_argument", "_value", "_what")

    def __init__(self, given: Any, what: str) -> None:
        self._what = what
        self._value: Any = None
        self._function: Callable[..., Any] | None = None
        self._takes_argument = False
        if not callable(given):
            self._value = given
            return
        self._function = given
        try:
            parameters = inspect.signature(given).parameters.values()
        except (TypeError, ValueError):
            return  # a builtin without a signature
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        required = [p for p in parameters if p.kind in positional and p.default is inspect.Parameter.empty]
        if len(required) > 1:
            raise TypeError(f"{what} as a function takes no argument, or one: the ReconnectingWebSocket")
        self._takes_argument = bool(required)

    @property
    def is_fixed(self) -> bool:
        return self._function is None

    async def get(self, sockets: ReconnectingWebSocket) -> T:
        if self._function is None:
            value: T = self._value
            return value
        result = self._function(sockets) if self._takes_argument else self._function()
        if inspect.isawaitable(result):
            result = await result
        given: T = result
        return given


class ReconnectingWebSocket(metaclass=PrivateConstructor):
    """`async for ws in client.reconnecting_websocket(url)`: a WebSocket, and its successor when it is over.

    Each turn of the loop gives an open WebSocket; the next turn closes it and gives its successor. When its
    connection is draining (GOAWAY), the successor is opened while the WebSocket is still used; after `handover`
    seconds more it is closed, what the server had sent is received, and `async for message in ws` ends. Nothing is
    lost in that, if the server goes on for so long.

    A failed attempt is repeated after a pause that doubles, with jitter, up to `max_backoff` seconds, and not before
    what Retry-After asks for (at most 300 s). The pauses start anew after a WebSocket that lived for ten seconds.
    After an end that was not planned (1000, 1001, 1012, draining) the first attempt waits a random part of
    `first_delay` seconds (RFC 6455, section 7.2.3). An error that another attempt can't change ends the loop: a
    refusal with 401, 403, 404 (every 4xx except 408, 421, 425 and 429), a certificate that is not trusted, a
    subprotocol or extension that was not offered, a port that does not speak HTTP, no HTTP/2 where it is required,
    and what `stop_on` names.

    As `async with … as sockets`, it closes the last WebSocket when the block ends in any way.
    """

    __slots__ = (
        "_background",
        "_connect",
        "_current",
        "_events",
        "_handover",
        "_handover_seconds",
        "_opened",
        "_pauses",
        "_stop_on",
        "attempts",
        "last_error",
        "origin",
    )

    def __init__(
        self,
        connect: Callable[[ReconnectingWebSocket], Awaitable[WebSocket]],
        background: Background,
        events: Events,
        pauses: Pauses,
        handover: float,
        stop_on: StopOn,
    ) -> None:
        self._connect = connect
        self.origin = ""
        """That of the last attempt."""
        self._background = background
        self._events = events
        self._pauses = pauses
        self._handover_seconds = handover
        self._stop_on = stop_on
        self._current: WebSocket | None = None
        self._handover: Handover | None = None
        self._opened = 0.0
        self.attempts = 0
        """How many handshakes were begun so far, successful ones included."""
        self.last_error: H2WSError | None = None
        """Why the last WebSocket ended, or the last attempt failed; None if it was closed here, or handed over."""

    async def __aenter__(self) -> ReconnectingWebSocket:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end_handover()
        if self._current is not None:
            if error is None:
                await self._current.aclose()
            else:
                self._current._leave(error)

    def __aiter__(self) -> AsyncIterator[WebSocket]:
        return self

    async def __anext__(self) -> WebSocket:
        last, handover = self._current, self._handover
        if last is None:
            return self._take(await self._open())
        if handover is None or (last._channel.closed and handover.successor is None):
            self._end_handover()
            pause = self._after_end(last)
            _close(last)
            await trio.sleep(pause)
            return self._take(await self._open())
        ws = await handover.take()
        self._handover = None
        _close(last)
        self.last_error = None
        if self._events.wanted:
            self._events.emit(WebSocketHandedOver(self.origin))
        return self._take(ws)

    def _after_end(self, last: WebSocket) -> float:
        """The pause after the WebSocket has ended, or its user wants another one. Raises what ends the loop."""
        ended = last._channel.ended_by()
        self.last_error = ended
        if ended is not None and stops(self._stop_on, ended):
            raise ended
        pause = self._pauses.after_end(ended, trio.current_time() - self._opened, random.random())
        if ended is not None and self._events.wanted:
            self._events.emit(WebSocketEnded(self.origin, ended, pause))
        return pause

    def _take(self, ws: WebSocket) -> WebSocket:
        self._current = ws
        self._opened = trio.current_time()
        ws._channel.when_draining(self._on_draining)
        return ws

    def _on_draining(self) -> None:
        """In the reader's dispatch: the connection of the current WebSocket takes no new streams."""
        ws = self._current
        if ws is None or self._handover is not None or ws._channel.is_over:
            return
        pause = self._pauses.after_draining(trio.current_time() - self._opened, random.random())
        self._handover = handover = Handover(ws, self._open, pause, self._handover_seconds)
        ws._channel.handover = handover
        self._background.start_background(handover.run)

    def _end_handover(self) -> None:
        if self._handover is not None:
            self._handover.cancel()
            self._handover = None

    def _on_attempt(self, origin: str) -> None:
        """The handshake begins; its URL is known now."""
        self.origin = origin
        if self._events.wanted:
            self._events.emit(WebSocketAttempted(origin, self.attempts))

    async def _open(self) -> WebSocket:
        """Attempts, until one succeeds. Raises what another one can't change."""
        while True:
            self.attempts += 1
            try:
                ws = await self._connect(self)
            except H2WSError as error:
                self.last_error = error
                final = is_final(error) or stops(self._stop_on, error)
                pause = None if final else self._pauses.after_failure(error, random.random())
                if self._events.wanted:
                    self._events.emit(WebSocketNotOpened(self.origin, self.attempts, error, pause))
                if pause is None:
                    raise
                await trio.sleep(pause)
            else:
                return ws


def _close(last: WebSocket) -> None:
    """Its user has left it. If it has ended by itself, messages of it may still be taken."""
    if not last._channel.is_over:
        last._begin_close(1000, "")
