"""The front door: `open_client` and the `Client` it gives.

The client owns a nursery for the background: the connections' readers and writers, the dials, the uploads. None of
them raises into it. The user's own exception never goes into it either, so it comes out of the block bare, in no
ExceptionGroup.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import TypeAlias, TypedDict, Unpack

import trio

from ._config import Limits, Timeouts
from ._connection.info import ConnectionInfo
from ._http.headers import HeaderTypes
from ._network.proxies import ProxyChoice, parse_proxy
from ._pool.dial import DialConfig, Dialer, OpenStream
from ._pool.pool import Pool
from ._protocols.ws.deflate import DeflateOptions
from ._protocols.ws.handshake import offer
from ._requests.dispatch import Exchange
from ._requests.prepare import HTTP2, ContentOptions, Defaults, RequestOptions, check_http2, check_seconds
from ._requests.response import Response
from ._util import PrivateConstructor
from ._websockets.group import OpenGroup, ReconnectingWebSocket
from ._websockets.opening import Handshakes, Offer
from ._websockets.websocket import WebSocket

Handler: TypeAlias = Callable[[WebSocket], Awaitable[object]]


class WebSocketOptions(TypedDict, total=False):
    """What every WebSocket may be given; `Client.connect_websocket` documents each."""

    subprotocols: Sequence[str]
    headers: HeaderTypes
    origin: str | None
    compression: DeflateOptions | None
    ping_interval: float | None
    ping_timeout: float | None
    http2: HTTP2 | None
    follow_redirects: bool


class Client(metaclass=PrivateConstructor):
    """Requests and WebSockets, all of one origin on one HTTP/2 connection. Made by `open_client`.

    Share it between tasks. After the end of its block every call raises `trio.ClosedResourceError`.
    """

    def __init__(self, nursery: trio.Nursery, defaults: Defaults, dial: DialConfig, coalesce: bool) -> None:
        self._defaults = defaults
        self._pool = Pool(dial.limits, dial.timeouts, coalesce=coalesce)
        self._pool.start(Dialer(dial, nursery, self._pool.changed), nursery)
        self._exchange = Exchange(self._pool, nursery, dial.limits)
        self._handshakes = Handshakes(self._exchange, dial.timeouts)

    @property
    def connections(self) -> list[ConnectionInfo]:
        """Snapshots of the connections that are open now."""
        return self._pool.snapshots()

    # Requests.

    async def request(
        self,
        method: str,
        url: str,
        *,
        http2: HTTP2 | None = None,
        follow_redirects: bool = True,
        **options: Unpack[ContentOptions],
    ) -> Response:
        """Send a request (RFC 9113, section 8.1) and wait for the whole response.

        - `url`: absolute, or relative to the client's `base_url`.
        - `headers`: a mapping or pairs of names and values; they go over the client's own.
        - `content`: the body: bytes-like, str (sent as UTF-8), an iterable or async iterable of bytes. Default: none.
        - `json`: instead of `content`, any value that JSON knows.
        - `trailers`: fields that follow the body, given like `headers`.
        - `http2`: "auto", "require" or "never", for this call. Default: the client's.
        - `follow_redirects`: true by default (RFC 9110, section 15.4); `response.history` are those that led there.

        Raises `ConnectFailed`, `ConnectionLost`, `RequestNotProcessed`, `StreamReset`, `RemoteProtocolError`,
        `LocalProtocolError` (more headers than the server allows), `LimitExceeded` (the body is larger than
        `Limits.max_body_size`: use `stream`), ValueError or TypeError for a bad call, before anything is dialled,
        and what your own iterable raises. A 4xx or 5xx is a response like any other.

        Cancelled, it resets its stream (RST_STREAM, CANCEL) and leaves the connection whole. Over HTTP/1.1 its
        connection is closed.
        """
        call = self._defaults.request(method, url, **options)
        return await self._exchange.request(call, self._http2(http2), follow_redirects)

    async def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("GET", url, …)`"""
        return await self.request("GET", url, **options)

    async def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("HEAD", url, …)`"""
        return await self.request("HEAD", url, **options)

    async def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("POST", url, …)`"""
        return await self.request("POST", url, **options)

    async def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("PUT", url, …)`"""
        return await self.request("PUT", url, **options)

    async def patch(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("PATCH", url, …)`"""
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("DELETE", url, …)`"""
        return await self.request("DELETE", url, **options)

    async def options(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("OPTIONS", url, …)`"""
        return await self.request("OPTIONS", url, **options)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        http2: HTTP2 | None = None,
        follow_redirects: bool = True,
        **options: Unpack[ContentOptions],
    ) -> AsyncIterator[Response]:
        """Send a request and give the response as soon as its headers are here: `async for chunk in response`.

        The request's body is still being sent meanwhile, so a streaming echo can't stand still. Leaving the block
        before the end, in whatever way, resets the stream (RST_STREAM, CANCEL) and frees its slot.
        Arguments and errors are those of `request`; no bound holds for the body, but for `Response.read`.
        """
        call = self._defaults.request(method, url, **options)
        stream, response = await self._exchange.start(call, self._http2(http2), follow_redirects)
        try:
            yield response
        finally:
            stream.close()

    def _http2(self, http2: HTTP2 | None) -> HTTP2:
        return self._defaults.http2 if http2 is None else check_http2(http2)

    # WebSockets.

    async def connect_websocket(
        self,
        url: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: HeaderTypes = None,
        origin: str | None = None,
        compression: DeflateOptions | None = DeflateOptions(),  # noqa: B008  # it is frozen
        ping_interval: float | None = None,
        ping_timeout: float | None = 20.0,
        http2: HTTP2 | None = None,
        follow_redirects: bool = False,
    ) -> WebSocket:
        """Open a WebSocket: with extended CONNECT (RFC 8441) on the origin's HTTP/2 connection if the server takes it
        there, else by Upgrade (RFC 6455) on an HTTP/1.1 connection of its own.

        - `url`: `wss://` or `ws://` (or `https://`, `http://`), absolute or relative to the client's `base_url`.
        - `subprotocols`: what to offer, in the order of preference; `WebSocket.subprotocol` is the server's choice.
        - `headers`: a mapping or pairs; they go over the client's own.
        - `origin`: the Origin header (RFC 6455, section 10.2); most servers do not need it.
        - `compression`: what permessage-deflate to offer (RFC 7692); None offers none. By default neither side keeps
          its context, so an idle WebSocket costs no memory for it, and messages below 256 bytes go as they are.
        - `ping_interval`, `ping_timeout`: seconds. With an interval, a Ping is sent so often, and this one WebSocket
          ends when one is not answered in time (None: in any time). The connection is watched anyway, see `Timeouts`.
        - `http2`: "auto", "require" or "never", for this call. Default: the client's.
        - `follow_redirects`: whether a redirect is followed (never wss to ws); else it is a `WebSocketRejected`.

        Its connection lives in the client; the WebSocket is an `AsyncResource`, and closing it is up to you.
        Raises `WebSocketRejected` (the server said no), `HTTP2NotAvailable` (with `http2="require"`: the origin takes
        no WebSockets over HTTP/2), `WebSocketError` (no answer within `Timeouts.handshake` seconds),
        `RemoteProtocolError` (an answer that nobody offered), and what `request` raises.

        Cancelled, it resets the stream and leaves the connection whole.
        """
        mode = self._http2(http2)
        check_seconds("ping_interval", ping_interval)
        check_seconds("ping_timeout", ping_timeout)
        offered = offer(subprotocols, origin, compression)
        extended = self._defaults.websocket(url, headers, offered)
        offered_call = Offer(extended, subprotocols, compression)
        ws = await self._handshakes.open_following(offered_call, mode, follow_redirects)
        if ping_interval is not None:
            ws._channel.watch(ping_interval, ping_timeout)
        return ws

    @asynccontextmanager
    async def websocket(self, url: str, **options: Unpack[WebSocketOptions]) -> AsyncIterator[WebSocket]:
        """`connect_websocket`, closed at the end of the block.

        A block that ends well closes with 1000 and waits for the peer's Close, at most `Timeouts.close` seconds. One
        that raises sends 1011 and does not wait. A cancelled one resets the stream at once (RST_STREAM, CANCEL).
        """
        ws = await self.connect_websocket(url, **options)
        try:
            yield ws
        except BaseException as error:
            ws._leave(error)
            raise
        await ws.aclose()

    async def run_websocket(
        self,
        url: str,
        handler: Handler,
        *,
        task_status: trio.TaskStatus[WebSocket] = trio.TASK_STATUS_IGNORED,
        **options: Unpack[WebSocketOptions],
    ) -> None:
        """Open a WebSocket, run `await handler(ws)`, close it. For `await nursery.start(client.run_websocket, …)`,
        which gives the WebSocket when it is open. Options and errors are those of `connect_websocket`."""
        async with self.websocket(url, **options) as ws:
            task_status.started(ws)
            await handler(ws)

    def open_websocket_group(self, urls: Iterable[str], **options: Unpack[WebSocketOptions]) -> OpenGroup:
        """Open many WebSockets at once, and receive from all of them in one loop:

            async with client.open_websocket_group(urls) as group:
                async for ws, message in group:
                    ...

        They are opened side by side; if one can't be, the others are given up and its error is raised. Leaving the
        block closes all of them. Options and errors are those of `connect_websocket`; see `WebSocketGroup`.
        """
        if isinstance(urls, str):
            raise TypeError("give an iterable of URLs, not one string")
        return OpenGroup([partial(self.connect_websocket, url, **options) for url in urls])

    def reconnecting_websocket(
        self,
        url: str,
        *,
        first_backoff: float = 0.25,
        max_backoff: float = 30.0,
        **options: Unpack[WebSocketOptions],
    ) -> ReconnectingWebSocket:
        """A WebSocket that comes back: `async for ws in client.reconnecting_websocket(url)`.

        `first_backoff` and `max_backoff` are seconds. Options are those of `connect_websocket`; see
        `ReconnectingWebSocket` for when it tries again and when it gives up.
        """
        connect = partial(self.connect_websocket, url, **options)
        sockets: ReconnectingWebSocket = ReconnectingWebSocket._create(connect, first_backoff, max_backoff)
        return sockets


