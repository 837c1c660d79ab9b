"""Whether a WebSocket is opened over HTTP/2 or over HTTP/1.1, and what was learned about that.

On the origin's HTTP/2 connection, if its first SETTINGS said that the server accepts WebSockets there (RFC 8441). If
not, on a new connection with ALPN `http/1.1` alone, by Upgrade (RFC 6455), while requests stay where they are. So far
that is what browsers do. But some servers advertise WebSockets over HTTP/2 and then fail to open them, in many ways
(`why_fall_back` lists them): then the same handshake is tried once over HTTP/1.1. A real refusal (401, 403, 404, a
redirect) is the answer.

The outcome is remembered for the origin, for `Timeouts.remember` seconds (`known_origins.py`). Where a WebSocket was
opened over HTTP/2 recently, one failure does not change that: it may be due to that one request, or to the network.
"""

from __future__ import annotations

from .._config import Limits, Timeouts
from .._connection.connection import Connection
from .._connection.stream import Stream
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
from .._events import Events, WebSocketFellBack, WebSocketOpened
from .._pool.dial import ProtocolChoice
from .._protocols.ws.handshake import new_key
from .._requests.dispatch import Dispatcher, Way, check_http2_spoken, http1_required, too_many_redirects, wants_http1
from .._requests.prepare import HTTP2
from .._requests.redirects import redirected
from .._requests.retries import Action, Budget, Failure, Wish, asks_for_calm
from .opening import NOT_IMPLEMENTED, PAGE_SECONDS, Offer, Opening, with_key
from .websocket import WebSocket

_MAX_REFUSALS = 2  # REFUSED_STREAMs, after which HTTP/1.1 is tried
_NOT_SENT = frozenset(("alpn", "setting-absent"))  # reasons that are known before a handshake is sent


def why_fall_back(error: H2WSError, proven: bool) -> str | None:
    """Why a handshake that failed over HTTP/2 should be tried over HTTP/1.1; None: the error is the answer. Pure.

    `proven`: a WebSocket to this origin was opened over HTTP/2 recently.
    """
    if isinstance(error, HTTP2NotAvailable):
        return error.reason
    if asks_for_calm(error):
        return None  # another connection is not what it asks for
    if isinstance(error, WebSocketRejected):
        return f"refused with {error.status}" if error.status in NOT_IMPLEMENTED or error.status < 300 else None
    if isinstance(error, StreamReset):
        return f"reset with {error.error_code}"
    if isinstance(error, (RequestNotProcessed, ConnectionLost)):
        if proven:
            return None
        return "connection lost" if isinstance(error, ConnectionLost) else "refused"
    return "silent" if isinstance(error, WebSocketError) else None


