"""One dial: from an origin to a connection that is ready. Over HTTP/2 that is when the first SETTINGS are here.

Only then is it known how many streams may be opened, and whether the server accepts WebSockets on them. Calls that
need not wait for the SETTINGS get the connection a little earlier, when only those are missing
(`_connection/first_flight.py`). For all others what fails until the end of the dial is a ConnectFailed.

ALPN (RFC 7301) chooses the protocol. For an `http://` origin there is no ALPN: it gets HTTP/1.1, or HTTP/2 with prior
knowledge when the caller requires HTTP/2 (RFC 9113, section 3.3).
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

import trio

from .._config import Limits, Timeouts
from .._connection.connection import Connection
from .._errors import ConnectFailed, ConnectionTimedOut
from .._http.host import normalize_host
from .._http.url import Origin
from .._network.connect import DialProgress, TooManyFiles, close, connect_tcp, connect_unix, connecting, start_tls
from .._network.proxies import Proxy, ProxyChoice
from .._network.tls import default_context
from .._network.tls_sessions import TLSSessions
from .._network.transport import SocketTransport, Transport, transport_for
from .._network.tunnel import Tunnel
from .._protocols.engine import Engine, Observer
from .._protocols.h1.engine import H1Engine
from .._protocols.h1.request_head import Forward
from .._protocols.h2.engine import H2Engine

OpenStream: TypeAlias = Callable[[str, int], Awaitable[trio.abc.Stream]]
IsWanted: TypeAlias = Callable[[], bool]


class ProtocolChoice(Enum):
    """Which HTTP a dial should end in."""

    BEST = "best"  # HTTP/2 where the server has it, else HTTP/1.1
    HTTP1 = "http1"
    HTTP2 = "http2"  # in clear, with prior knowledge


@dataclass(frozen=True, slots=True)
class DialConfig:
    """What every dial of a client needs."""

    ssl_context: ssl.SSLContext | None
    server_hostname: str | None
    open_stream: OpenStream | None
    uds: str | bytes | os.PathLike[str] | None
    proxies: ProxyChoice
    limits: Limits
    timeouts: Timeouts

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError for a value that no dial could use."""
        if self.ssl_context is not None and self.ssl_context.protocol is ssl.PROTOCOL_TLS_SERVER:
            raise ValueError("ssl_context is for servers (PROTOCOL_TLS_SERVER): use ssl.create_default_context()")
        if self.open_stream is not None and not callable(self.open_stream):
            raise TypeError(f"open_stream must be an async function, not {type(self.open_stream).__name__}")
        if self.uds is not None:
            if not isinstance(self.uds, (str, bytes, os.PathLike)):
                raise TypeError(f"uds must be the path of a Unix socket, not {type(self.uds).__name__}")
            if not os.fspath(self.uds):
                raise ValueError("uds must be the path of a Unix socket, not an empty string")
        if self.server_hostname is not None:
            if not isinstance(self.server_hostname, str):
                raise TypeError(f"server_hostname must be str, not {type(self.server_hostname).__name__}")
            try:
                name = normalize_host(self.server_hostname)
            except ValueError as error:
                raise ValueError(f"server_hostname: {error}") from None
            object.__setattr__(self, "server_hostname", name)  # in the form that is sent and compared


