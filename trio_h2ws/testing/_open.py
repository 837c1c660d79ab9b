"""`open_server`: a nursery around the user's block, without a nursery's way with exceptions.

A nursery wraps what leaves its block in an ExceptionGroup. Here it is not told: the server's tasks are cancelled, the
nursery is left as if all were well, and the user's own exception goes its way bare. That is right because no task
of the server raises, so there is nothing else that anybody would have to hear of.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any

import trio
from h2.settings import SettingCodes

from ._certificates import Identity
from ._exchange import LOWEST_STATUS, Options, OverHTTP2
from ._server import Server

DEFAULT_SETTINGS: dict[int, int] = {
    SettingCodes.MAX_CONCURRENT_STREAMS: 256,
    SettingCodes.INITIAL_WINDOW_SIZE: 1024 * 1024,
    SettingCodes.MAX_HEADER_LIST_SIZE: 256 * 1024,
}


class _ServerContext:
    """The nursery around the user's block, without a nursery's way with the user's exceptions."""

    def __init__(self, port: int | None, **config: Any) -> None:
        self._port = port
        self._config = config

    async def __aenter__(self) -> Server:
        self._manager = trio.open_nursery()
        self._nursery = await self._manager.__aenter__()
        try:
            server = Server(self._nursery, **self._config)
            if self._port is not None:
                await server._listen(self._port)
        except BaseException:
            await self.__aexit__(*sys.exc_info())
            raise
        return server

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._nursery.cancel_scope.cancel()
        try:
            await self._manager.__aexit__(None, None, None)
        except BaseException as group:
            # Only Cancelled of a scope around us, or a KeyboardInterrupt that hit one of our tasks.
            rest: BaseException | None = group
            while isinstance(rest, BaseExceptionGroup):
                rest = rest.split(trio.Cancelled)[1]
                if rest is not None:
                    rest = rest.exceptions[0]
            if rest is not None and not isinstance(rest, trio.Cancelled):
                raise rest from None
        if error is None:
            await trio.lowlevel.checkpoint_if_cancelled()


def open_server(
    *,
    tls: bool = True,
    memory: bool = False,
    host: str = "127.0.0.1",
    port: int = 0,
    alpn: Sequence[str] = ("h2",),
    settings: Mapping[int, int] | None = None,
    extended_connect: bool = True,
    connection_window: int = 16 * 1024 * 1024,
    settings_delay: float = 0.0,
    subprotocols: Sequence[str] = ("echo", "v1", "v2"),
    compression: bool = True,
    close_timeout: float = 5.0,
    websocket_over_http2: OverHTTP2 = "works",
) -> AbstractAsyncContextManager[Server, None]:
    """A server in this process: `async with open_server() as server`.

    It listens on a free port of the loopback interface with a certificate of its own; `server.url` and
    `server.ssl_context` are what a client needs. `tls=False` serves in clear: HTTP/2 to a client that begins with it
    (prior knowledge), HTTP/1.1 to every other. With `memory=True` there is no socket: `server.open_stream` opens
    streams in memory.

    `alpn` is what TLS offers, the server's preference first: `("h2", "http/1.1")` leaves the choice to the client,
    and with `("http/1.1",)` no client gets HTTP/2. `settings` (codes to values) go over the default first SETTINGS;
    `extended_connect=False` leaves ENABLE_CONNECT_PROTOCOL out, and `settings_delay` holds everything back for so
    many seconds. These three, and `connection_window`, are about HTTP/2 only.

    `subprotocols` are those that WebSockets can agree on, and `compression` says whether permessage-deflate is
    accepted. `close_timeout` is how long a WebSocket waits for its peer's part of the closing.

    `websocket_over_http2` is what becomes of extended CONNECT: "works"; "silent" never answers; a number from 200 is
    a status to answer with, one below 100 an error code to reset the stream with. Over HTTP/1.1 the same paths go on
    working, so a client can be seen to fall back.

    When the block ends every connection is dropped. Its exceptions come out as they are.
    """
    if not _is_valid(websocket_over_http2):
        raise ValueError(f"websocket_over_http2={websocket_over_http2!r} is no way to answer")
    first_settings = dict(DEFAULT_SETTINGS)
    if extended_connect:
        first_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
    first_settings.update(settings or {})
    identity = Identity(("localhost", "127.0.0.1", "::1", host), alpn) if tls else None
    return _ServerContext(
        None if memory else port,
        identity=identity,
        memory=memory,
        host=host,
        settings=first_settings,
        window=connection_window,
        options=Options(tuple(subprotocols), compression, close_timeout, settings_delay, websocket_over_http2),
    )


def _is_valid(over_http2: OverHTTP2) -> bool:
    if isinstance(over_http2, int):
        return 0 <= over_http2 < 100 or LOWEST_STATUS <= over_http2 < 600
    return over_http2 in ("works", "silent")
