"""A WebSocket that comes back: each turn of a loop opens the successor of the last one."""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator
from types import TracebackType

import trio

from .._errors import (
    ConnectFailed,
    H2WSError,
    HTTP2NotAvailable,
    LimitExceeded,
    LocalProtocolError,
    WebSocketRejected,
)
from .._http.backoff import backoff
from .._util import PrivateConstructor
from .websocket import Connect, WebSocket

_MAY_CHANGE = frozenset((408, 421, 425, 429))  # refusals below 500 after which another try may succeed
_LIVED_SECONDS = 10.0  # a WebSocket that lived longer was a success: the back-off starts anew


class ReconnectingWebSocket(metaclass=PrivateConstructor):
    """`async for ws in client.reconnecting_websocket(url)`: a WebSocket, and its successor when it is over.

    Each turn of the loop gives an open WebSocket; the next turn closes it and opens its successor. `async for message
    in ws` inside the loop also ends when the connection is draining (GOAWAY), so the successor is opened before the
    server hangs up.

    A failed attempt is repeated after a pause that doubles, with jitter, up to `max_backoff` seconds; the pauses
    start anew after a WebSocket that lived for ten seconds. An error that another attempt can't change ends the loop:
    a refusal with 401, 403, 404 (every 4xx except 408, 421, 425 and 429), a certificate that is not trusted, no
    HTTP/2 where it is required. As `async with … as sockets`, it closes the last WebSocket when the block ends in any
    way.
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
            if trio.current_time() - self._opened > _LIVED_SECONDS:
                self._failures = 0
            if not last.draining.is_set():
                last._begin_close(1000, "")
                await self._pause()
        try:
            ws = await self._open()
        finally:
            # A draining predecessor is closed only now, when its successor is open.
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
                pass  # lost, refused, timed out, reset: another try may succeed
            await self._pause()

    async def _pause(self) -> None:
        first, maximum = self._backoff
        if self._failures:
            await trio.sleep(backoff(self._failures, first, maximum, random.random()))
        self._failures += 1
