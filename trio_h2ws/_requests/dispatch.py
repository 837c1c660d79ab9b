"""Dispatch of a request: a connection with a free slot, a stream on it, and the wait for what comes back.

If the server says that it did nothing with the request (REFUSED_STREAM, GOAWAY), it is sent again, a bounded number
of times and with pauses, and the user sees nothing of it. A body that can't be sent again ends that with
RequestNotProcessed. If the server wants HTTP/1.1 for it (HTTP_1_1_REQUIRED, RFC 9113, section 7), it is sent over
HTTP/1.1, and so are all requests to that origin for a while (`Timeouts.remember`).
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from .._config import Limits
from .._connection.connection import Connection
from .._connection.stream import Stream
from .._errors import (
    ConnectionTerminated,
    ErrorCode,
    H2WSError,
    HTTP1Required,
    HTTP2NotAvailable,
    LimitExceeded,
    RequestNotProcessed,
)
from .._pool.dial import ProtocolChoice
from .._pool.pool import Pool
from .._protocols.engine import IDEMPOTENT, RequestHead
from .collector import Collector
from .prepare import HTTP2, PreparedRequest
from .redirects import redirected
from .response import Response

T = TypeVar("T")


def protocol_for(request: PreparedRequest, http2: HTTP2) -> ProtocolChoice:
    """`http://` has no ALPN: HTTP/1.1, or HTTP/2 with prior knowledge where HTTP/2 is required."""
    if http2 == "never":
        return ProtocolChoice.HTTP1
    if request.url.origin.scheme == "http":
        return ProtocolChoice.HTTP2 if http2 == "require" else ProtocolChoice.HTTP1
    return ProtocolChoice.BEST


class Dispatcher:
    """Sends the requests of one client, and the handshakes of its WebSockets."""

    def __init__(self, pool: Pool, nursery: trio.Nursery, limits: Limits) -> None:
        self.pool = pool
        self.limits = limits
        self._nursery = nursery

    async def request(self, request: PreparedRequest, http2: HTTP2, follow: bool) -> Response:
        """The whole response, after any redirects."""
        limit = self.limits.max_body_size

        async def collect(stream: Stream) -> bytes:
            return await Collector(stream, limit).wait()

        history: list[Response] = []
        while True:
            stream, raw = await self.send(request, collect, http2)
            stream.close()  # does nothing if both sides have ended; else the rest of the upload is not wanted
            response = make_response(stream, request, limit)
            if self._misdirected(request, stream, response):
                continue
            await response._decode(raw)
            following = self._follow(request, response, history) if follow else None
            if following is None:
                return response
            request = following

    async def start(self, request: PreparedRequest, http2: HTTP2, follow: bool) -> tuple[Stream, Response]:
        """The response as soon as its headers are here, after any redirects. The caller must close the stream."""
        history: list[Response] = []
        while True:
            stream, _ = await self.send(request, Stream.wait_response, http2)
            try:
                response = make_response(stream, request, self.limits.max_body_size)
                if self._misdirected(request, stream, response):
                    stream.close()
                    continue
                following = self._follow(request, response, history) if follow else None
            except BaseException:
                stream.close()
                raise
            if following is None:
                return stream, response
            stream.close()
            request = following

    def _misdirected(self, request: PreparedRequest, stream: Stream, response: Response) -> bool:
        """Whether to send it again: 421 (RFC 9110, section 15.5.20) on a connection of another origin."""
        origin = request.url.origin
        if response.status != 421 or not request.body.replayable or stream.connection.origin == str(origin):
            return False
        self.pool.unshare(origin)
        return True

    def _follow(
        self, request: PreparedRequest, response: Response, history: list[Response]
    ) -> PreparedRequest | None:
        response.history = tuple(history)
        following = redirected(request, response.status, response.headers)
        if following is not None:
            history.append(response)
            if len(history) > self.limits.max_redirects:
                raise too_many_redirects(self.limits)
        return following

    async def send(
        self, request: PreparedRequest, receive: Callable[[Stream], Awaitable[T]], http2: HTTP2
    ) -> tuple[Stream, T]:
        """Send the request over the HTTP version that `http2` and the origin allow, and `receive` the answer."""
        origin = request.url.origin
        known = self.pool.known
        protocol = protocol_for(request, http2)
        if protocol is ProtocolChoice.BEST and http2 == "auto" and known.requests_over_http1.get(origin) is not None:
            protocol = ProtocolChoice.HTTP1

        async def connect() -> Connection:
            connection = await self.pool.acquire(origin, protocol)
            if http2 == "require":
                check_http2_spoken(connection, request)
            return connection

        try:
            return await self.send_with_retries(request, connect, receive)
        except H2WSError as error:
            if not wants_http1(error, request):
                raise
            if http2 == "require":
                if isinstance(error, HTTP2NotAvailable):
                    raise
                raise HTTP2NotAvailable("refused", f"{origin} requires HTTP/1.1 for this request") from error
            if not request.body.replayable:
                known.requests_over_http1.put(origin, "refused")
                raise
        protocol = ProtocolChoice.HTTP1  # `connect` uses it
        result = await self.send_with_retries(request, connect, receive)
        known.requests_over_http1.put(origin, "refused")
        return result

    async def send_with_retries(
        self,
        request: PreparedRequest,
        connect: Callable[[], Awaitable[Connection]],
        receive: Callable[[Stream], Awaitable[T]],
        *,
        max_refusals: int | None = None,
    ) -> tuple[Stream, T]:
        """Send it up to `Limits.max_retries` times more while the server says that it did not process it.

        `max_refusals`: give up sooner, after that many refused streams on connections that stay open.
        """
        tries = refusals = 0
        while True:
            stream: Stream | None = None
            try:
                connection = await connect()
                stream = self._begin(connection, request)
                return stream, await receive(stream)
            except HTTP1Required:
                raise
            except RequestNotProcessed:
                tries += 1
                refusals += stream is not None and stream.connection.is_open
                if not request.body.replayable or tries > self.limits.max_retries or refusals == max_refusals:
                    raise
            except BaseException:
                if stream is not None:
                    stream.close()
                raise
            # The first retry does not wait: after a GOAWAY it uses another connection.
            await trio.sleep(min(0.05 * 2**tries, 2.0) * random.uniform(0.5, 1.0) if tries > 1 else 0)

    def _begin(self, connection: Connection, request: PreparedRequest) -> Stream:
        """Open a stream with the request. Synchronous, so the reserved slot is used or given back."""
        body, url = request.body, request.url
        is_connect = request.protocol is not None
        head = RequestHead(
            request.method.encode(),
            url.origin.scheme.encode(),
            request.authority,
            url.target,
            request.fields,
            request.protocol,
        )
        ends = body.whole == b"" and request.trailers is None and not is_connect
        stream = connection.open(head, end_stream=ends, is_head=request.method == "HEAD", is_connect=is_connect)
        if body.whole is None:
            stream.upload = trio.CancelScope(shield=True)  # like the connections' tasks: it ends with its stream
            self._nursery.start_soon(self._upload, stream, request)
        elif not ends and not is_connect:
            if body.whole:
                connection.engine.send(stream, body.whole)
            stream.end(request.trailers)
        connection.flush()  # head and body in one write
        return stream

    async def _upload(self, stream: Stream, request: PreparedRequest) -> None:
        assert stream.upload is not None
        if stream.closed:
            return  # it ended before this task ran: the body is untouched, and a retry may be sending it already
        try:
            with stream.upload:
                await request.body.upload(stream, request.trailers)
        except Exception as bug:
            stream.end_with_bug(bug)


def too_many_redirects(limits: Limits) -> LimitExceeded:
    return LimitExceeded("max_redirects", limits.max_redirects, "too many redirects")


def check_http2_spoken(connection: Connection, request: PreparedRequest) -> None:
    """Raises HTTP2NotAvailable, and gives the slot back, if the connection speaks HTTP/1.1."""
    if connection.engine.protocol != "HTTP/2":
        connection.release()
        raise HTTP2NotAvailable("alpn", f"{request.url.origin} chose HTTP/1.1 in the TLS handshake")


def wants_http1(error: H2WSError, request: PreparedRequest) -> bool:
    """Whether to send the request again over HTTP/1.1: the server asks for that and says that it has not processed
    the request; or it ended the connection for that reason, and sending the request twice does no harm."""
    if isinstance(error, ConnectionTerminated):
        harmless = request.protocol is not None or request.method.encode() in IDEMPOTENT
        return error.error_code == ErrorCode.HTTP_1_1_REQUIRED and harmless
    return isinstance(error, HTTP1Required) or (isinstance(error, HTTP2NotAvailable) and error.reason == "refused")


def make_response(stream: Stream, request: PreparedRequest, limit: int | None) -> Response:
    assert stream.response is not None
    status, fields = stream.response
    version: str = stream.connection.engine.protocol
    response: Response = Response._create(
        stream, status, fields, method=request.method, url=request.url.text, http_version=version, limit=limit
    )
    return response
