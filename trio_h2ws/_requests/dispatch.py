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
        history: tuple[Response, ...] = ()
        while True:
            collect = _Whole(request, limit, follow, budget).collect
            stream, raw = await self.send(request, collect, http2, budget)
            stream.close()  # does nothing if both sides have ended; else the rest of the upload is not wanted
            response = make_response(stream, request, limit)
            following = self._follow(request, response, history) if follow else None
            if following is None:
                await response._decode(raw)
                return response
            response._keep(raw, BEGINNING)
            history = (*history, response)
            request = following
            budget.next_request()

    async def start(
        self, request: PreparedRequest, http2: HTTP2, follow: bool, on_phase: OnPhase | None = None
    ) -> tuple[Stream, Response]:
        """The response as soon as its headers are here, after any redirects. The caller must close the stream."""
        budget = self.new_budget()
        history: tuple[Response, ...] = ()
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
            history = (*history, response)
            request = following
            budget.next_request()

    def new_budget(self) -> Budget:
        """For the retries of one call."""
        return Budget(self.limits.max_retries)

    def _follow(
        self, request: PreparedRequest, response: Response, history: tuple[Response, ...]
    ) -> PreparedRequest | None:
        response.history = history
        following = redirected(request, response.status, response.headers)
        if following is not None and len(history) >= self.limits.max_redirects:
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
        connections = _Connections(self.pool, request, protocol, http2 == "require", on_phase)
        wish = _HTTP2_ALONE if http2 == "require" else DEFAULT
        try:
            result = await self.send_with_retries(request, connections.get, receive, budget, wish, on_phase)
        except H2WSError as error:
            if not wants_http1(error, request):
                raise
            if http2 != "require":
                known.requests_over_http1.put(origin, "refused")  # this one could not be sent again, the next are
                raise
            if isinstance(error, HTTP2NotAvailable):
                raise
            raise http1_required(f"{origin} requires HTTP/1.1 for this request", error) from error
        if connections.way is Way.HTTP1:
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
                if stream.response is None or stream.response[0] != 421 or not _is_shared(stream, request):
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
        if isinstance(error, WebSocketRejected) and error.status == 421 and _is_shared(stream, request):
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


# The two classes below could be closures. But thousands of calls may be under way at once, the garbage collector
# looks at all their objects again and again, and each variable of a closure is another one.


class _Connections:
    """Gives each try of one request its connection. `way` is that of the last try."""

    __slots__ = ("_http2_only", "_on_phase", "_pool", "_protocol", "_request", "way")

    def __init__(
        self,
        pool: Pool,
        request: PreparedRequest,
        protocol: ProtocolChoice,
        http2_only: bool,
        on_phase: OnPhase | None,
    ) -> None:
        self._pool = pool
        self._request = request
        self._protocol = protocol
        self._http2_only = http2_only
        self._on_phase = on_phase
        self.way = Way.SHARED

    async def get(self, way: Way) -> Connection:
        request, origin = self._request, self._request.url.origin
        self.way = way
        if way is Way.ALONE:
            connection = await self._pool.single.alone(origin, self._protocol, self._on_phase)
        else:
            connection = await self._pool.acquire(
                origin,
                ProtocolChoice.HTTP1 if way is Way.HTTP1 else self._protocol,
                http2_only=self._http2_only,
                on_phase=self._on_phase,
                repeatable=request.repeatable,
                may_precede_settings=request.may_precede_settings,
            )
        if self._http2_only:
            check_http2_spoken(connection, request)
        return connection


class _Whole:
    """Collects the whole body of the response to one request."""

    __slots__ = ("_budget", "_follow", "_limit", "_request")

    def __init__(self, request: PreparedRequest, limit: int | None, follow: bool, budget: Budget) -> None:
        self._request = request
        self._limit = limit
        self._follow = follow
        self._budget = budget

    def collect(self, stream: Stream) -> Awaitable[bytes]:
        return Collector(stream, self._limit, self._is_discarded).wait()

    def _is_discarded(self, stream: Stream) -> bool:
        """Whether the caller will not get the response that has begun."""
        assert stream.response is not None
        status, fields = stream.response
        if status == 421 and _is_shared(stream, self._request):
            return self._budget.allows(Failure.MISDIRECTED, replayable=self._request.body.replayable)
        return self._follow and leads_on(self._request, status, Headers(fields))


def _is_shared(stream: Stream | None, request: PreparedRequest) -> bool:
    """Whether it was sent on a connection of another origin."""
    return stream is not None and stream.connection.origin != str(request.url.origin)


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
