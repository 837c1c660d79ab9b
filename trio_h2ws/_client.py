"""The front door: `open_client` and the `Client` it gives.

A call walks like this: URL and headers are checked, the pool gives a connection with a slot, the request leaves on a
stream of it, and the task waits for what comes back. If the server says that it did nothing with the request
(REFUSED_STREAM, GOAWAY), the same call walks again, a bounded number of times, and the user sees nothing of it.

The client owns a nursery for the background: the connections' readers and writers, the dials, the uploads. None of
them raises into it. The user's own exception never goes into it either, so it comes out of the block bare, in no
ExceptionGroup.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Literal, TypeAlias, TypeVar

import trio

from ._body import Content, RequestBody
from ._config import Limits, Timeouts
from ._content import ACCEPT
from ._dial import DialConfig, Dialer, OpenStream
from ._errors import (
    HTTP2NotAvailable,
    RequestNotProcessed,
    StreamReset,
    WebSocketError,
    WebSocketRejected,
)
from ._h2.connection import Connection
from ._h2.fields import Block, request_block
from ._h2.stream import Stream
from ._headers import HeaderTypes, RawFields, prepare
from ._info import ConnectionInfo
from ._pool import Pool
from ._response import Collector, Response
from ._url import URL, parse_url
from ._util import PrivateConstructor
from ._version import __version__
from ._websocket import WebSocket
from ._ws.deflate import DeflateOptions
from ._ws.handshake import check_answer, offer
from ._ws.session import Session

HTTP2: TypeAlias = Literal["auto", "require", "never"]
T = TypeVar("T")
Handler: TypeAlias = Callable[[WebSocket], Awaitable[object]]

_DEFAULTS: RawFields = [
    (b"user-agent", f"trio_h2ws/{__version__}".encode()),
    (b"accept", b"*/*"),
    (b"accept-encoding", ACCEPT),
]


class _Call:
    """One request, checked and ready to be sent as often as it needs."""

    __slots__ = ("block", "body", "is_head", "method", "trailers", "url")

    def __init__(self, method: str, url: URL, block: Block, body: RequestBody, trailers: RawFields | None) -> None:
        self.method = method
        self.url = url
        self.block = block
        self.body = body
        self.trailers = trailers
        self.is_head = method == "HEAD"


class Client(metaclass=PrivateConstructor):
    """Requests and WebSockets, all of one origin on one HTTP/2 connection. Made by `open_client`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        base_url: str | None,
        headers: HeaderTypes,
        http2: HTTP2,
        dial: DialConfig,
    ) -> None:
        self._nursery = nursery
        self._base_url = base_url
        own = prepare(headers)
        names = {name for name, _ in own}
        self._headers = [field for field in _DEFAULTS if field[0] not in names] + own
        self._http2: HTTP2 = http2
        self._limits = dial.limits
        self._timeouts = dial.timeouts
        self._pool = Pool()
        self._pool.start(Dialer(dial, nursery, self._pool.changed), nursery)

    @property
    def connections(self) -> list[ConnectionInfo]:
        """Snapshots of the connections that are open now."""
        return [connection.info() for connection in self._pool.connections]

    # Requests.

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: HeaderTypes = None,
        content: Content = None,
        json: Any = None,
        trailers: HeaderTypes = None,
        http2: HTTP2 | None = None,
    ) -> Response:
        """Send a request (RFC 9113, section 8.1) and wait for the whole response.

        `content` is bytes, str, or an iterable or async iterable of bytes; `json` any value that JSON knows.
        Raises `ConnectFailed`, `ConnectionLost`, `RequestNotProcessed`, `StreamReset`, `RemoteProtocolError`,
        `LimitExceeded` (the body is larger than `Limits.max_body_size`: use `stream`), and ValueError or TypeError
        for a bad call, before anything is dialled. A 4xx or 5xx is a response like any other.

        Cancelled, it resets its stream (RST_STREAM, CANCEL) and leaves the connection whole.
        """
        call = self._call(method, url, headers, content, json, trailers, http2)
        limit = self._limits.max_body_size

        async def collect(stream: Stream) -> bytes:
            return await Collector(stream, limit).wait()

        stream, raw = await self._send(call, collect)
        stream.close()  # does nothing if both sides have ended; else the upload is not wanted any more
        response = self._response(stream, call, limit)
        response._set_content(raw)
        return response

    async def get(self, url: str, **options: Any) -> Response:
        """`request("GET", …)`"""
        return await self.request("GET", url, **options)

    async def head(self, url: str, **options: Any) -> Response:
        """`request("HEAD", …)`"""
        return await self.request("HEAD", url, **options)

    async def post(self, url: str, **options: Any) -> Response:
        """`request("POST", …)`"""
        return await self.request("POST", url, **options)

    async def put(self, url: str, **options: Any) -> Response:
        """`request("PUT", …)`"""
        return await self.request("PUT", url, **options)

    async def patch(self, url: str, **options: Any) -> Response:
        """`request("PATCH", …)`"""
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str, **options: Any) -> Response:
        """`request("DELETE", …)`"""
        return await self.request("DELETE", url, **options)

    async def options(self, url: str, **options: Any) -> Response:
        """`request("OPTIONS", …)`"""
        return await self.request("OPTIONS", url, **options)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: HeaderTypes = None,
        content: Content = None,
        json: Any = None,
        trailers: HeaderTypes = None,
        http2: HTTP2 | None = None,
    ) -> AsyncIterator[Response]:
        """Send a request and give the response as soon as its headers are here; iterate over it for the body.

        The request's body is still being sent meanwhile, so a streaming echo can't stand still. Leaving the block
        before the end, in whatever way, resets the stream (RST_STREAM, CANCEL) and frees its slot.
        Arguments and errors are those of `request`.
        """
        call = self._call(method, url, headers, content, json, trailers, http2)
        stream, _ = await self._send(call, Stream.wait_response)
        try:
            yield self._response(stream, call, self._limits.max_body_size)
        finally:
            stream.close()

    def _call(
        self,
        method: str,
        url: str,
        headers: HeaderTypes,
        content: Content,
        json: Any,
        trailers: HeaderTypes,
        http2: HTTP2 | None,
    ) -> _Call:
        parsed = parse_url(url, self._base_url)
        if not isinstance(method, str):
            raise TypeError(f"a method must be str, not {type(method).__name__}")
        if not method.isascii() or not method.replace("-", "").replace("_", "").isalnum():
            raise ValueError(f"{method!r} is not a method (RFC 9110, section 9.1)")
        self._check_http2(parsed, http2)
        method = method.upper()
        body = RequestBody(content, json)
        block = self._block(method.encode(), parsed, headers, body.fields)
        if body.whole == b"" and method in ("POST", "PUT", "PATCH"):
            block.append((b"content-length", b"0"))
        end = prepare(trailers) if trailers is not None else None
        return _Call(method, parsed, block, body, end)

    def _block(
        self, method: bytes, url: URL, headers: HeaderTypes, implied: RawFields, protocol: bytes | None = None
    ) -> Block:
        fields = self._headers
        authority = url.authority
        if headers is not None or implied or url.authorization is not None:
            own = prepare(headers)
            names = {name for name, _ in own}
            if url.authorization is not None and b"authorization" not in names:
                own.append((b"authorization", url.authorization))
            own += [field for field in implied if field[0] not in names]
            names = {name for name, _ in own}
            fields = [field for field in fields if field[0] not in names] + own
            for name, value in fields:
                if name == b"host":  # RFC 9113, section 8.3.1: :authority says it
                    authority = value
            fields = [field for field in fields if field[0] != b"host"]
        return request_block(method, url.origin.scheme.encode(), authority, url.target, fields, protocol)

    def _check_http2(self, url: URL, http2: HTTP2 | None) -> None:
        mode = http2 if http2 is not None else self._http2
        if mode not in ("auto", "require", "never"):
            raise ValueError(f'http2 must be "auto", "require" or "never", not {mode!r}')
        if mode == "never" or (mode == "auto" and url.origin.scheme == "http"):
            raise HTTP2NotAvailable(
                "alpn", f'{url.origin} would need HTTP/1.1, which is not built yet; http2="require" uses h2c'
            )

    async def _send(self, call: _Call, receive: Callable[[Stream], Awaitable[T]]) -> tuple[Stream, T]:
        """Send it, and again if the server did not look at it."""
        tries = 0
        while True:
            connection = await self._pool.acquire(call.url.origin)
            stream: Stream | None = None
            try:
                stream = self._begin(connection, call)
                return stream, await receive(stream)
            except RequestNotProcessed:
                tries += 1
                if not call.body.replayable or tries > self._limits.max_retries:
                    raise
            except BaseException:
                if stream is not None:
                    stream.close()
                raise
            if tries > 1:
                await trio.sleep(min(0.05 * 2**tries, 2.0) * random.uniform(0.5, 1.0))
            else:
                await trio.lowlevel.checkpoint()

    def _begin(self, connection: Connection, call: _Call) -> Stream:
        body = call.body
        ends = body.whole == b"" and call.trailers is None
        stream = connection.open(call.block, end_stream=ends, is_head=call.is_head)
        if body.whole is None:
            stream.upload = trio.CancelScope()
            self._nursery.start_soon(self._upload, stream, call)
        elif not ends:
            if body.whole:
                connection.engine.send(stream, body.whole)
            stream.end(call.trailers)
        return stream

    async def _upload(self, stream: Stream, call: _Call) -> None:
        assert stream.upload is not None
        # Shielded like the connections: it ends with its stream.
        stream.upload.shield = True
        with stream.upload:
            await call.body.upload(stream, call.trailers)

    def _response(self, stream: Stream, call: _Call, limit: int | None) -> Response:
        assert stream.response is not None
        status, fields = stream.response
        return Response._create(
            stream, status, fields, method=call.method, url=call.url.text, http_version="HTTP/2", limit=limit
        )

    # WebSockets.

    async def connect_websocket(
        self,
        url: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: HeaderTypes = None,
        origin: str | None = None,
        compression: DeflateOptions | bool | None = None,
        http2: HTTP2 | None = None,
    ) -> WebSocket:
        """Open a WebSocket with extended CONNECT (RFC 8441) on the origin's HTTP/2 connection.

        Its connection lives in the client; the WebSocket is an `AsyncResource`, and closing it is up to you.
        Raises `WebSocketRejected` (the server said no), `HTTP2NotAvailable("setting-absent")` (it never offered to
        take WebSockets over HTTP/2), `WebSocketError` (no answer within `Timeouts.handshake` seconds),
        `RemoteProtocolError` (an answer that nobody offered), and what `request` raises.

        Cancelled, it resets the stream and leaves the connection whole.
        """
        parsed = parse_url(url, self._base_url)
        self._check_http2(parsed, http2)
        options = DeflateOptions() if compression is True else compression or None
        offered = offer(subprotocols, origin, options)
        block = self._block(b"CONNECT", parsed, headers, offered, b"websocket")
        call = _Call("CONNECT", parsed, block, RequestBody(None), None)
        seconds = self._timeouts.handshake
        tries = 0
        while True:
            connection = await self._pool.acquire(parsed.origin)
            if not connection.engine.can_connect:
                connection.release()
                raise HTTP2NotAvailable("setting-absent", f"{parsed.origin} takes no WebSockets over HTTP/2")
            stream: Stream | None = None
            try:
                with trio.fail_after(seconds if seconds is not None else float("inf")):
                    stream = connection.open(block, end_stream=False, is_connect=True)
                    status, fields = await stream.wait_response()
                    response = self._response(stream, call, self._limits.max_rejection_body)
                    if not 200 <= status < 300 or _is_a_page(stream):
                        raise WebSocketRejected(status, response.headers, await self._rejection(stream))
                agreement = check_answer(response.headers, subprotocols, options)
                session = Session(self._limits, agreement.deflate)
                return WebSocket._create(stream, session, response, agreement.subprotocol)
            except RequestNotProcessed:
                tries += 1
                if tries > self._limits.max_retries:
                    raise
            except trio.TooSlowError:
                if stream is not None:
                    stream.close()
                raise WebSocketError(
                    f"{parsed.origin} did not answer the WebSocket handshake in {seconds} s (Timeouts.handshake)"
                ) from None
            except BaseException:
                if stream is not None:
                    stream.close()
                raise
            if tries > 1:
                await trio.sleep(min(0.05 * 2**tries, 2.0) * random.uniform(0.5, 1.0))

    async def _rejection(self, stream: Stream) -> bytes:
        """The body of a refusal, as much of it as came: a server may cut it with RST_STREAM."""
        limit = self._limits.max_rejection_body
        body = b""
        try:
            while len(body) < limit and (data := await stream.receive()):
                body += data
        except StreamReset:
            pass  # what came before is the body; the refusal itself is what the user must hear of
        return body[:limit]

    @asynccontextmanager
    async def websocket(
        self,
        url: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: HeaderTypes = None,
        origin: str | None = None,
        compression: DeflateOptions | bool | None = None,
        http2: HTTP2 | None = None,
    ) -> AsyncIterator[WebSocket]:
        """`connect_websocket`, closed at the end of the block.

        A block that ends well closes with 1000 and waits for the peer's Close, at most `Timeouts.close` seconds. One
        that raises sends 1011 and does not wait. A cancelled one resets the stream at once (RST_STREAM, CANCEL).
        """
        ws = await self.connect_websocket(
            url, subprotocols=subprotocols, headers=headers, origin=origin, compression=compression, http2=http2
        )
        try:
            yield ws
        except Exception:
            ws.close_soon(1011)
            raise
        except BaseException:
            ws.abort()
            raise
        else:
            await ws.aclose()

    async def run_websocket(
        self,
        url: str,
        handler: Handler,
        *,
        task_status: trio.TaskStatus[WebSocket] = trio.TASK_STATUS_IGNORED,
        **options: Any,
    ) -> None:
        """Open a WebSocket, run `await handler(ws)`, close it. For `await nursery.start(client.run_websocket, …)`,
        which gives the WebSocket when it is open. Options and errors are those of `websocket`."""
        async with self.websocket(url, **options) as ws:
            task_status.started(ws)
            await handler(ws)


