"""Proxies: which one an origin goes through, and the way through it.

A tunnel (HTTP CONNECT, RFC 9110 section 9.3.6, or SOCKS5, RFC 1928) gives a transport to the origin itself: TLS and
HTTP/2 go on top, and one connection through a proxy multiplexes as always. Only plain `http://` requests over
HTTP/1.1 go without a tunnel, in absolute form (RFC 9112, section 3.2.2): many proxies allow CONNECT to few ports.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import h11
import trio

from ._errors import ConnectFailed
from ._headers import RawFields
from ._tls import TLSTransport
from ._transport import Transport, transport_for
from ._url import Origin, basic_authorization

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_MAX_ANSWER = 64 * 1024
_HOST = re.compile(r"[^\s/\\@<>\"]+")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")


class Proxy(NamedTuple):
    """A checked proxy URL."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"  # never the password

    @property
    def authorization(self) -> RawFields:
        if self.user is None:
            return []
        return [(b"proxy-authorization", basic_authorization(self.user.encode(), self.password.encode()))]


def parse_proxy(url: str) -> Proxy:
    """Raises ValueError for what is no proxy, before anything is dialled. No error tells the password."""
    if not isinstance(url, str):
        raise TypeError(f"proxy must be a URL in a str, not {type(url).__name__}")
    scheme, colon, rest = url.rpartition("://")
    scheme, rest = (scheme.lower(), rest) if colon else ("http", url)
    shown = f"{scheme}://{rest.rpartition('@')[2]}"
    try:
        parts = urlsplit(f"{scheme}://{rest}")
        port = parts.port
    except ValueError as error:
        raise ValueError(f"proxy {shown!r}: {error}") from None
    if scheme not in _PORTS:
        raise ValueError(f"proxy {shown!r}: use http://, https://, socks5:// or socks5h://")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"proxy {shown!r}: give scheme://host:port, and nothing after it")
    if not _HOST.fullmatch(parts.hostname) or _CONTROL.search(url) or port == 0:
        raise ValueError(f"proxy {shown!r}: that is no host and port to connect to")
    user = unquote(parts.username) if parts.username is not None else None
    return Proxy(scheme, parts.hostname, port or _PORTS[scheme], user, unquote(parts.password or ""))


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """Which proxy an origin goes through: the given one, or that of the environment (if trusted), or none."""

    proxy: Proxy | None
    trust_env: bool

    def for_origin(self, origin: Origin) -> Proxy | None:
        if self.proxy is not None or not self.trust_env:
            return self.proxy
        if not any(name.lower().endswith("_proxy") for name in os.environ):
            return None
        from urllib import request  # it takes as long to import as all of this library: only where it is needed

        proxies = request.getproxies_environment()
        url = proxies.get(origin.scheme) or proxies.get("all")
        bypassed = request.proxy_bypass_environment  # type: ignore[attr-defined]
        if not url or bypassed(f"{origin.host}:{origin.port}", proxies):
            return None
        return parse_proxy(url)


async def connect_proxy(proxy: Proxy, context: Callable[[], ssl.SSLContext]) -> Transport:
    """A transport to an HTTP proxy itself, inside TLS if it is an https:// one."""
    try:
        transport: Transport = transport_for(await trio.open_tcp_stream(proxy.host, proxy.port))
    except OSError as error:
        raise ConnectFailed(f"proxy {proxy}: could not connect: {error}") from error
    if proxy.scheme == "http":
        return transport
    try:
        tls = TLSTransport(transport, context(), proxy.host, ["http/1.1"])
        await tls.handshake()
    except BaseException as error:
        await _close(transport)
        if isinstance(error, OSError):
            raise ConnectFailed(f"proxy {proxy}: TLS handshake failed: {error}") from error
        raise
    return tls


async def open_tunnel(proxy: Proxy, origin: Origin, context: Callable[[], ssl.SSLContext]) -> Transport:
    """A transport to the origin through the proxy. Raises ConnectFailed."""
    if proxy.scheme.startswith("socks"):
        return await _open_socks(proxy, origin)
    transport = await connect_proxy(proxy, context)
    try:
        await _ask(transport, proxy, origin)
    except BaseException:
        await _close(transport)
        raise
    return transport


async def _ask(transport: Transport, proxy: Proxy, origin: Origin) -> None:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    target = f"{host}:{origin.port}".encode()
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_ANSWER)
    request = h11.Request(method=b"CONNECT", target=target, headers=[(b"Host", target), *proxy.authorization])
    transport.write((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
    try:
        while True:
            if transport.blocked:
                await transport.drain()
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await transport.receive())
            elif isinstance(event, h11.Response):
                break
            elif not isinstance(event, h11.InformationalResponse):
                raise ConnectFailed(f"proxy {proxy} closed the connection without an answer")
    except (OSError, trio.BrokenResourceError, h11.RemoteProtocolError) as error:
        raise ConnectFailed(f"proxy {proxy} broke the connection: {error}") from error
    if not 200 <= event.status_code < 300:
        hint = "; it wants other credentials in the proxy URL" if event.status_code == 407 else ""
        raise ConnectFailed(f"proxy {proxy} refused a tunnel to {origin} with status {event.status_code}{hint}")
    if connection.trailing_data[0]:
        raise ConnectFailed(f"proxy {proxy} sent bytes before the origin could")


async def _open_socks(proxy: Proxy, origin: Origin) -> Transport:
    try:
        from python_socks import ProxyError, ProxyTimeoutError, ProxyType
        from python_socks.async_.trio import Proxy as SocksProxy
    except ImportError as error:
        raise ConnectFailed("SOCKS needs python-socks: pip install 'trio_h2ws[socks]'") from error
    # socks5h leaves the name to the proxy, and so does socks5 here: names that only the proxy knows then work.
    socks = SocksProxy(ProxyType.SOCKS5, proxy.host, proxy.port, proxy.user, proxy.password or None, rdns=True)
    try:
        sock = await socks.connect(origin.host, origin.port)
    except (ProxyError, ProxyTimeoutError, OSError) as error:
        raise ConnectFailed(f"proxy {proxy} gave no way to {origin}: {error}") from error
    return transport_for(trio.SocketStream(sock))


async def _close(transport: Transport) -> None:
    with trio.CancelScope(shield=True):
        await transport.aclose()
