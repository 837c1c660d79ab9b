"""The server: its listener or memory streams, and the methods that act on all its connections.

Every transport is handled by `_serve`: TLS if it is on, then the protocol that ALPN has chosen. Without ALPN the
first bytes decide: HTTP/2 begins with its preface (RFC 9113, section 3.4). With TLS only the protocols in `alpn` are
served; a client that does not use ALPN and begins with another protocol gets a 505.

No task raises: a client's error ends only its own connection, and a bug in the server is recorded in `stats.errors`.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

import trio
from trio.testing import memory_stream_pair

from ._certificates import Identity
from ._connection import DISCARD_SECONDS, ServerConnection, close_gracefully
from ._exchange import Options
from ._http1.connection import H1ServerConnection
from ._http2.connection import H2ServerConnection
from ._stats import Stats
from ._websocket import ServerWebSocket

if TYPE_CHECKING:
    import trustme

log = logging.getLogger("trio_h2ws.testing")

AnyConnection = TypeVar("AnyConnection", bound=ServerConnection)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HANDSHAKE_SECONDS = 30.0


class Server:
    """A running server, as `open_server` yields it.

    Its methods act on every connection that is open now. Single connections are in `connections` (HTTP/2) and
    `http1_connections` (HTTP/1.1).
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
        """The open HTTP/2 connections, oldest first."""
        self.http1_connections: list[H1ServerConnection] = []
        """The open HTTP/1.1 connections, oldest first."""
        self.ssl_context: ssl.SSLContext | None = identity.client_context() if identity is not None else None
        """A context for clients, which trusts only this server's certificate authority. None without TLS."""

    def __repr__(self) -> str:
        return f"<trio_h2ws.testing.Server {self.url}{' in memory' if self._memory else ''}>"

    def _address(self, scheme: str) -> str:
        port = "" if self._memory else f":{self.port}"
        return f"{scheme}{'s' if self._identity is not None else ''}://localhost{port}"

    @property
    def url(self) -> str:
        """`https://localhost:PORT`, or `http` without TLS; no slash at the end."""
        return self._address("http")

    @property
    def ws_url(self) -> str:
        """`wss://localhost:PORT`, or `ws` without TLS."""
        return self._address("ws")

    @property
    def ca(self) -> trustme.CA | None:
        """The certificate authority that signed the server's certificate; None without TLS."""
        return self._identity.ca if self._identity is not None else None

    @property
    def ca_pem(self) -> bytes | None:
        """The authority's certificate in PEM, for `--cafile`; None without TLS."""
        return self._identity.ca.cert_pem.bytes() if self._identity is not None else None

    @property
    def websockets(self) -> list[ServerWebSocket]:
        """The open WebSockets; each has `send`, `ping` and `close`."""
        return [websocket for connection in self._all for websocket in connection.websockets.values()]

    @property
    def _all(self) -> Sequence[ServerConnection]:
        return [*self.connections, *self.http1_connections]

    async def open_stream(self, host: str = "localhost", port: int = 0) -> trio.abc.Stream:
        """Open a transport to this server, whatever `host` and `port` are. The caller adds TLS."""
        if not self._memory:
            return await trio.open_tcp_stream(self._host, self.port)
        await trio.lowlevel.checkpoint()
        ours, theirs = memory_stream_pair()
        self._nursery.start_soon(self._serve, ours)
        return theirs

    # What a test calls.

    async def goaway(self, last_stream_id: int | None = None, error_code: int = 0, debug_data: bytes = b"") -> None:
        """Send GOAWAY. From now on, streams above `last_stream_id` (default: the last one seen) are ignored.
        An HTTP/1.1 connection closes after its current exchange."""
        for connection in self._all:
            connection.goaway(last_stream_id, error_code, debug_data)
        await trio.lowlevel.checkpoint()

    async def drain(self) -> None:
        """Shut down each connection gracefully, and wait until that is done: two GOAWAYs, then the streams finish,
        then the transport closes. An HTTP/1.1 connection closes after its current exchange, without prior notice."""
        async with trio.open_nursery() as nursery:
            for connection in self._all:
                nursery.start_soon(connection.drain)

    def update_settings(self, settings: Mapping[int, int]) -> None:
        """Send a SETTINGS frame. Later HTTP/2 connections begin with these settings as well."""
        self._settings = {**self._settings, **settings}
        for connection in self._all:
            connection.update_settings(settings)

    def reset_streams(self, error_code: int = 0) -> None:
        """Send RST_STREAM for every open stream. An HTTP/1.1 connection with an exchange under way is closed."""
        for connection in self._all:
            for exchange in connection.exchanges:
                exchange.reset(error_code)

    def close_websockets(self, code: int = 1001, reason: str = "") -> None:
        """Begin to close every WebSocket."""
        for websocket in self.websockets:
            websocket.close(code, reason)

    def broadcast(self, message: str | bytes) -> None:
        """Send a message on every open WebSocket."""
        for websocket in self.websockets:
            websocket.send(message)

    def inject(self, data: bytes) -> None:
        """Send these bytes unchanged."""
        for connection in self._all:
            connection.inject(data)

    def freeze(self) -> None:
        """Stop reading and writing, like a host that hangs, until `thaw`."""
        for connection in self._all:
            connection.freeze()

    def thaw(self) -> None:
        """Resume after `freeze`."""
        for connection in self._all:
            connection.thaw()

    def abort(self) -> None:
        """Close every transport abruptly."""
        for connection in self._all:
            connection.abort()

    # Tasks.

    async def _listen(self, port: int) -> None:
        """Listen on this port, or on a free one if it is 0. `open_server` calls this unless the server is in
        memory."""
        listeners = await trio.open_tcp_listeners(port, host=self._host)
        self.port = listeners[0].socket.getsockname()[1]
        self._nursery.start_soon(self._accept, listeners)

    async def _accept(self, listeners: list[trio.SocketListener]) -> None:
        try:
            await trio.serve_listeners(self._serve, listeners, handler_nursery=self._nursery)
        except Exception as error:
            log.exception("the testing server has stopped accepting connections")
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
        offered: Sequence[str] = ()
        with trio.fail_after(HANDSHAKE_SECONDS):
            if self._identity is not None:
                tls = trio.SSLStream(
                    transport, self._identity.server_context, server_side=True, https_compatible=True
                )
                await tls.do_handshake()
                self.stats.tls_handshakes += 1
                chosen, offered = tls.selected_alpn_protocol(), self._identity.alpn
                transport = tls
            if chosen is None:
                while len(first) < len(PREFACE) and PREFACE.startswith(first):
                    piece = await transport.receive_some(4096)
                    if not piece:
                        return
                    first += piece
                chosen = "h2" if first.startswith(PREFACE) else "http/1.1"
        if offered and chosen not in offered:
            await _refuse(transport)
        elif chosen == "h2":
            h2 = H2ServerConnection(transport, self._settings, self._window, self.stats, self._options)
            await _serve_connection(h2, self.connections, first)
        else:
            h1 = H1ServerConnection(transport, self.stats, self._options)
            await _serve_connection(h1, self.http1_connections, first)


async def _serve_connection(connection: AnyConnection, connections: list[AnyConnection], first: bytearray) -> None:
    connections.append(connection)
    try:
        await connection.serve(first)
    finally:
        connections.remove(connection)


async def _refuse(transport: trio.abc.Stream) -> None:
    await transport.send_all(
        b"HTTP/1.1 505 HTTP Version Not Supported\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    )
    with trio.move_on_after(DISCARD_SECONDS):
        await close_gracefully(transport)
