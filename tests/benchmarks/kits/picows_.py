"""picows, in Cython, over HTTP/1.1. It has callbacks; this is the least that makes them `send` and `receive`.

Only its second API, that of websockets, compresses: that one is used where permessage-deflate is wanted.
"""

from __future__ import annotations

import asyncio
import importlib
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from ..servers.site import Site
from .kit import AsyncioKit, Setting, Socket, expect, trust


class _Listener(WSListener):  # type: ignore[misc, unused-ignore]  # a class in Cython
    """Messages wait in a deque, and one task at most waits for them. `send` waits while the transport has too much to
    send, as it does in the other libraries."""

    transport: WSTransport

    def __init__(self) -> None:
        self._messages: deque[str] = deque()
        self._reader: asyncio.Future[None] | None = None
        self._paused: asyncio.Future[None] | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT or not frame.fin:
            raise ValueError(f"an echo is one text frame, not {frame}")
        self._messages.append(frame.get_payload_as_utf8_text())
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_exception(ConnectionError("the WebSocket has ended"))

    def pause_writing(self) -> None:
        self._paused = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._paused is not None:
            self._paused.set_result(None)
            self._paused = None

    async def send(self, message: str) -> None:
        self.transport.send(WSMsgType.TEXT, message.encode())
        if self._paused is not None:
            await self._paused

    async def receive(self) -> str:
        if not self._messages:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._messages.popleft()


class _Client:
    def __init__(self, site: Site, setting: Setting) -> None:
        self._context = trust(site)
        self._deflate = setting.deflate

    async def websocket(self, url: str) -> Socket:
        if self._deflate:
            connect = importlib.import_module("picows.websockets").connect
            ws = await connect(url, ssl=self._context, compression="deflate", proxy=None)
            expect("permessage-deflate" in ws.response.headers.get("Sec-WebSocket-Extensions", ""), True)
            return Socket(ws.send, ws.recv)
        _, listener = await ws_connect(_Listener, url, ssl_context=self._context)
        assert isinstance(listener, _Listener)
        return Socket(listener.send, listener.receive)


class Kit(AsyncioKit):
    @asynccontextmanager
    async def client(self, site: Site) -> AsyncIterator[_Client]:
        yield _Client(site, self.setting)
