"""What opens the WebSockets of a group: all at its beginning, one at a time later, and again when they end.

    reconnect   a URL that can't be opened at the beginning    one that ends
    False       gives up the group                             is an item of the loop: its end, or its error
    True        is tried again, or given up alone              is opened again, by the rules of `recovery.py`

Each WebSocket that comes back has a task of the client, which sleeps while it is open. How many handshakes are under
way, and begin in a time, is bounded for the group (`connecting.py`).
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import TypeAlias

import trio

from .._errors import H2WSError
from .connecting import Connecting
from .group import WebSocketGroup
from .reconnecting import Background, ReconnectingWebSocket
from .websocket import WebSocket

OnOpen: TypeAlias = Callable[[WebSocket], object]
OnFailure: TypeAlias = Callable[[str, Exception], object]
ConnectTo: TypeAlias = Callable[[str], Awaitable[WebSocket]]
Reconnect: TypeAlias = Callable[[str, Connecting], ReconnectingWebSocket]


class _Member:
    """One URL of a group."""

    __slots__ = ("over", "scope", "url", "ws")

    def __init__(self, url: str) -> None:
        self.url = url
        self.scope = trio.CancelScope()
        self.ws: WebSocket | None = None
        self.over = trio.Event()  # its present WebSocket has ended


class OpenGroup:
    """`async with client.open_websocket_group(urls) as group`"""

    def __init__(
        self,
        urls: list[str],
        connect: ConnectTo,
        reconnect: Reconnect | None,
        check_url: Callable[[str], object],
        background: Background,
        connecting: Connecting,
        on_open: OnOpen | None,
        on_failure: OnFailure | None,
    ) -> None:
        self._urls = urls
        self._connect = connect
        self._reconnect = reconnect
        self._check_url = check_url
        self._background = background
        self._connecting = connecting
        self._on_open = on_open
        self._on_failure = on_failure
        self._members: set[_Member] = set()
        self._kept: dict[WebSocket, _Member] = {}  # those that come back
        self._closed = False
        self._group: WebSocketGroup = WebSocketGroup._create(self)

    async def __aenter__(self) -> WebSocketGroup:
        if self._reconnect is not None:
            for url in self._urls:
                self.add(url)
            await trio.lowlevel.checkpoint()
            return self._group
        opened: dict[int, WebSocket] = {}

        async def open_one(index: int, url: str) -> None:
            async with self._connecting.place():
                opened[index] = await self._connect(url)
            await self._opened(opened[index])

        try:
            async with trio.open_nursery() as nursery:
                for index, url in enumerate(self._urls):
                    nursery.start_soon(open_one, index, url)
        except BaseException as error:
            for ws in opened.values():
                ws.abort()
            # Raise the first failure bare, not as a group: the others were only cancelled because of it.
            first = _first_error(error)
            if first is error:
                raise
            raise first from first.__cause__
        for index in sorted(opened):
            self._group._attach(opened[index])
        return self._group

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closed = True
        websockets = self._group.websockets
        for member in list(self._members):
            member.scope.cancel()
        if error is not None:
            for ws in websockets:
                ws._leave(error)
            return
        for ws in websockets:
            ws._begin_close(1000, "")
        try:
            for ws in websockets:
                await ws.aclose()
        except BaseException:
            for ws in websockets:
                ws.abort()
            raise

    # For the group.

    @property
    def is_working(self) -> bool:
        return bool(self._members)

    def on_over(self, ws: WebSocket) -> None:
        member = self._kept.get(ws)
        if member is not None and member.ws is ws:
            member.over.set()

    def comes_back(self, ws: WebSocket) -> bool:
        return self._kept.pop(ws, None) is not None

    def add(self, url: str) -> None:
        self._check_url(url)
        if self._closed:
            raise trio.ClosedResourceError("the group is closed")
        member = _Member(url)
        self._members.add(member)
        run = self._open_once if self._reconnect is None else self._keep

        async def task() -> None:
            with member.scope:
                await run(member)
            self._members.discard(member)
            self._group._on_change()

        self._background.start_background(task)

    def remove(self, ws: WebSocket) -> None:
        member = self._kept.pop(ws, None)
        if member is not None:
            member.scope.cancel()

    # The tasks.

    async def _open_once(self, member: _Member) -> None:
        try:
            async with self._connecting.place():
                ws = await self._connect(member.url)
            await self._opened(ws)
        except Exception as error:
            self._give_up(member, error)
        else:
            self._group._attach(ws)

    async def _keep(self, member: _Member) -> None:
        assert self._reconnect is not None
        sockets = self._reconnect(member.url, self._connecting)
        try:
            async for ws in sockets:
                member.ws, member.over = ws, trio.Event()
                try:
                    await self._opened(ws)
                except H2WSError:
                    continue  # it has ended already
                self._kept[ws] = member
                self._group._attach(ws)
                await member.over.wait()
        except Exception as error:
            self._give_up(member, error)
        finally:
            sockets._end_handover()
            if member.ws is not None and member.ws not in self._group.websockets:
                member.ws.abort()  # the others are closed by the group

    async def _opened(self, ws: WebSocket) -> None:
        if self._on_open is not None:
            result = self._on_open(ws)
            if inspect.isawaitable(result):
                await result

    def _give_up(self, member: _Member, error: Exception) -> None:
        if self._closed:
            return
        if self._on_failure is not None:
            try:
                self._on_failure(member.url, error)
            except Exception as raised:
                error = raised
            else:
                return
        error.url = member.url  # type: ignore[attr-defined]
        self._group._fail(error)


def check_functions(**functions: object) -> None:
    for name, function in functions.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be a function, not {type(function).__name__}")


def check_urls(urls: Iterable[str], check_url: Callable[[str], object]) -> list[str]:
    if isinstance(urls, (str, bytes)) or not isinstance(urls, Iterable):
        raise TypeError(f"urls must be an iterable of URLs, not {type(urls).__name__}")
    checked = list(urls)
    for url in checked:
        check_url(url)  # raises for a bad one: before any is dialled
    return checked


def _first_error(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        real = [one for one in error.exceptions if not isinstance(one, trio.Cancelled)]
        error = real[0] if real else error.exceptions[0]
    return error