class Fallback:
    """Opens the WebSockets of one client."""

    def __init__(self, dispatcher: Dispatcher, limits: Limits, timeouts: Timeouts, events: Events) -> None:
        self._events = events
        self._dispatcher = dispatcher
        self._pool = dispatcher.pool
        self._known = dispatcher.pool.known
        self._limits = limits
        self._opening = Opening(limits, timeouts)

    async def open_following(self, offer: Offer, http2: HTTP2, follow: bool) -> WebSocket:
        """`open`, after any redirects if the caller wants them followed."""
        offer = offer._replace(follow=follow)
        redirects = 0
        budget = self._dispatcher.new_budget()
        while True:
            try:
                ws = await self.open(offer, http2, budget)
                if self._events.wanted:
                    self._events.emit(WebSocketOpened(str(offer.request.url.origin), ws.http_version))
                return ws
            except WebSocketRejected as error:
                following = redirected(offer.request, error.status, error.headers) if follow else None
                if following is None:
                    raise
            redirects += 1
            if redirects > self._limits.max_redirects:
                raise too_many_redirects(self._limits)
            offer = offer._replace(request=following)
            budget.next_request()

    async def open(self, offer: Offer, http2: HTTP2, budget: Budget) -> WebSocket:
        """Over HTTP/2 or over HTTP/1.1, by the rules at the top of this module."""
        origin, known = offer.request.url.origin, self._known
        if http2 == "require":
            choice = ProtocolChoice.BEST if origin.scheme == "https" else ProtocolChoice.HTTP2
            return await self._over_http2(offer, choice, budget, Wish(http1=False, alone=False))
        if origin.scheme == "https" and self._pool.chose_http1(origin):
            known.websockets_over_http1.put(origin, "alpn")
        if http2 == "never" or origin.scheme == "http" or known.why_http1(origin) is not None:
            return await self._over_http1(offer, budget)
        # Both are read before the try: of several concurrent handshakes that fail together, all count as one failure.
        proven = known.websockets_over_http2.get(origin) is not None
        failed_once = known.websockets_failed_once.get(origin) is not None
        # A connection that ends before the answer is tried again, once: most often that is due to the network.
        wish = Wish(even_if_new=True, http1=False, alone=False, max_refusals=None if proven else _MAX_REFUSALS)
        try:
            ws = await self._over_http2(offer, ProtocolChoice.BEST, budget, wish, PAGE_SECONDS)
        except H2WSError as error:
            reason = why_fall_back(error, proven)
            if reason is None:
                raise
            # Where nothing was sent over HTTP/2, HTTP/1.1 is not a second try.
            if reason not in _NOT_SENT and budget.decide(Failure.NO_WEBSOCKET).action is Action.NO:
                raise
            first = error
            if self._events.wanted:
                self._events.emit(WebSocketFellBack(str(origin), reason))
        else:
            if not proven:
                known.websockets_over_http2.put(origin, "opened")
            return ws
        if reason == "alpn":
            # Not a guess: the server chose HTTP/1.1, so this is known before the WebSocket is open.
            known.websockets_over_http1.put(origin, reason)
            return await self._over_http1(offer, budget)
        ws = await self._second_try(offer, first, budget)
        facts = known.websockets_failed_once if proven and not failed_once else known.websockets_over_http1
        facts.put(origin, reason)
        return ws

    async def _second_try(self, offer: Offer, first: H2WSError, budget: Budget) -> WebSocket:
        """Over HTTP/1.1, after HTTP/2 failed. If this fails as well, raise the error that explains more."""
        try:
            return await self._over_http1(offer, budget)
        except H2WSError as second:
            is_answer = isinstance(second, WebSocketRejected) and second.status not in NOT_IMPLEMENTED
            # After HTTP2NotAvailable only HTTP/1.1 was possible: what failed there is the error.
            if is_answer or isinstance(second, LimitExceeded) or isinstance(first, HTTP2NotAvailable):
                raise
            raise first from second

    async def _over_http2(
        self, offer: Offer, choice: ProtocolChoice, budget: Budget, wish: Wish, page_seconds: float | None = None
    ) -> WebSocket:
        request = offer.request
        origin = request.url.origin

        async def connect(way: Way) -> Connection:  # always SHARED: `wish` rules the others out
            connection = await self._pool.acquire(origin, choice, http2_only=True)
            check_http2_spoken(connection, request)
            if not connection.engine.can_connect:
                connection.release()
                raise HTTP2NotAvailable("setting-absent", f"{origin} does not accept WebSockets over HTTP/2")
            return connection

        async def answer(stream: Stream) -> WebSocket:
            return await self._opening.answer(stream, offer, None, page_seconds)

        try:
            _, ws = await self._dispatcher.send_with_retries(request, connect, answer, budget, wish)
        except H2WSError as error:
            if wants_http1(error, request):
                raise http1_required(f"{origin} requires HTTP/1.1 for this WebSocket", error) from error
            raise
        return ws

    async def _over_http1(self, offer: Offer, budget: Budget) -> WebSocket:
        key = new_key()
        request = with_key(offer.request, key)

        async def connect(way: Way) -> Connection:
            return await self._pool.single.for_websocket(request.url.origin)

        async def answer(stream: Stream) -> WebSocket:
            return await self._opening.answer(stream, offer, key)

        _, ws = await self._dispatcher.send_with_retries(request, connect, answer, budget)
        return ws
