"""The server: its listener or memory streams, and a test's verbs for all its connections.

Every transport, wherever it came from, goes through `_serve`: TLS if asked for, then the protocol that ALPN or the
first bytes name. No task raises: what a client breaks ends its own connection, and a bug of the server is kept in
`stats.errors`.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

import trio
from trio.testing import memory_stream_pair

from ._exchange import Options
from ._h2 import H2ServerConnection
from ._stats import Stats
from ._tls import Identity

if TYPE_CHECKING:
    import trustme

    from ._websockets import ServerWebSocket

log = logging.getLogger("trio_h2ws.testing")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HANDSHAKE_SECONDS = 30.0


class Server:
    """A running server, as `open_server` yields it.

    What is said to the server is said to each connection that lives now; `connections` has them one by one.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        identity: Identity | None,
        memory: bool,
        host: str,
        settings: Mapping[int, int],
        window: int,
        options: Options,
    ) -> None:
        self._nursery = nursery
        self._identity = identity
        self._memory = memory
        self._host = host
        self._settings = settings
        self._window = window
        self._options = options
        self.port = 443 if identity is not None else 80
        self.stats = Stats()
        """What the server has seen."""
        self.connections: list[H2ServerConnection] = []
        """The connections that live, oldest first."""
        self.ssl_context: ssl.SSLContext | None = identity.client_context() if identity is not None else None
        """For a client: trusts this server's authority and nothing else. None in clear."""

    def __repr__(self) -> str:
        return f"<trio_h2ws.testing.Server {self.url}{' in memory' if self._memory else ''}>"

    def _address(self, scheme: str) -> str:
        port = "" if self._memory else f":{self.port}"
        return f"{scheme}{'s' if self._identity is not None else ''}://localhost{port}"

    @property
    def url(self) -> str:
        """`https://localhost:PORT`, or `http` in clear; without a slash at the end."""
        return self._address("http")

    @property
    def ws_url(self) -> str:
        """`wss://localhost:PORT`, or `ws` in clear."""
        return self._address("ws")

    @property
    def ca(self) -> trustme.CA | None:
        """The authority that signed the server's certificate; None in clear."""
        return self._identity.ca if self._identity is not None else None

    @property
    def ca_pem(self) -> bytes | None:
        """Its certificate in PEM, as `--cafile` wants it; None in clear."""
        return self._identity.ca.cert_pem.bytes() if self._identity is not None else None

    @property
    def websockets(self) -> list[ServerWebSocket]:
        """The WebSockets that are open; each has `send`, `ping` and `close`."""
        streams = [stream for connection in self.connections for stream in connection.streams.values()]
        return [stream.websocket for stream in streams if stream.websocket is not None]

    async def open_stream(self, host: str = "localhost", port: int = 0) -> trio.abc.Stream:
        """A transport to this server, whatever host and port are asked for. TLS is the caller's part."""
        if not self._memory:
            return await trio.open_tcp_stream(self._host, self.port)
        await trio.lowlevel.checkpoint()
        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(self._serve, ours)
        return theirs

    # The verbs of a test.

    async def goaway(self, last_stream_id: int | None = None, error_code: int = 0, debug_data: bytes = b"") -> None:
        """Send GOAWAY. Streams above `last_stream_id` (default: the last one seen) are ignored from now on."""
        for connection in list(self.connections):
            connection.goaway(last_stream_id, error_code, debug_data)
        await trio.lowlevel.checkpoint()

    async def drain(self) -> None:
        """Let each connection go away gracefully: two GOAWAYs, the streams to their end, then the transport's."""
        async with trio.open_nursery() as nursery:
            for connection in self.connections:
                nursery.start_soon(connection.drain)

    def update_settings(self, settings: Mapping[int, int]) -> None:
        """Send a SETTINGS frame; connections still to come begin with these settings, too."""
        self._settings = {**self._settings, **settings}
        for connection in self.connections:
            connection.update_settings(settings)

    def reset_streams(self, error_code: int = 0) -> None:
        """Send RST_STREAM for every stream that lives."""
        for connection in self.connections:
            for stream in list(connection.streams.values()):
                stream.reset(error_code)

    def close_websockets(self, code: int = 1001, reason: str = "") -> None:
        """Begin to close every WebSocket."""
        for websocket in self.websockets:
            websocket.close(code, reason)

    def broadcast(self, message: str | bytes) -> None:
        """Send a message on every open WebSocket."""
        for websocket in self.websockets:
            websocket.send(message)

    def inject(self, data: bytes) -> None:
        """Send these bytes as they are."""
        for connection in self.connections:
            connection.inject(data)

    def freeze(self) -> None:
        """Read and write nothing more, like a host that hangs; `thaw` ends it."""
        for connection in self.connections:
            connection.freeze()

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        for connection in self.connections:
            connection.thaw()

    def abort(self) -> None:
        """End every transport without a word."""
        for connection in list(self.connections):
            connection.abort()

    # Tasks.

    async def _listen(self, port: int) -> None:
        """Accept on that port, 0 for a free one. `open_server` has done it, unless the server is in memory."""
        listeners = await trio.open_tcp_listeners(port, host=self._host)
        self.port = listeners[0].socket.getsockname()[1]
        self._nursery.start_soon(self._accept, listeners)

    async def _accept(self, listeners: list[trio.SocketListener]) -> None:
        try:
            await trio.serve_listeners(self._serve, listeners, handler_nursery=self._nursery)
        except Exception as error:
            log.exception("the testing server can't accept any more")
            self.stats.errors.append(error)

    async def _serve(self, transport: trio.abc.Stream) -> None:
        self.stats.tcp_connections += 1
        self.stats.connections_open += 1
        try:
            await self._serve_protocol(transport)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
            pass
        except Exception as error:
            log.exception("the testing server has a bug")
            self.stats.errors.append(error)
        finally:
            self.stats.connections_open -= 1
            await trio.aclose_forcefully(transport)

    async def _serve_protocol(self, transport: trio.abc.Stream) -> None:
        first = bytearray()
        chosen: str | None = None
        with trio.fail_after(HANDSHAKE_SECONDS):
            if self._identity is not None:
                tls = trio.SSLStream(
                    transport, self._identity.server_context, server_side=True, https_compatible=True
                )
                await tls.do_handshake()
                self.stats.tls_handshakes += 1
                chosen = tls.selected_alpn_protocol()
                transport = tls
            if chosen != "h2":
                while len(first) < len(PREFACE) and PREFACE.startswith(first):
                    piece = await transport.receive_some(4096)
                    if not piece:
                        return
                    first += piece
        if chosen == "h2" or (chosen is None and first.startswith(PREFACE)):
            await self._serve_h2(transport, first)
        else:
            await _refuse(transport)

    async def _serve_h2(self, transport: trio.abc.Stream, first: bytearray) -> None:
        connection = H2ServerConnection(transport, self._settings, self._window, self.stats, self._options)
        self.connections.append(connection)
        try:
            await connection.serve(first)
        finally:
            self.connections.remove(connection)


async def _refuse(transport: trio.abc.Stream) -> None:
    await transport.send_all(
        b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
    await transport.aclose()
