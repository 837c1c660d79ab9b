"""One request of httpx or httpx2: its deadlines, its body and its errors.

Deadlines. The libraries have four timeouts, each for one step. Here a single call waits for the head of a response,
so it runs in a cancel scope whose deadline moves (`HeadDeadline`): the step in progress sets the deadline and names
the exception. The client reports the steps (`on_phase`), and a body that is sent in parts moves the deadline with
each part.

Bodies. A short body is passed on as bytes, and the client itself sends it again if the server did not process it. A
long one takes time to send, and `read` must not run in that time: it is sent in parts, and this transport sends it
again in that case.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import trio

import trio_h2ws

if TYPE_CHECKING:
    from typing import Self

_PART = 64 * 1024

_TIMEOUTS = {
    "connect": ("ConnectTimeout", "no connection to {}"),
    "pool": ("PoolTimeout", "no stream or connection to {} became free"),
    "write": ("WriteTimeout", "{} accepted no more of the request"),
    "read": ("ReadTimeout", "{} sent nothing"),
}
_OF_PHASE = {"queue": "pool", "connect": "connect", "head": "read"}
_BOUNDS_OF_THE_POOL = ("max_connections_per_origin", "max_connections")
# The first match counts.
_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (trio_h2ws.ConnectFailed, "ConnectError"),
    (trio_h2ws.ConnectionTerminated, "RemoteProtocolError"),
    (trio_h2ws.ConnectionLost, "ReadError"),
    (trio_h2ws.LocalProtocolError, "LocalProtocolError"),
    (trio.ClosedResourceError, "ConnectError"),  # the client was closed while the request waited for a connection
    (trio_h2ws.H2WSError, "RemoteProtocolError"),  # resets, refusals, protocol errors, exceeded limits
    (Exception, "LocalProtocolError"),  # ValueError and TypeError: the request can't be sent
)


class OutgoingRequest:
    """A request, with the library that made it."""

    def __init__(self, library: Any, request: Any) -> None:
        self.library = library
        self.request = request
        self.origin: str = f"{request.url.scheme}://{request.url.netloc.decode()}"
        self.timeouts: Mapping[str, float | None] = request.extensions.get("timeout") or {}
        self.data: bytes | None
        try:
            self.data = request.content
        except library.RequestNotRead:
            self.data = None
        self.in_parts = self.data is None or len(self.data) > _PART
        self._body_error: Exception | None = None  # raised by the user's stream: not to be translated

    def content(self, deadline: HeadDeadline) -> bytes | AsyncGenerator[bytes, None] | None:
        """The body for `Client.stream`. Sent in parts, it moves the deadline with each of them."""
        return self._parts(deadline) if self.in_parts else self.data or None

    async def _parts(self, deadline: HeadDeadline) -> AsyncGenerator[bytes, None]:
        if self.data is not None:
            for start in range(0, len(self.data), _PART):
                deadline.expect("write")
                yield self.data[start : start + _PART]
            deadline.expect("read")
            return
        deadline.expect(None)
        parts = aiter(self.request.stream)
        try:
            async for part in parts:
                deadline.expect("write")
                yield part
                deadline.expect(None)
        except Exception as error:
            self._body_error = error
            raise
        finally:
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()
        deadline.expect("read")

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Raise errors of trio_h2ws as errors of the library, with the original as the cause."""
        try:
            yield
        except (trio_h2ws.H2WSError, trio.ClosedResourceError, ValueError, TypeError) as error:
            if error is self._body_error:
                raise
            name = next(name for kind, name in _ERRORS if isinstance(error, kind))
            if isinstance(error, trio_h2ws.LimitExceeded) and error.bound in _BOUNDS_OF_THE_POOL:
                name = "PoolTimeout"
            elif isinstance(error.__cause__, zlib.error):
                name = "DecodingError"
            raise getattr(self.library, name)(str(error), request=self.request) from error

    def timeout(self, kind: str, seconds: float) -> Exception:
        """The library's exception for a timeout."""
        name, words = _TIMEOUTS[kind]
        message = f"{words.format(self.origin)} within {seconds:g} s"
        error: Exception = getattr(self.library, name)(message, request=self.request)
        return error


class HeadDeadline:
    """The moving deadline for the head of one response."""

    def __init__(self, outgoing: OutgoingRequest) -> None:
        self._outgoing = outgoing
        self._kind: str | None = None
        self._since = 0.0
        self._waited = {"pool": 0.0, "connect": 0.0}
        self._scope = trio.CancelScope()

    def enter(self, phase: str) -> None:
        """The call waits for something else now: `on_phase` of `Client.stream`. A wait for a connection that is
        interrupted by one in the queue, or the reverse, is not given its time again."""
        if phase == "head":
            self._waited = dict.fromkeys(self._waited, 0.0)
        self.expect(_OF_PHASE[phase])

    def expect(self, kind: str | None) -> None:
        """The next step must come within this timeout. Without any, it may take as long as it likes."""
        now = trio.current_time()
        if self._kind in self._waited:
            self._waited[self._kind] += now - self._since
        self._kind, self._since = kind, now
        seconds = self._seconds()
        self._scope.deadline = math.inf if seconds is None else now + seconds - self._waited.get(str(kind), 0.0)

    def _seconds(self) -> float | None:
        return None if self._kind is None else self._outgoing.timeouts.get(self._kind)

    async def wait_for_head(self, call: AbstractAsyncContextManager[trio_h2ws.Response]) -> trio_h2ws.Response:
        """The response, as soon as its head has arrived. Raises the library's exception for a timeout."""
        with self._scope:
            return await call.__aenter__()
        seconds = self._seconds()
        assert self._kind is not None
        assert seconds is not None
        raise self._outgoing.timeout(self._kind, seconds)


class ResponseBody:
    """The body of a response. `response_body_class` derives it from a library's AsyncByteStream."""

    def __init__(
        self,
        outgoing: OutgoingRequest,
        call: AbstractAsyncContextManager[trio_h2ws.Response],
        response: trio_h2ws.Response,
        trailers: Any,
    ) -> None:
        seconds = outgoing.timeouts.get("read")
        self._outgoing = outgoing
        self._call = call
        self._response = response
        self._seconds = math.inf if seconds is None else seconds
        self._trailers = trailers
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        with self._outgoing.translated_errors(), trio.move_on_after(self._seconds):
            try:
                return await anext(self._response)
            except StopAsyncIteration:
                self._trailers.update(type(self._trailers)(self._response.trailers.raw))
                raise
        raise self._outgoing.timeout("read", self._seconds)

    async def aclose(self) -> None:
        """Before the end of the body, reset the stream. Not a checkpoint, so it also works in a cancelled task."""
        if not self._closed:
            self._closed = True
            await self._call.__aexit__(None, None, None)


@cache
def response_body_class(library: Any) -> Any:
    """A subclass of `ResponseBody` that the library accepts as a stream."""
    return type("ResponseBody", (ResponseBody, library.AsyncByteStream), {"__module__": __name__})
