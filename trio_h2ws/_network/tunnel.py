"""Connecting through a proxy.

A tunnel (HTTP CONNECT, RFC 9110 section 9.3.6, or SOCKS5, RFC 1928) gives a transport to the origin itself. TLS and
HTTP/2 run over it, and one connection through a proxy is multiplexed like any other. Only plain `http://` requests
over HTTP/1.1 do without: they use the absolute form (RFC 9112, section 3.2.2), because many proxies allow CONNECT to
few ports only.

Bytes that follow the proxy's response come from the origin. Only a server that speaks HTTP/2 in clear may send first
(RFC 9113, section 3.4). In any other case such bytes come from the proxy, or answer a request that was never sent.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass

import h11
import trio

from .._errors import ConnectFailed
from .._http.host import in_authority
from .._http.response_heads import HeadTooLarge, ResponseHeads
from .._http.url import Origin
from .._version import __version__
from .connect import DialProgress, close, connect_tcp, could_not_connect, start_tls
from .proxies import Proxy
from .transport import BROKEN, EarlyBytes, Transport, transport_for

_MAX_RESPONSE_HEAD = 64 * 1024
# As curl and browsers send them. Some proxies refuse a client without a name, and older ones close the connection
# after their answer unless they are asked to keep it, in this field that no standard has.
_FOR_PROXY = [(b"User-Agent", f"trio_h2ws/{__version__}".encode()), (b"Proxy-Connection", b"keep-alive")]
_WANTS_LOGIN = "it wants credentials: put user:password@ into the proxy URL"
_REFUSED_LOGIN = "check the user and password in the proxy URL"
# What python-socks says, which has one class of error for all.
_SOCKS_WANTS_LOGIN = ("Unexpected SOCKS authentication method", "No acceptable authentication methods")
_SOCKS_REFUSED_LOGIN = "Username and password authentication failure"


@dataclass(frozen=True, slots=True)
class Tunnel:
    """Connects one dial through one proxy."""

    proxy: Proxy
    context: Callable[[], ssl.SSLContext]
    max_informational: int
    progress: DialProgress

    async def connect_to_proxy(self) -> Transport:
        """A transport to the proxy itself, over TLS for an https:// proxy. Raises ConnectFailed."""
        proxy, progress, name = self.proxy, self.progress, f"proxy {self.proxy}"
        transport = await connect_tcp(name, proxy.host, proxy.port, progress)
        if proxy.scheme != "https":
            return transport
        try:
            return await start_tls(name, transport, self.context(), proxy.host, ["http/1.1"], progress, "proxy")
        except BaseException:
            await close(transport)
            raise

    async def connect_to_origin(self, origin: Origin, *, origin_may_speak_first: bool) -> Transport:
        """A transport to the origin, through a tunnel. Raises ConnectFailed."""
        if self.proxy.is_socks:
            return await self._connect_socks5(origin)
        transport = await self.connect_to_proxy()
        try:
            try:
                early = await self._connect_http(transport, origin)
            except BROKEN as error:
                raise ConnectFailed(f"proxy {self.proxy}: the connection broke: {error}") from error
            if early:
                if not origin_may_speak_first:
                    raise ConnectFailed(f"proxy {self.proxy} sent unexpected bytes after its answer to CONNECT")
                transport = EarlyBytes(transport, early)
        except BaseException:
            await close(transport)
            raise
        return transport

    async def _connect_http(self, transport: Transport, origin: Origin) -> bytes:
        """Send CONNECT and read the response. Returns the bytes that followed it."""
        proxy = self.proxy
        self.progress.waiting_for = f"proxy {proxy} to answer CONNECT"
        target = f"{in_authority(origin.host)}:{origin.port}".encode()
        connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_RESPONSE_HEAD)
        headers = [(b"Host", target), *_FOR_PROXY, *proxy.authorization]
        request = h11.Request(method=b"CONNECT", target=target, headers=headers)
        await _send(transport, (connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        informational = 0
        heads = ResponseHeads(_MAX_RESPONSE_HEAD, bodies=False)
        try:
            while not isinstance(event := connection.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    data = heads.feed(await self._receive_some(transport))
                    if data:
                        connection.receive_data(data)
                    elif heads.error is not None:
                        raise ConnectFailed(self._bad_answer(heads.error)) from heads.error
                    continue
                informational += 1  # any other event before the response is a 1xx response
                if informational > self.max_informational:
                    bound = f"Limits.max_informational = {self.max_informational}"
                    raise ConnectFailed(f"proxy {proxy} sent too many 1xx responses to CONNECT ({bound})")
        except h11.RemoteProtocolError as error:
            raise ConnectFailed(self._bad_answer(error)) from error
        if not 200 <= event.status_code < 300:
            hint = _WANTS_LOGIN if proxy.user is None else _REFUSED_LOGIN
            hint = f"; {hint}" if event.status_code in (401, 407) else ""
            raise ConnectFailed(f"proxy {proxy} refused a tunnel to {origin} with status {event.status_code}{hint}")
        return connection.trailing_data[0]

    def _bad_answer(self, error: Exception) -> str:
        reason = f"its head has more than {_MAX_RESPONSE_HEAD} bytes" if isinstance(error, HeadTooLarge) else error
        return f"proxy {self.proxy} did not answer CONNECT in valid HTTP/1.1: {reason}"

    async def _connect_socks5(self, origin: Origin) -> Transport:
        """Connect to the origin by SOCKS5, with python-socks."""
        # Imported here because few programs need it, and it takes long to import.
        from python_socks import ProxyConnectionError, ProxyError, ProxyType
        from python_socks.async_.trio import Proxy as SocksProxy

        proxy = self.proxy
        self.progress.waiting_for = f"proxy {proxy} to connect to {origin}"
        user, password = (None, None) if proxy.user is None else (proxy.user.decode(), proxy.password.decode())
        # The proxy looks up the name, for socks5 as well as for socks5h: names that only the proxy knows then work.
        socks = SocksProxy(ProxyType.SOCKS5, proxy.host, proxy.port, user, password, rdns=True)
        try:
            sock = await socks.connect(origin.host, origin.port, timeout=float("inf"))  # Timeouts.connect covers it
        except ProxyConnectionError as error:
            raise could_not_connect(f"proxy {proxy}", error.__cause__ or error) from error
        except (ProxyError, OSError, ValueError) as error:
            reason = self._login_problem(error) or error
            raise ConnectFailed(f"proxy {proxy} could not connect to {origin}: {reason}") from error
        return transport_for(trio.SocketStream(sock))

    def _login_problem(self, error: Exception) -> str | None:
        """What to do, if SOCKS5 failed because of the login (RFC 1928, section 3; RFC 1929)."""
        said = str(error)
        if said.startswith(_SOCKS_WANTS_LOGIN):
            if self.proxy.user is None:
                return _WANTS_LOGIN
            return f"it accepts no user and password, the only login that is supported ({said})"
        return f"it refused the login: {_REFUSED_LOGIN}" if said == _SOCKS_REFUSED_LOGIN else None

    async def _receive_some(self, transport: Transport) -> bytes:
        data = await transport.receive()
        if not data:
            raise ConnectFailed(f"proxy {self.proxy} closed the connection before it answered CONNECT")
        return data


async def _send(transport: Transport, data: bytes) -> None:
    transport.write(data)
    if transport.blocked:
        await transport.drain()
