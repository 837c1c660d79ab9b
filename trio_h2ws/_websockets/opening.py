"""Which way a WebSocket is opened, and the opening itself.

The browsers' choice, and better. On the origin's HTTP/2 connection, if its first SETTINGS said that the server takes
WebSockets there (RFC 8441). If not, on a new connection with ALPN `http/1.1` alone, by Upgrade (RFC 6455), while
requests stay where they are. A server that advertised and then does not do it (silence, HTTP_1_1_REQUIRED, 400, 405,
421, 426, 501, a page with 200, a reset, streams that it refuses, a connection that it ends) is tried once more over
HTTP/1.1. A real refusal (401, 403, 404, a redirect) is the answer.

What was found out is remembered for the origin, for `Timeouts.remember` seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import trio

from .._config import Timeouts
from .._connection.connection import Connection
from .._connection.stream import Stream
from .._connection.timers import Timer
from .._errors import (
    ConnectionLost,
    H2WSError,
    HTTP2NotAvailable,
    LimitExceeded,
    RequestNotProcessed,
    StreamReset,
    WebSocketError,
    WebSocketRejected,
)
from .._http.url import Origin
from .._pool.dial import ProtocolChoice
from .._pool.known_origins import Memory
from .._protocols.ws.deflate import DeflateOptions
from .._protocols.ws.handshake import check_answer, check_upgrade, new_key
from .._protocols.ws.receiver import FrameReceiver
from .._protocols.ws.sender import FrameSender
from .._requests.dispatch import Exchange, check_http2_spoken, make_response, wants_http1
from .._requests.prepare import HTTP2, Call
from .._requests.redirects import redirected
from .._requests.response import Response
from .channel import Channel
from .websocket import WebSocket

_NOT_DONE_OVER_HTTP2 = frozenset((400, 405, 421, 426, 501))
_REFUSALS = 2  # REFUSED_STREAMs, after which HTTP/1.1 is tried
_PAGE_SECONDS = 0.25


class Offer(NamedTuple):
    """What we ask for; `extended` is the call as extended CONNECT."""

    extended: Call
    subprotocols: Sequence[str]
    compression: DeflateOptions | None


def with_key(call: Call, key: str) -> Call:
    """The same call as Upgrade (RFC 6455, section 4.1): a key that extended CONNECT does not have."""
    fields = [*call.fields, (b"sec-websocket-key", key.encode())]
    return Call(call.method, call.url, call.authority, fields, call.body, protocol=call.protocol)


class Handshakes:
    """Opens the WebSockets of one client."""

    def __init__(self, exchange: Exchange, timeouts: Timeouts) -> None:
        self._exchange = exchange
        self._pool = exchange.pool
        self._timeouts = timeouts
        # Where WebSockets went over HTTP/2 lately: there, a lost connection or a slow answer is the moment's fault,
        # and no reason to give every feed a connection of its own.
        self._proved = Memory(timeouts.remember)
        self._doubted = Memory(timeouts.remember)  # there, too; a call that begins after this and fails decides

    async def open_following(self, offer: Offer, http2: HTTP2, follow: bool) -> WebSocket:
        """`open`, behind any redirects if that was asked for."""
        hops = 0
        while True:
            try:
                return await self.open(offer, http2)
            except WebSocketRejected as error:
                extended = redirected(offer.extended, error.status, error.headers) if follow else None
                if extended is None:
                    raise
            hops += 1
            if hops > self._exchange.limits.max_redirects:
                most = self._exchange.limits.max_redirects
                raise LimitExceeded("max_redirects", most, "one redirect follows the other")
            offer = offer._replace(extended=extended)

    async def open(self, offer: Offer, http2: HTTP2) -> WebSocket:
        """Over HTTP/2 or over HTTP/1.1, by the rules at the top of this module."""
        origin = offer.extended.url.origin
        if http2 == "require":
            return await self._over_http2(
                offer, ProtocolChoice.BEST if origin.scheme == "https" else ProtocolChoice.HTTP2
            )
        if origin.scheme == "https" and self._pool.speaks_http1(origin):
            self._pool.websockets_over_http1.put(origin, "alpn")
        if http2 == "never" or origin.scheme == "http" or self._found_http1(origin):
            return await self._over_http1(offer)
        proved = self._proved.get(origin) is not None
        doubted = self._doubted.get(origin) is not None
        try:
            ws = await self._over_http2_or_again(offer, None if proved else _REFUSALS)
            if not proved:
                self._proved.put(origin, "HTTP/2")
            return ws
        except HTTP2NotAvailable as error:
            if error.reason == "alpn":
                self._pool.websockets_over_http1.put(origin, "alpn")
                return await self._over_http1(offer)
            first: H2WSError = error
            reason = error.reason
        except WebSocketRejected as error:
            if error.status == 421 and self._unshare(origin):
                return await self.open(offer, http2)
            if error.status not in _NOT_DONE_OVER_HTTP2 and error.status >= 300:
                raise
            first, reason = error, f"refused with {error.status}"
        except StreamReset as error:
            first, reason = error, f"reset with {error.error_code}"
        except (RequestNotProcessed, ConnectionLost) as error:
            if proved:
                raise
            first, reason = error, "connection lost" if isinstance(error, ConnectionLost) else "refused"
        except WebSocketError as error:
            first, reason = error, "silent"
        try:
            ws = await self._over_http1(offer)
        except LimitExceeded:
            raise
        except WebSocketRejected as second:
            if isinstance(first, HTTP2NotAvailable) or second.status not in _NOT_DONE_OVER_HTTP2:
                raise
            raise first from second
        except H2WSError as second:
            if isinstance(first, HTTP2NotAvailable):
                raise  # that it goes over HTTP/1.1 was settled; this is what was wrong there
            raise first from second
        if proved and not doubted:
            self._doubted.put(origin, reason)  # it was this one, or this moment
        else:
            self._pool.websockets_over_http1.put(origin, reason)
        return ws

    def _found_http1(self, origin: Origin) -> bool:
        pool = self._pool
        return (pool.websockets_over_http1.get(origin) or pool.requests_over_http1.get(origin)) is not None

    async def _over_http2_or_again(self, offer: Offer, refusals: int | None) -> WebSocket:
        """A connection that ends before the answer is tried again, once: mostly that was the network's doing."""
        try:
            return await self._over_http2(offer, ProtocolChoice.BEST, refusals, _PAGE_SECONDS)
        except ConnectionLost as error:
            if wants_http1(error, offer.extended):
                raise
            return await self._over_http2(offer, ProtocolChoice.BEST, refusals, _PAGE_SECONDS)

    def _unshare(self, origin: Origin) -> bool:
        unshared = [self._pool.unshare(origin, connection) for connection in self._pool.serving(origin)]
        return any(unshared)

    async def _over_http2(
        self, offer: Offer, protocol: ProtocolChoice, refusals: int | None = None, page_seconds: float | None = None
    ) -> WebSocket:
        """`page_seconds`: for the body of a refusal that HTTP/1.1 will probably make good."""
        call = offer.extended

        async def connect() -> Connection:
            connection = await self._pool.acquire(call.url.origin, protocol)
            check_http2_spoken(connection, call)
            if not connection.engine.can_connect:
                connection.release()
                raise HTTP2NotAvailable("setting-absent", f"{call.url.origin} takes no WebSockets over HTTP/2")
            return connection

        async def shake_hands(stream: Stream) -> WebSocket:
            return await self._answer(stream, offer, None, page_seconds)

        try:
            _, ws = await self._exchange.attempts(call, connect, shake_hands, refusals=refusals)
        except H2WSError as error:
            if wants_http1(error, call):
                raise HTTP2NotAvailable("refused", f"{call.url.origin} wants HTTP/1.1 for this") from error
            raise
        return ws

    async def _over_http1(self, offer: Offer) -> WebSocket:
        key = new_key()
        call = with_key(offer.extended, key)

        async def connect() -> Connection:
            return await self._pool.dial_for_websocket(call.url.origin)

        async def shake_hands(stream: Stream) -> WebSocket:
            return await self._answer(stream, offer, key)

        _, ws = await self._exchange.attempts(call, connect, shake_hands)
        return ws

    async def _answer(
        self, stream: Stream, offer: Offer, key: str | None, page_seconds: float | None = None
    ) -> WebSocket:
        """Wait for the server's answer, and make a WebSocket or an error of it. `key` is that of an Upgrade."""
        call = offer.extended
        timer = self._set_deadline(stream, call)
        try:
            status, _ = await stream.wait_response()
        finally:
            if timer is not None:
                timer.cancel()
        response = make_response(stream, call, self._exchange.limits.max_rejection_body)
        if key is not None:
            said_yes = status == 101
        else:
            said_yes = 200 <= status < 300 and not await _is_a_page(stream, response)
        if not said_yes:
            seconds = self._timeouts.handshake
            if page_seconds is not None and (status in _NOT_DONE_OVER_HTTP2 or status < 300):
                seconds = page_seconds
            raise WebSocketRejected(status, response.headers, await self._rejection(stream, seconds))
        if key is not None:
            check_upgrade(response.headers, key)
        agreement = check_answer(response.headers, offer.subprotocols, offer.compression)
        receiver = FrameReceiver(self._exchange.limits, agreement.deflate, trio.current_time)
        sender = FrameSender(receiver, agreement.deflate)
        channel = Channel(stream, receiver, sender, answer_close_at_once=key is not None)
        ws: WebSocket = WebSocket._create(channel, response, agreement.subprotocol)
        return ws

    def _set_deadline(self, stream: Stream, call: Call) -> Timer | None:
        """A timer of the connection: a cancel scope for each of a thousand handshakes would cost more."""
        seconds = self._timeouts.handshake
        if seconds is None:
            return None

        def too_late() -> None:
            bound = f"{seconds} s (Timeouts.handshake)"
            stream.fail(WebSocketError(f"{call.url.origin} did not answer the WebSocket handshake in {bound}"))

        return stream.connection.timers.add(seconds, too_late)

    async def _rejection(self, stream: Stream, seconds: float | None) -> bytes:
        """The body of a refusal, as much of it as came: a server may cut it off in any way, or never end it."""
        limit = self._exchange.limits.max_rejection_body
        body = b""
        try:
            with trio.move_on_after(seconds if seconds is not None else float("inf")):
                while len(body) < limit and (data := await stream.receive()):
                    body += data
        except H2WSError:
            pass  # what came before is the body; the refusal itself is what the user must hear of
        return body[:limit]


async def _is_a_page(stream: Stream, response: Response) -> bool:
    """Whether an HTTP handler that knows nothing of WebSockets answered 200, with a page.

    A Content-Length alone says nothing: it is to be ignored in a yes (RFC 9110, section 9.3.6), and some servers send
    one. Who agrees on extensions or a subprotocol knows WebSockets.
    """
    headers = response.headers
    kind = headers.get("content-type")
    if kind is None and not stream.remote_ended:
        return False
    if "sec-websocket-extensions" in headers or "sec-websocket-protocol" in headers:
        return False
    if kind is not None and headers.get("content-length", "0").strip("0"):
        return True
    if kind is not None and kind.lower().startswith("text/html"):
        with trio.move_on_after(_PAGE_SECONDS):  # its first bytes tell a page from a server's careless yes
            await stream.wait_data()
    elif not stream.remote_ended:
        return False
    first = stream.peek()
    if not (first or stream.remote_ended):
        return False
    return not first or first[0] & 0x70 != 0 or first[0] & 0x0F not in (1, 2, 8, 9, 10)
