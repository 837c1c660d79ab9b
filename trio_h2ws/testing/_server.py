"""The server: its listener or memory streams, and a test's verbs for all its connections.

Every transport, wherever it came from, goes through `_serve`: TLS if asked for, then the protocol that ALPN names.
Where there was no ALPN the first bytes tell: HTTP/2 begins with its preface (RFC 9113, section 3.4). With TLS only
what is in `alpn` is offered, and a client that comes without ALPN and speaks something else gets a 505.

No task raises: what a client breaks ends its own connection, and a bug of the server is kept in `stats.errors`.
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

    What is said to the server is said to each connection that lives now. `connections` has those of HTTP/2 one by
    one, `http1_connections` those of HTTP/1.1.
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
        """The HTTP/2 connections that live, oldest first."""
        self.http1_connections: list[H1ServerConnection] = []
        """The HTTP/1.1 connections that live, oldest first."""
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
        return [websocket for connection in self._all for websocket in connection.websockets.values()]

    @property
    def _all(self) -> Sequence[ServerConnection]:
        return [*self.connections, *self.http1_connections]

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
        """Send GOAWAY. Streams above `last_stream_id` (default: the last one seen) are ignored from now on.
        An HTTP/1.1 connection closes after its current exchange."""
        for connection in self._all:
            connection.goaway(last_stream_id, error_code, debug_data)
        await trio.lowlevel.checkpoint()

    async def drain(self) -> None:
        """Let each connection go away gracefully: two GOAWAYs, the streams to their end, then the transport's.
        An HTTP/1.1 connection closes after its current exchange, without a word before."""
        async with trio.open_nursery() as nursery:
            for connection in self._all:
                nursery.start_soon(connection.drain)

    def update_settings(self, settings: Mapping[int, int]) -> None:
        """Send a SETTINGS frame; HTTP/2 connections still to come begin with these settings, too."""
        self._settings = {**self._settings, **settings}
        for connection in self._all:
            connection.update_settings(settings)

    def reset_streams(self, error_code: int = 0) -> None:
        """Send RST_STREAM for every stream that lives. An HTTP/1.1 connection with an exchange is cut."""
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
        """Send these bytes as they are."""
        for connection in self._all:
            connection.inject(data)

    def freeze(self) -> None:
        """Read and write nothing more, like a host that hangs; `thaw` ends it."""
        for connection in self._all:
            connection.freeze()

    def thaw(self) -> None:
        """Go on where `freeze` stopped."""
        for connection in self._all:
            connection.thaw()

    def abort(self) -> None:
        """End every transport without a word."""
        for connection in self._all:
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
