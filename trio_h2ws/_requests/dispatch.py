"""How a call walks: a connection with a slot, the request on a stream of it, the wait for what comes back.

If the server says that it did nothing with the request (REFUSED_STREAM, GOAWAY), the same call walks again, a bounded
number of times and with pauses, and the user sees nothing of it. A body that can't be sent again ends that with
RequestNotProcessed. If the server wants HTTP/1.1 for it (HTTP_1_1_REQUIRED, RFC 9113, section 7), it walks there, and
so do all calls to that origin for a while.
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
from .prepare import HTTP2, Call
from .redirects import redirected
from .response import Collector, Response

T = TypeVar("T")


def protocol_for(call: Call, http2: HTTP2) -> ProtocolChoice:
    """`http://` has no ALPN: HTTP/1.1, or HTTP/2 with prior knowledge where it is required."""
    if http2 == "never":
        return ProtocolChoice.HTTP1
    if call.url.origin.scheme == "http":
        return ProtocolChoice.HTTP2 if http2 == "require" else ProtocolChoice.HTTP1
    return ProtocolChoice.BEST


class Exchange:
    """Sends the calls of one client."""

    def __init__(self, pool: Pool, nursery: trio.Nursery, limits: Limits) -> None:
        self.pool = pool
        self.limits = limits
        self._nursery = nursery

    async def request(self, call: Call, http2: HTTP2, follow: bool) -> Response:
        """The whole response, behind any redirects."""
        limit = self.limits.max_body_size

        async def collect(stream: Stream) -> bytes:
            return await Collector(stream, limit).wait()

        history: list[Response] = []
        while True:
            stream, raw = await self.walk(call, collect, http2)
            stream.close()  # does nothing if both sides have ended; else the upload is not wanted any more
            response = make_response(stream, call, limit)
            if self._misdirected(call, stream, response):
                continue
            response._set_content(raw)
            following = self._follow(call, response, history) if follow else None
            if following is None:
                return response
            call = following

    async def start(self, call: Call, http2: HTTP2, follow: bool) -> tuple[Stream, Response]:
        """The response as soon as its headers are here, behind any redirects. The stream is the caller's to close."""
        history: list[Response] = []
        while True:
            stream, _ = await self.walk(call, Stream.wait_response, http2)
            try:
                response = make_response(stream, call, self.limits.max_body_size)
                if self._misdirected(call, stream, response):
                    stream.close()
                    continue
                following = self._follow(call, response, history) if follow else None
            except BaseException:
                stream.close()
                raise
            if following is None:
                return stream, response
            stream.close()
            call = following

    def _misdirected(self, call: Call, stream: Stream, response: Response) -> bool:
        """A 421 on a connection that two origins shared: the same again, on one of its own (RFC 9110, 15.5.20)."""
        if response.status != 421 or not call.body.replayable:
            return False
        return self.pool.unshare(call.url.origin, stream.connection)

    def _follow(self, call: Call, response: Response, history: list[Response]) -> Call | None:
        response.history = tuple(history)
        following = redirected(call, response.status, response.headers)
        if following is not None:
            history.append(response)
            if len(history) > self.limits.max_redirects:
                raise LimitExceeded("max_redirects", self.limits.max_redirects, "one redirect follows the other")
        return following

    async def walk(self, call: Call, receive: Callable[[Stream], Awaitable[T]], http2: HTTP2) -> tuple[Stream, T]:
        """Send the call and `receive` what comes back, as often as it needs."""
        origin = call.url.origin
        protocol = protocol_for(call, http2)
        if (
            protocol is ProtocolChoice.BEST
            and http2 == "auto"
            and self.pool.requests_over_http1.get(origin) is not None
        ):
            protocol = ProtocolChoice.HTTP1

        async def connect() -> Connection:
            connection = await self.pool.acquire(origin, protocol)
            if http2 == "require":
                check_http2_spoken(connection, call)
            return connection

        try:
            return await self.attempts(call, connect, receive)
        except H2WSError as error:
            if not wants_http1(error, call):
                raise
            if http2 == "require":
                if isinstance(error, HTTP2NotAvailable):
                    raise
                raise HTTP2NotAvailable("refused", f"{origin} wants HTTP/1.1 for this") from error
            if not call.body.replayable:
                self.pool.requests_over_http1.put(origin, "refused")
                raise
        protocol = ProtocolChoice.HTTP1
        result = await self.attempts(call, connect, receive)
        self.pool.requests_over_http1.put(origin, "refused")
        return result

    async def attempts(
        self,
        call: Call,
        connect: Callable[[], Awaitable[Connection]],
        receive: Callable[[Stream], Awaitable[T]],
        *,
        refusals: int | None = None,
    ) -> tuple[Stream, T]:
        """`Limits.max_retries` times again; less, if that many streams were refused on connections that go on."""
        tries = refused = 0
        while True:
            stream: Stream | None = None
            try:
                connection = await connect()
                stream = self._begin(connection, call)
                return stream, await receive(stream)
            except HTTP1Required:
                raise
            except RequestNotProcessed:
                tries += 1
                refused += stream is not None and stream.connection.is_open
                if not call.body.replayable or tries > self.limits.max_retries or refused == refusals:
                    raise
            except BaseException:
                if stream is not None:
                    stream.close()
                raise
            # The first new try is free: after a GOAWAY it goes to another connection.
            await trio.sleep(min(0.05 * 2**tries, 2.0) * random.uniform(0.5, 1.0) if tries > 1 else 0)

    def _begin(self, connection: Connection, call: Call) -> Stream:
        """Send the request. Synchronous, so the reserved slot is used or given back."""
        body, url = call.body, call.url
        is_connect = call.protocol is not None
        head = RequestHead(
            call.method.encode(), url.origin.scheme.encode(), call.authority, url.target, call.fields, call.protocol
        )
        ends = body.whole == b"" and call.trailers is None and not is_connect
        stream = connection.open(head, end_stream=ends, is_head=call.method == "HEAD", is_connect=is_connect)
        if body.whole is None:
            stream.upload = trio.CancelScope(shield=True)  # like the connections: it ends with its stream
            self._nursery.start_soon(self._upload, stream, call)
        elif not ends and not is_connect:
            if body.whole:
                connection.engine.send(stream, body.whole)
            stream.end(call.trailers)
        connection.flush()  # head and body in one write
        return stream

    async def _upload(self, stream: Stream, call: Call) -> None:
        assert stream.upload is not None
        if stream.closed:
            return  # it ended before this ran: the body is untouched, and may belong to the next try already
        with stream.upload:
            await call.body.upload(stream, call.trailers)


def check_http2_spoken(connection: Connection, call: Call) -> None:
    """Raises HTTP2NotAvailable, and gives the slot back, if the dial ended in HTTP/1.1."""
    if connection.engine.protocol != "HTTP/2":
        connection.release()
        raise HTTP2NotAvailable("alpn", f"{call.url.origin} chose HTTP/1.1 in the TLS handshake")


def wants_http1(error: H2WSError, call: Call) -> bool:
    """Whether the call may be sent again, over HTTP/1.1: the server wants that, and did nothing with it yet, as far
    as it says; or the connection ended for that, and sending it twice does no harm."""
    if isinstance(error, ConnectionTerminated):
        harmless = call.protocol is not None or call.method.encode() in IDEMPOTENT
        return error.error_code == ErrorCode.HTTP_1_1_REQUIRED and harmless
    return isinstance(error, HTTP1Required) or (isinstance(error, HTTP2NotAvailable) and error.reason == "refused")


def make_response(stream: Stream, call: Call, limit: int | None) -> Response:
    assert stream.response is not None
    status, fields = stream.response
    version: str = stream.connection.engine.protocol
    response: Response = Response._create(
        stream, status, fields, method=call.method, url=call.url.text, http_version=version, limit=limit
    )
    return response
