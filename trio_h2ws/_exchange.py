"""How a call walks: a connection with a slot, the request on a stream of it, the wait for what comes back.

If the server says that it did nothing with the request (REFUSED_STREAM, GOAWAY), the same call walks again, a bounded
number of times and with pauses, and the user sees nothing of it. A body that can't be sent again ends that with
RequestNotProcessed.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import trio

from ._call import Call
from ._config import Limits, Timeouts
from ._errors import HTTP2NotAvailable, RequestNotProcessed, StreamReset, WebSocketError, WebSocketRejected
from ._h2.connection import Connection
from ._h2.fields import request_block
from ._h2.stream import Stream
from ._link import Link
from ._pool import Pool
from ._response import Collector, Response
from ._websocket import WebSocket
from ._ws.deflate import DeflateOptions
from ._ws.handshake import check_answer
from ._ws.outgoing import Outgoing
from ._ws.session import Session

T = TypeVar("T")


class Exchange:
    """Sends the calls of one client."""

    def __init__(self, pool: Pool, nursery: trio.Nursery, limits: Limits, timeouts: Timeouts) -> None:
        self._pool = pool
        self._nursery = nursery
        self._limits = limits
        self._timeouts = timeouts

    async def request(self, call: Call) -> Response:
        """The whole response."""
        limit = self._limits.max_body_size

        async def collect(stream: Stream) -> bytes:
            return await Collector(stream, limit).wait()

        stream, raw = await self._walk(call, collect)
        stream.close()  # does nothing if both sides have ended; else the upload is not wanted any more
        response = _response(stream, call, limit)
        response._set_content(raw)
        return response

    async def start(self, call: Call) -> tuple[Stream, Response]:
        """The response as soon as its headers are here. The stream is the caller's to close."""
        stream, _ = await self._walk(call, Stream.wait_response)
        return stream, _response(stream, call, self._limits.max_body_size)

    async def websocket(
        self, call: Call, subprotocols: Sequence[str], compression: DeflateOptions | None
    ) -> WebSocket:
        """Open a WebSocket with extended CONNECT (RFC 8441)."""
        seconds = self._timeouts.handshake

        async def shake_hands(stream: Stream) -> WebSocket:
            try:
                with trio.fail_after(seconds if seconds is not None else float("inf")):
                    status, _ = await stream.wait_response()
                    response = _response(stream, call, self._limits.max_rejection_body)
                    if not 200 <= status < 300 or _is_a_page(stream):
                        raise WebSocketRejected(status, response.headers, await self._rejection(stream))
            except trio.TooSlowError:
                raise WebSocketError(
                    f"{call.url.origin} did not answer the WebSocket handshake in {seconds} s (Timeouts.handshake)"
                ) from None
            agreement = check_answer(response.headers, subprotocols, compression)
            session = Session(self._limits, agreement.deflate, trio.current_time)
            link = Link(stream, session, Outgoing(session.wsproto, agreement.deflate))
            ws: WebSocket = WebSocket._create(link, response, agreement.subprotocol)
            return ws

        _, ws = await self._walk(call, shake_hands)
        return ws

    async def _walk(self, call: Call, receive: Callable[[Stream], Awaitable[T]]) -> tuple[Stream, T]:
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
            # The first new try is free: after a GOAWAY it goes to another connection.
            await trio.sleep(min(0.05 * 2**tries, 2.0) * random.uniform(0.5, 1.0) if tries > 1 else 0)

    def _begin(self, connection: Connection, call: Call) -> Stream:
        """Send the request. Synchronous, so the reserved slot is used or given back."""
        body, url = call.body, call.url
        is_connect = call.protocol is not None
        if is_connect and not connection.engine.can_connect:
            connection.release()
            raise HTTP2NotAvailable("setting-absent", f"{url.origin} takes no WebSockets over HTTP/2")
        block = request_block(
            call.method.encode(), url.origin.scheme.encode(), call.authority, url.target, call.fields, call.protocol
        )
        ends = body.whole == b"" and call.trailers is None and not is_connect
        stream = connection.open(block, end_stream=ends, is_head=call.method == "HEAD", is_connect=is_connect)
        if body.whole is None:
            stream.upload = trio.CancelScope(shield=True)  # like the connections: it ends with its stream
            self._nursery.start_soon(self._upload, stream, call)
        elif not ends and not is_connect:
            if body.whole:
                connection.engine.send(stream, body.whole)
            stream.end(call.trailers)
        return stream

    async def _upload(self, stream: Stream, call: Call) -> None:
        assert stream.upload is not None
        with stream.upload:
            await call.body.upload(stream, call.trailers)

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


def _response(stream: Stream, call: Call, limit: int | None) -> Response:
    assert stream.response is not None
    status, fields = stream.response
    response: Response = Response._create(
        stream, status, fields, method=call.method, url=call.url.text, http_version="HTTP/2", limit=limit
    )
    return response


def _is_a_page(stream: Stream) -> bool:
    """Whether an HTTP handler that knows nothing of WebSockets answered 200, with a page that has ended already."""
    if not stream.remote_ended:
        return False
    first = stream.peek()
    return not first or first[0] & 0x70 != 0 or first[0] & 0x0F not in (1, 2, 8, 9, 10)
