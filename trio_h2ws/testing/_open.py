"""`open_server`: a nursery around the user's block that does not wrap the user's exceptions.

A nursery wraps an exception that leaves its block in an ExceptionGroup. This one never sees it: the server's tasks
are cancelled, the nursery is closed as if no exception had occurred, and the user's exception propagates unwrapped.
Nothing is lost by that, because no task of the server raises.
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
    """The context manager that `open_server` returns."""

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
            # Only Cancelled from a surrounding scope, or a KeyboardInterrupt raised in one of the server's tasks.
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
    """Start a server in this process: `async with open_server() as server`.

    It listens on a free port of the loopback interface and has its own certificate authority; a client needs
    `server.url` and `server.ssl_context`. `tls=False` serves in clear text: HTTP/2 to clients that begin with it
    (prior knowledge), HTTP/1.1 to all others. `memory=True` uses no sockets: `server.open_stream` opens streams in
    memory.

    `alpn` is what the server offers in the TLS handshake, in order of preference: `("h2", "http/1.1")` lets the
    client choose, and with `("http/1.1",)` no client gets HTTP/2. `settings` (codes to values) override the defaults
    of the first SETTINGS frame. `extended_connect=False` omits ENABLE_CONNECT_PROTOCOL from it. `settings_delay`
    delays it and everything after it by this many seconds. These three and `connection_window` (bytes) apply to
    HTTP/2 only.

    `subprotocols` are those that WebSockets can agree on, and `compression` says whether permessage-deflate is
    accepted. `close_timeout` is how many seconds a WebSocket waits for the client to complete the closing handshake.

    `websocket_over_http2` is the response to an extended CONNECT: "works" serves it and "silent" never responds; a
    number from 200 to 599 is a status to respond with, and one below 100 an error code to reset the stream with. The
    same paths still work over HTTP/1.1, so a test can watch a client fall back.

    When the block ends, every connection is dropped. Exceptions in the block propagate unchanged.
    """
    if not _is_valid(websocket_over_http2):
        raise ValueError(
            f"websocket_over_http2={websocket_over_http2!r} is not supported: "
            'use "works", "silent", a status from 200 to 599, or an error code below 100'
        )
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