def _is_a_page(stream: Stream) -> bool:
    """Whether an HTTP handler that knows nothing of WebSockets answered 200, with a page that has ended already."""
    if not stream.remote_ended:
        return False
    first = stream.peek()
    return not first or first[0] & 0x70 != 0 or first[0] & 0x0F not in (1, 2, 8, 9, 10)


class _OpenClient:
    """`async with open_client() as client`"""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._manager = trio.open_nursery()
        self._client: Client | None = None

    async def __aenter__(self) -> Client:
        if self._client is not None:
            raise RuntimeError("open_client() gives one client: call it again for another")
        nursery = await self._manager.__aenter__()
        self._client = Client._create(nursery, **self._options)
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
    proxy: str | None = None,
    http2: HTTP2 = "auto",
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    open_stream: OpenStream | None = None,
) -> _OpenClient:
    """`async with open_client() as client`: a client that owns its connections until the block ends.

    - `base_url`: what relative URLs are relative to.
    - `headers`: sent with every request and handshake, unless the call gives the same name.
    - `ssl_context`: whom to trust. Yours is used as it is, but for its ALPN protocols, which are set.
    - `http2`: "auto" (HTTP/2 where the origin can), "require" (else `HTTP2NotAvailable`; `http://` means HTTP/2 with
      prior knowledge, RFC 9113 section 3.3), "never".
    - `limits`, `timeouts`: every bound and deadline.
    - `open_stream`: `await open_stream(host, port)` gives a Trio stream to use instead of TCP; TLS still goes on top.

    Leaving the block says GOAWAY on every connection, sends what is queued for at most `Timeouts.close` seconds, and
    closes everything; when the block was cancelled it does not wait. Your exception comes out bare.
    """
    if http2 not in ("auto", "require", "never"):
        raise ValueError(f'http2 must be "auto", "require" or "never", not {http2!r}')
    if proxy is not None:
        raise ValueError("proxies are not supported yet; give open_stream a function that opens a tunnel")
    if base_url is not None:
        parse_url(base_url)
    return _OpenClient(
        base_url=base_url,
        headers=headers,
        http2=http2,
        dial=DialConfig(
            ssl_context,
            open_stream,
            limits if limits is not None else Limits(),
            timeouts if timeouts is not None else Timeouts(),
        ),
    )