class _OpenClient:
    """`async with open_client() as client`"""

    def __init__(self, defaults: Defaults, dial: DialConfig, coalesce: bool) -> None:
        self._coalesce = coalesce
        self._defaults = defaults
        self._dial = dial
        self._manager = trio.open_nursery()
        self._client: Client | None = None

    async def __aenter__(self) -> Client:
        if self._client is not None:
            raise RuntimeError("open_client() gives one client: call it again for another")
        nursery = await self._manager.__aenter__()
        self._client = Client._create(nursery, self._defaults, self._dial, self._coalesce)
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._client is not None
        self._client._pool.close(gracefully=error is None or isinstance(error, Exception))
        # The nursery never sees the user's exception, so it can't wrap it. Its own tasks raise nothing, but for a
        # KeyboardInterrupt that met one of them: that comes out bare, too.
        try:
            await self._manager.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            inner: BaseException = group
            while isinstance(inner, BaseExceptionGroup):
                inner = inner.exceptions[0]
            raise inner from None


def open_client(
    *,
    base_url: str | None = None,
    headers: HeaderTypes = None,
    ssl_context: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    proxy: str | None = None,
    trust_env: bool = True,
    uds: str | bytes | os.PathLike[str] | None = None,
    http2: HTTP2 = "auto",
    coalesce: bool = False,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    open_stream: OpenStream | None = None,
) -> _OpenClient:
    """`async with open_client() as client`: a client that owns its connections until the block ends.

    - `base_url`: what relative URLs are relative to.
    - `headers`: sent with every request and handshake, unless the call gives the same name.
    - `ssl_context`: whom to trust, and client certificates. Yours is used itself, not a copy, and is left untouched,
      but for an ALPN list that you have set in it yourself: that is gone after the first handshake. The default is
      what the system trusts.
    - `server_hostname`: the name in the certificate, if it is not the URL's host.
    - `proxy`: `http://`, `https://` or `socks5://`, with `user:password@` if it wants that. Without it, and with
      `trust_env`, HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment count.
    - `uds`: the path of a Unix socket to connect to, whatever host the URL names.
    - `http2`: "auto" (HTTP/2 where the origin can, else HTTP/1.1), "require" (else `HTTP2NotAvailable`; `http://` is
      then HTTP/2 with prior knowledge, RFC 9113 section 3.3), "never" (HTTP/1.1).
    - `coalesce`: origins that share an address and a certificate share a connection (RFC 9113, section 9.1.1).
    - `limits`, `timeouts`: every bound and deadline.
    - `open_stream`: `await open_stream(host, port)` gives a Trio stream to use instead of TCP; TLS still goes on top.

    Leaving the block says GOAWAY on every connection, sends what is queued for at most `Timeouts.close` seconds, and
    closes everything; when the block was cancelled it does not wait. Your exception comes out bare.
    """
    if sum(way is not None for way in (proxy, uds, open_stream)) > 1:
        raise ValueError("proxy, uds and open_stream each say how to connect: give one of them")
    kinds = {
        "ssl_context": (ssl_context, ssl.SSLContext),
        "limits": (limits, Limits),
        "timeouts": (timeouts, Timeouts),
    }
    for name, (value, kind) in kinds.items():
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name} must be {kind.__name__} or None, not {type(value).__name__}")
    dial = DialConfig(
        ssl_context=ssl_context,
        server_hostname=server_hostname,
        open_stream=open_stream,
        uds=uds,
        proxies=ProxyChoice(parse_proxy(proxy) if proxy is not None else None, trust_env),
        limits=limits or Limits(),
        timeouts=timeouts or Timeouts(),
    )
    return _OpenClient(Defaults(base_url, headers, http2), dial, coalesce)
