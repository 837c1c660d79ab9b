"""One opening handshake on one stream: what is offered, the wait for the answer, and a WebSocket or an error.

Over HTTP/2 the request is an extended CONNECT (RFC 8441), over HTTP/1.1 an Upgrade (RFC 6455). Which of them is sent
is decided in `fallback.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import trio

from .._config import Limits, Timeouts
from .._connection.stream import Stream
from .._connection.timers import Timer
from .._errors import H2WSError, RemoteProtocolError, StreamReset, WebSocketError, WebSocketRejected
from .._protocols.ws.deflate import DeflateOptions
from .._protocols.ws.handshake import check_answer, check_upgrade
from .._protocols.ws.receiver import FrameReceiver
from .._protocols.ws.sender import FrameSender
from .._requests.dispatch import make_response
from .._requests.prepare import PreparedRequest
from .._requests.redirects import leads_on
from .._requests.response import Response
from .channel import Channel
from .websocket import WebSocket

PAGE_SECONDS = 0.25
"""For the first bytes of a page that was served instead of a WebSocket."""
NOT_IMPLEMENTED = frozenset((400, 405, 421, 426, 501))
"""Statuses that mean "not over HTTP/2", from servers that advertise WebSockets over it."""
_WITHOUT_CONTENT = frozenset((204, 205))  # RFC 9110, sections 15.3.5 and 15.3.6: no byte may follow, so no message


class Offer(NamedTuple):
    """What we ask for; `request` is the handshake as extended CONNECT."""

    request: PreparedRequest
    subprotocols: Sequence[str]
    compression: DeflateOptions | None
    follow: bool = False  # a redirect is followed, so its body is not waited for


def with_key(request: PreparedRequest, key: str) -> PreparedRequest:
    """The same handshake as Upgrade (RFC 6455, section 4.1): with a key, which extended CONNECT does not have."""
    fields = [*request.fields, (b"sec-websocket-key", key.encode())]
    return PreparedRequest(
        request.method, request.url, request.authority, fields, request.body, protocol=request.protocol
    )


class Opening:
    """The handshakes of one client."""

    def __init__(self, limits: Limits, timeouts: Timeouts) -> None:
        self._limits = limits
        self._timeouts = timeouts

    async def answer(
        self, stream: Stream, offer: Offer, key: str | None, page_seconds: float | None = None
    ) -> WebSocket:
        """Wait for the server's answer. `key` is that of an Upgrade, None for an extended CONNECT.

        `page_seconds` bounds the wait for the body of a refusal after which HTTP/1.1 is tried. Raises
        WebSocketRejected, WebSocketError (no answer in time), RemoteProtocolError, and what ends a stream.
        """
        timer = self._set_deadline(stream, offer.request)
        try:
            status, _ = await stream.wait_response()
        finally:
            if timer is not None:
                timer.cancel()
        response = make_response(stream, offer.request, self._limits.max_rejection_body)
        if not await _is_accepted(stream, response, is_upgrade=key is not None):
            seconds = self._timeouts.handshake
            if page_seconds is not None and (status in NOT_IMPLEMENTED or status < 300):
                seconds = page_seconds
            body = b""
            if not (
                status in _WITHOUT_CONTENT or (offer.follow and leads_on(offer.request, status, response.headers))
            ):
                body = await self._rejection(stream, seconds)
            message = "it answered as if to an ordinary request" if status < 300 else ""
            raise WebSocketRejected(status, response.headers, body, message) from stream.error
        try:
            if key is not None:
                check_upgrade(response.headers, key)
            agreement = check_answer(response.headers, offer.subprotocols, offer.compression)
        except RemoteProtocolError as error:
            error.of_handshake = True
            raise
        receiver = FrameReceiver(self._limits, agreement.deflate, trio.current_time)
        sender = FrameSender(agreement.deflate)
        # Over HTTP/1.1 the server waits for our Close before it ends the connection (RFC 6455, section 7.1.1).
        stream.on_websocket_open()
        channel = Channel(stream, receiver, sender, answer_close_at_once=key is not None)
        ws: WebSocket = WebSocket._create(channel, response, agreement.subprotocol)
        return ws

    def _set_deadline(self, stream: Stream, request: PreparedRequest) -> Timer | None:
        """A timer of the connection: a cancel scope for each of a thousand handshakes would cost more."""
        seconds = self._timeouts.handshake
        if seconds is None:
            return None

        def too_late() -> None:
            if stream.may_move:  # if the connection is dead, the answer may come on another one
                stream.connection.keepalive.give_up_probe()
            if stream.closed:
                return
            stream.connection.keepalive.doubt()
            bound = f"{seconds} s (Timeouts.handshake)"
            stream.fail(WebSocketError(f"{request.url.origin} did not answer the WebSocket handshake within {bound}"))

        return stream.call_later(seconds, too_late)

    async def _rejection(self, stream: Stream, seconds: float | None) -> bytes:
        """The body of a refusal, as much as comes: a server may cut it off in any way, or never end it."""
        limit = self._limits.max_rejection_body
        body = bytearray()
        try:
            with trio.move_on_after(seconds if seconds is not None else float("inf")):
                while len(body) < limit and (data := await stream.receive()):
                    body += data
        except H2WSError:
            pass  # the user needs the refusal itself; its body is what came before this error
        return bytes(body[:limit])


async def _is_accepted(stream: Stream, response: Response, *, is_upgrade: bool) -> bool:
    """Raises what ended the connection, if that came in one read with the answer."""
    if is_upgrade:
        return response.status == 101
    if not 200 <= response.status < 300 or response.status in _WITHOUT_CONTENT:
        return False
    if await _is_page(stream, response):
        return False
    # A 2xx whose stream is over already opens nothing, unless a message or a Close came before the end.
    if stream.has_ended and not stream.peek():
        if not isinstance(stream.error, StreamReset):
            stream.raise_error()
        return False
    return True


async def _is_page(stream: Stream, response: Response) -> bool:
    """Whether a 2xx came with a page, from an HTTP handler that does not know WebSockets.

    Content-Length alone proves nothing: it is to be ignored in a 2xx to CONNECT (RFC 9110, section 9.3.6), and some
    servers send it. A server that agrees on extensions or a subprotocol knows WebSockets.
    """
    headers = response.headers
    content_type = headers.get("content-type")
    is_200 = response.status == 200  # what servers of WebSockets answer; any other 2xx is suspicious
    if content_type is None and not stream.remote_ended and is_200:
        return False
    if "sec-websocket-extensions" in headers or "sec-websocket-protocol" in headers:
        return False
    if content_type is not None and headers.get("content-length", "0").strip("0"):
        return True
    if not is_200 or (content_type is not None and content_type.lower().startswith("text/html")):
        with trio.move_on_after(PAGE_SECONDS):  # some servers send these with a WebSocket: its first bytes decide
            await stream.wait_data()
    elif not stream.remote_ended:
        return False
    first = stream.peek()
    if not (first or stream.remote_ended):
        return False
    return not first or first[0] & 0x70 != 0 or first[0] & 0x0F not in (1, 2, 8, 9, 10)
