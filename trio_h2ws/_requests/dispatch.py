"""Dispatch of a request: a connection with a free slot, a stream on it, and the wait for what comes back.

A try that failed may be followed by another one, unseen by the user: whether, how soon and over which HTTP is decided
in `retries.py`. What is learned on the way is remembered for the origin: that it wants HTTP/1.1 (HTTP_1_1_REQUIRED,
RFC 9113, section 7), for `Timeouts.remember` seconds; that it may not share another origin's connection (421).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TypeVar

import trio

from .._config import Limits
from .._connection.connection import Connection
from .._connection.stream import Stream
from .._errors import H2WSError, HTTP2NotAvailable, LimitExceeded, WebSocketRejected, explain
from .._events import Events, RequestRetried
from .._http.headers import Headers
from .._pool.dial import ProtocolChoice
from .._pool.pool import Pool
from .._pool.waiters import OnPhase
from .._protocols.engine import RequestHead
from .collector import BEGINNING, Collector
from .prepare import HTTP2, PreparedRequest
from .redirects import leads_on, redirected
from .response import Response
from .retries import DEFAULT, Action, Budget, Decision, Failure, Wish, ended_a_connection, failure_of

T = TypeVar("T")
_HTTP2_ALONE = Wish(http1=False)


def protocol_for(request: PreparedRequest, http2: HTTP2) -> ProtocolChoice:
    """`http://` has no ALPN: HTTP/1.1, or HTTP/2 with prior knowledge where HTTP/2 is required."""
    if http2 == "never":
        return ProtocolChoice.HTTP1
    if request.url.origin.scheme == "http":
        return ProtocolChoice.HTTP2 if http2 == "require" else ProtocolChoice.HTTP1
    return ProtocolChoice.BEST


class Way(Enum):
    """How a try is sent. A request that went over HTTP/1.1, or alone, stays with that."""

    SHARED = "on the connection that others use"
    ALONE = "on a connection that carries nothing else"
    HTTP1 = "over HTTP/1.1"


_WAYS = {Action.OVER_HTTP1: Way.HTTP1, Action.ALONE: Way.ALONE}


class Dispatcher:
    """Sends the requests of one client, and the handshakes of its WebSockets."""

    def __init__(self, pool: Pool, nursery: trio.Nursery, limits: Limits, events: Events) -> None:
        self.pool = pool
        self._events = events
        self.limits = limits
        self._nursery = nursery

    async def request(self, request: PreparedRequest, http2: HTTP2, follow: bool) -> Response:
        """The whole response, after any redirects."""
        limit = self.limits.max_body_size

        budget = self.new_budget()

        def is_discarded(stream: Stream) -> bool:
            return self._is_discarded(stream, request, follow, budget)

        async def collect(stream: Stream) -> bytes:
            return await Collector(stream, limit, is_discarded).wait()

        history: list[Response] = []
        while True:
            stream, raw = await self.send(request, collect, http2, budget)
            stream.close()  # does nothing if both sides have ended; else the rest of the upload is not wanted
            response = make_response(stream, request, limit)
            following = self._follow(request, response, history) if follow else None
            if following is None:
                await response._decode(raw)
                return response
            response._keep(raw, BEGINNING)
            request = following
            budget.next_request()

    async def start(
        self, request: PreparedRequest, http2: HTTP2, follow: bool, on_phase: OnPhase | None = None
    ) -> tuple[Stream, Response]:
        """The response as soon as its headers are here, after any redirects. The caller must close the stream."""
        budget = self.new_budget()
        history: list[Response] = []
        while True:
            stream, _ = await self.send(request, Stream.wait_response, http2, budget, on_phase)
            try:
                response = make_response(stream, request, self.limits.max_body_size)
                following = self._follow(request, response, history) if follow else None
            except BaseException:
                stream.close()
                raise
            if following is None:
                return stream, response
            stream.close()
            request = following
            budget.next_request()

    def _is_discarded(self, stream: Stream, request: PreparedRequest, follow: bool, budget: Budget) -> bool:
        """Whether the caller will not get the response that has begun."""
        assert stream.response is not None
        status, fields = stream.response
        if status == 421 and self._is_shared(stream, request):
            return budget.allows(Failure.MISDIRECTED, replayable=request.body.replayable)
        return follow and leads_on(request, status, Headers(fields))

    def new_budget(self) -> Budget:
        """For the retries of one call."""
        return Budget(self.limits.max_retries)

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
        self,
        request: PreparedRequest,
        receive: Callable[[Stream], Awaitable[T]],
        http2: HTTP2,
        budget: Budget,
        on_phase: OnPhase | None = None,
    ) -> tuple[Stream, T]:
        """Send the request over the HTTP version that `http2` and the origin allow, and `receive` the answer."""
        origin = request.url.origin
        known = self.pool.known
        protocol = protocol_for(request, http2)
        if protocol is ProtocolChoice.BEST and http2 == "auto" and known.requests_over_http1.get(origin) is not None:
            protocol = ProtocolChoice.HTTP1
        http2_only = http2 == "require"
        moved = False

        async def connect(way: Way) -> Connection:
            nonlocal moved
            moved = way is Way.HTTP1
            if way is Way.ALONE:
                connection = await self.pool.single.alone(origin, protocol, on_phase)
            else:
                choice = ProtocolChoice.HTTP1 if moved else protocol
                connection = await self.pool.acquire(
                    *(origin, choice),
                    http2_only=http2_only,
                    on_phase=on_phase,
                    repeatable=request.repeatable,
                    may_precede_settings=request.may_precede_settings,
                )
            if http2_only:
                check_http2_spoken(connection, request)
            return connection

        wish = _HTTP2_ALONE if http2_only else DEFAULT
        try:
            result = await self.send_with_retries(request, connect, receive, budget, wish, on_phase)
        except H2WSError as error:
            if not wants_http1(error, request):
                raise
            if http2 != "require":
                known.requests_over_http1.put(origin, "refused")  # this one could not be sent again, the next are
                raise
            if isinstance(error, HTTP2NotAvailable):
                raise
            raise http1_required(f"{origin} requires HTTP/1.1 for this request", error) from error
        if moved:
            known.requests_over_http1.put(origin, "refused")
        return result

    async def send_with_retries(
        self,
        request: PreparedRequest,
        connect: Callable[[Way], Awaitable[Connection]],
        receive: Callable[[Stream], Awaitable[T]],
        budget: Budget,
        wish: Wish = DEFAULT,
        on_phase: OnPhase | None = None,
    ) -> tuple[Stream, T]:
        """Send it, and again as `retries.py` decides. `connect(way)` gives the connection for one try."""
        way = Way.SHARED
        while True:
            stream: Stream | None = None
            try:
                connection = await connect(way)
                stream = self._begin(connection, request)
                stream.may_move = request.repeatable and request.body.rewindable and budget.is_left
                if way is Way.ALONE:
                    connection.retire()
                if on_phase is not None:
                    on_phase("head")
                result = await receive(stream)
                if stream.response is None or stream.response[0] != 421 or not self._is_shared(stream, request):
                    return stream, result
                decision = budget.decide(Failure.MISDIRECTED, replayable=request.body.replayable)
                if decision.action is Action.NO:
                    return stream, result
                stream.close()
                self.pool.unshare(request.url.origin)
            except H2WSError as error:
                decision = self._after(error, stream, way, request, budget, wish)
                if stream is not None:
                    stream.close()
                if decision.action is Action.NO:
                    raise
            except BaseException:
                if stream is not None:
                    stream.give_up()
                raise
            way = _WAYS.get(decision.action, way)
            await trio.sleep(decision.seconds)

    def _after(
        self,
        error: H2WSError,
        stream: Stream | None,
        way: Way,
        request: PreparedRequest,
        budget: Budget,
        wish: Wish,
    ) -> Decision:
        """What follows a try that failed."""
        calm = stream is not None and stream.connection.calm.asked_just_now
        failure = failure_of(error, calm) if not self.pool.is_closed else Failure.FINAL
        if isinstance(error, WebSocketRejected) and error.status == 421 and self._is_shared(stream, request):
            failure = Failure.MISDIRECTED
        large = request.large_head
        suspect = stream is not None and stream.is_newest and large is not None
        budget.note(error)
        decision = budget.decide(
            failure,
            repeatable=request.repeatable,
            replayable=request.body.replayable,
            reused=stream is not None and stream.reused,
            answered=stream is not None and stream.answered,
            in_body=stream is not None and stream.in_body,
            bounded=stream is not None and stream.bounded,
            refused_while_open=stream is not None and stream.connection.is_open,
            multiplexed=stream is not None and stream.connection.engine.can_ping,
            suspect=suspect,
            alone=way is Way.ALONE,
            wish=wish,
        )
        if decision.action is Action.NO and ended_a_connection(failure):
            if way is Way.ALONE:
                explain(error, "other connections ended under the same request, and this one carried nothing else")
            if large is not None and (suspect or way is Way.ALONE):
                explain(error, f"{large}, which may be more than the server takes")
        if decision.action is not Action.NO:
            if self._events.wanted:
                origin = str(request.url.origin)
                self._events.emit(RequestRetried(request.method, origin, error, failure.value, decision.seconds))
            if failure is Failure.MISDIRECTED:
                self.pool.unshare(request.url.origin)
            elif failure is Failure.LOST:
                self.pool.retire_idle(request.url.origin)
        return decision

    def _is_shared(self, stream: Stream | None, request: PreparedRequest) -> bool:
        """Whether it was sent on a connection of another origin."""
        return stream is not None and stream.connection.origin != str(request.url.origin)

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
            request.trailers is not None,
        )
        ends = body.whole == b"" and request.trailers is None and not is_connect
        stream = connection.open(head, end_stream=ends, is_head=request.method == "HEAD", is_connect=is_connect)
        stream.bounded = connection.calm.is_bounded
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
    """Whether the server wants the request over HTTP/1.1, where sending it again does no harm."""
    failure = failure_of(error)
    return failure is Failure.HTTP1_REQUIRED or (failure is Failure.TERMINATED_FOR_HTTP1 and request.repeatable)


def http1_required(message: str, error: H2WSError) -> HTTP2NotAvailable:
    """The error of a call that requires HTTP/2."""
    result = HTTP2NotAvailable("refused", message)
    result.may_have_been_processed = error.may_have_been_processed
    return result


def make_response(stream: Stream, request: PreparedRequest, limit: int | None) -> Response:
    assert stream.response is not None
    status, fields = stream.response
    version: str = stream.connection.engine.protocol
    response: Response = Response._create(
        stream, status, fields, method=request.method, url=request.url.text, http_version=version, limit=limit
    )
    return response
