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

from ._exchange import Options
from ._server import Server
from ._tls import Identity

DEFAULT_SETTINGS: dict[int, int] = {
    SettingCodes.MAX_CONCURRENT_STREAMS: 256,
    SettingCodes.INITIAL_WINDOW_SIZE: 1024 * 1024,
    SettingCodes.MAX_HEADER_LIST_SIZE: 256 * 1024,
}


class _Opening:
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
) -> AbstractAsyncContextManager[Server, None]:
    """A server in this process: `async with open_server() as server`.

    It listens on a free port of the loopback interface with a certificate of its own; `server.url` and
    `server.ssl_context` are what a client needs. `tls=False` serves HTTP/2 in clear (prior knowledge).
    With `memory=True` there is no socket: `server.open_stream` opens streams in memory.

    `settings` (codes to values) go over the default first SETTINGS; `extended_connect=False` leaves
    ENABLE_CONNECT_PROTOCOL out, and `settings_delay` holds everything back for so many seconds.
    `alpn` is what TLS offers: with `("http/1.1",)` no client gets HTTP/2. `subprotocols` are those that
    WebSockets can agree on, and `compression` says whether permessage-deflate is accepted. `close_timeout` is
    how long a WebSocket waits for its peer's part of the closing.

    When the block ends every connection is dropped. Its exceptions come out as they are.
    """
    first_settings = dict(DEFAULT_SETTINGS)
    if extended_connect:
        first_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL] = 1
    first_settings.update(settings or {})
    identity = Identity(("localhost", "127.0.0.1", "::1", host), alpn) if tls else None
    return _Opening(
        None if memory else port,
        identity=identity,
        memory=memory,
        host=host,
        settings=first_settings,
        window=connection_window,
        options=Options(tuple(subprotocols), compression, close_timeout, settings_delay),
    )