class Dialer:
    """Opens connections for the pool. The default SSL context is made once, when it is first needed."""

    def __init__(
        self,
        config: DialConfig,
        nursery: trio.Nursery,
        changed: Callable[[Connection], None],
        wait_for_file: Callable[[IsWanted], Awaitable[bool]],
    ) -> None:
        self._config = config
        self._nursery = nursery
        self._changed = changed
        self._wait_for_file = wait_for_file
        self._context = config.ssl_context
        self._one_at_a_time = trio.Lock()
        self.sessions = TLSSessions()

    async def dial(
        self,
        origin: Origin,
        protocol: ProtocolChoice,
        is_wanted: IsWanted = lambda: True,
        *,
        tunnel_only: bool = False,
        on_started: Callable[[Connection], None] | None = None,
    ) -> Connection:
        """A ready connection. `tunnel_only`: a proxy must not forward requests, but tunnel, as a WebSocket needs it.
        `on_started(connection)` is called when only the server's SETTINGS are missing.

        While the operating system allows no further file it waits, as long as `is_wanted()`. Raises ConnectFailed.
        Cancelled, it leaves nothing open.
        """
        seconds = self._config.timeouts.connect
        progress = DialProgress(self._one_at_a_time, self.sessions)
        no_file: TooManyFiles | None = None
        try:
            with trio.fail_after(seconds if seconds is not None else float("inf")):
                while True:
                    try:
                        return await self._dial(origin, protocol, tunnel_only, progress, on_started)
                    except TooManyFiles as error:
                        no_file = error
                        if not await self._wait_for_file(is_wanted):
                            raise
                        no_file = None
        except trio.TooSlowError:
            if no_file is not None:
                waited = f"{no_file}; no other connection of the client ended within {seconds} s (Timeouts.connect)"
                raise TooManyFiles(waited) from no_file.__cause__
            message = (
                f"{origin}: no connection within {seconds} s (Timeouts.connect); it waited for {progress.waiting_for}"
            )
            raise ConnectFailed(message) from None

    async def _dial(
        self,
        origin: Origin,
        protocol: ProtocolChoice,
        tunnel_only: bool,
        progress: DialProgress,
        on_started: Callable[[Connection], None] | None,
    ) -> Connection:
        config = self._config
        proxy = self._proxy_for(origin)
        name = str(origin) if proxy is None else f"{origin} through proxy {proxy}"
        if proxy is None:
            transport, forward = await self._open(origin, progress), None
        else:
            transport, forward = await self._open_through(proxy, origin, protocol, tunnel_only, progress)
        peer = transport.peer if isinstance(transport, SocketTransport) and proxy is None else None
        http2 = protocol is ProtocolChoice.HTTP2
        certificate = None
        if origin.scheme == "https":
            alpn = ["http/1.1"] if protocol is ProtocolChoice.HTTP1 else ["h2", "http/1.1"]
            host = config.server_hostname or origin.host
            try:
                way = "" if proxy is None else str(proxy)
                tls = await start_tls(
                    name, transport, self._default_context(), host, alpn, progress, f"{origin} {way}"
                )
            except BaseException:
                await close(transport)
                raise
            http2 = tls.alpn == "h2"
            certificate = tls.certificate if http2 else None  # only HTTP/2 is coalesced
            transport = tls
            if http2 and tls.too_old_for_http2:
                # Only a context of the user's allows TLS this old. HTTP/1.1 may use it, but must be negotiated anew.
                await close(transport)
                return await self._dial(origin, ProtocolChoice.HTTP1, tunnel_only, progress, None)

        def make_engine(observer: Observer) -> Engine:
            if http2:
                return H2Engine(observer, config.limits, trio.current_time)
            return H1Engine(observer, config.limits, forward, in_clear=origin.scheme == "http")

        connection = Connection(transport, make_engine, str(origin), config.limits, config.timeouts, self._changed)
        connection.name, connection.peer, connection.certificate = name, peer, certificate
        try:
            connection.start(self._nursery)
        except RuntimeError:  # the nursery has ended: this dial runs in a task outside the client's block
            await close(transport)
            raise trio.ClosedResourceError("the client is closed") from None
        progress.waiting_for = f"the first SETTINGS of {name}"
        try:
            # Some servers send their SETTINGS with the end of the handshake: the reader may have them already.
            await trio.lowlevel.checkpoint()
            if on_started is not None and not connection.engine.settings_received:
                on_started(connection)
            await connection.wait_ready()
        except BaseException:
            late = f"no SETTINGS came within {config.timeouts.connect} s (Timeouts.connect)"
            connection.abort(ConnectionTimedOut(late))
            raise
        return connection

    def _proxy_for(self, origin: Origin) -> Proxy | None:
        if self._config.open_stream is not None or self._config.uds is not None:
            return None
        try:
            return self._config.proxies.for_origin(origin)
        except ValueError as error:
            raise ConnectFailed(f"{origin}: in the environment, {error}") from error

    async def _open_through(
        self, proxy: Proxy, origin: Origin, protocol: ProtocolChoice, tunnel_only: bool, progress: DialProgress
    ) -> tuple[Transport, Forward | None]:
        """A tunnel to the origin; for plain HTTP/1.1 requests a connection to the proxy, which forwards them."""
        tunnel = Tunnel(proxy, self._default_context, self._config.limits.max_informational, progress)
        may_forward = origin.scheme == "http" and protocol is ProtocolChoice.HTTP1 and not tunnel_only
        if may_forward and not proxy.is_socks:
            transport = await tunnel.connect_to_proxy()
            return transport, Forward(f"{origin.scheme}://{origin.authority}".encode(), proxy.authorization)
        # A server of HTTP/2 in clear sends its SETTINGS without waiting for us.
        speaks_first = protocol is ProtocolChoice.HTTP2
        return await tunnel.connect_to_origin(origin, origin_may_speak_first=speaks_first), None

    async def _open(self, origin: Origin, progress: DialProgress) -> Transport:
        config = self._config
        if config.uds is not None:
            progress.waiting_for = f"the Unix socket {config.uds!r}"
            with connecting(f"{origin} at {progress.waiting_for}"):
                return SocketTransport(await connect_unix(config.uds, progress))
        if config.open_stream is not None:
            progress.waiting_for = "open_stream"
            with connecting(str(origin)):
                try:
                    return transport_for(await config.open_stream(origin.host, origin.port))
                except (OSError, trio.BrokenResourceError):
                    raise
                except Exception as error:
                    raise ConnectFailed(f"{origin}: open_stream failed: {error!r}") from error
        return await connect_tcp(str(origin), origin.host, origin.port, progress)

    def _default_context(self) -> ssl.SSLContext:
        if self._context is None:
            with connecting("the certificates that the system trusts"):
                self._context = default_context()
        return self._context
