"""One request of httpx or httpx2 on its way: its deadlines, its body, its errors.

Deadlines. The libraries have four, each for the time between two steps. The wait for a response's head is one call
here, so a scope with a moving deadline is around it (`HeadDeadline`): what the request waits for sets the deadline, and
names the exception. A body that goes in parts tells when it moves on. Whether the connection is there can only be
looked at, in `client.connections`; whether a stream has come free can't be seen, so where all are taken `pool` and
`read` count together.

Bodies. Bytes go as bytes, and the client itself sends them again when the server did nothing with them. Many bytes
take time, and `read` must not run in that time: they go in parts, and are sent again by the transport.
"""

from __future__ import annotations

import math
import re
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
_POLL_INTERVAL = 0.01  # seconds between two looks whether the connection is there

_TIMEOUTS = {
    "connect": ("ConnectTimeout", "no connection to {}"),
    "pool": ("PoolTimeout", "no stream to {} came free"),
    "write": ("WriteTimeout", "{} took no more of the request"),
    "read": ("ReadTimeout", "{} sent nothing"),
}
# The first that fits.
_ERRORS: tuple[tuple[type[Exception], str], ...] = (
    (trio_h2ws.ConnectFailed, "ConnectError"),
    (trio_h2ws.ConnectionTerminated, "RemoteProtocolError"),
    (trio_h2ws.ConnectionLost, "ReadError"),
    (trio_h2ws.LocalProtocolError, "LocalProtocolError"),
    (trio_h2ws.H2WSError, "RemoteProtocolError"),  # resets, refusals, broken rules, passed bounds
    (Exception, "LocalProtocolError"),  # ValueError and TypeError: what can't be sent
)


class OutgoingRequest:
    """A request, and what it needs of the library that made it."""

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
        self._body_error: Exception | None = None  # what the user's own stream raised: it is not ours to translate

    def content(self, deadline: HeadDeadline) -> bytes | AsyncGenerator[bytes, None] | None:
        """The body as the client wants it. It moves the deadline when it moves on."""
        return self._parts(deadline) if self.in_parts else self.data or None

    async def _parts(self, deadline: HeadDeadline) -> AsyncGenerator[bytes, None]:
        if self.data is not None:
            for start in range(0, len(self.data), _PART):
                deadline.expect("write")
                yield self.data[start : start + _PART]
            deadline.expect("read")
            return
        deadline.expect()
        parts = aiter(self.request.stream)
        try:
            async for part in parts:
                deadline.expect("write")
                yield part
                deadline.expect()
        except Exception as error:
            self._body_error = error
            raise
        finally:
            if isinstance(parts, AsyncGenerator):
                await parts.aclose()
        deadline.expect("read")

    @contextmanager
    def translated_errors(self) -> Iterator[None]:
        """Our errors as the library's, with ours as the cause."""
        try:
            yield
        except (trio_h2ws.H2WSError, ValueError, TypeError) as error:
            if error is self._body_error:
                raise
            name = next(name for kind, name in _ERRORS if isinstance(error, kind))
            if isinstance(error, trio_h2ws.LimitExceeded) and error.bound == "max_connections_per_origin":
                name = "PoolTimeout"
            elif isinstance(error.__cause__, zlib.error):
                name = "DecodingError"
            raise getattr(self.library, name)(str(error), request=self.request) from error

    def timeout(self, kind: str, seconds: float) -> Exception:
        """The library's exception for a wait that was too long."""
        name, words = _TIMEOUTS[kind]
        message = f"{words.format(self.origin)} within {seconds:g} s"
        error: Exception = getattr(self.library, name)(message, request=self.request)
        return error


class HeadDeadline:
    """How long the head of one response is waited for."""

    def __init__(self, outgoing: OutgoingRequest, client: trio_h2ws.Client) -> None:
        self._outgoing = outgoing
        self._client = client
        # As connections say it: without the dot that may end a host name.
        self._origin = re.sub(r"\.(?=$|:[0-9]+$)", "", outgoing.origin)
        self._kind = "read"
        self._seconds = math.inf
        self._scope = trio.CancelScope()
        self._polling = trio.CancelScope()

    def expect(self, *kinds: str) -> None:
        """The next step must come within the time of these together. None: it is the caller's own, and may last."""
        limits = [self._outgoing.timeouts.get(kind) for kind in kinds] or [None]
        self._kind = kinds[0] if kinds else "read"
        self._seconds = sum(math.inf if limit is None else limit for limit in limits)
        self._scope.deadline = trio.current_time() + self._seconds

    async def wait_for_head(self, call: AbstractAsyncContextManager[trio_h2ws.Response]) -> trio_h2ws.Response:
        """The response, as soon as its head is here. Raises the library's own word for a wait that was too long."""
        if all(limit is None for limit in self._outgoing.timeouts.values()):
            return await call.__aenter__()
        connections = self._connections()
        if not connections:
            self.expect("connect")
            # No nursery: it would put the caller's Cancelled, or our error, into a group.
            trio.lowlevel.spawn_system_task(self._until_connected)
        elif all(connection.streams_in_use >= connection.streams_allowed for connection in connections):
            self.expect("pool", "read")
            if not self._outgoing.in_parts:
                # It can't be known which of the two it waits for, and PoolTimeout would say that nothing was sent.
                self._kind = "read"
        else:
            self.expect("read")
        try:
            with self._scope:
                return await call.__aenter__()
        finally:
            self._polling.cancel()
        raise self._outgoing.timeout(self._kind, self._seconds)

    def _connections(self) -> list[trio_h2ws.ConnectionInfo]:
        return [info for info in self._client.connections if info.origin == self._origin and not info.draining]

    async def _until_connected(self) -> None:
        with self._polling:
            while not self._connections():  # noqa: ASYNC110  # there is no event for it
                await trio.sleep(_POLL_INTERVAL)
            if self._kind == "connect":  # a body in parts may have moved it on already
                self.expect("read")


class ResponseBody:
    """The body of a response, to be joined with a library's AsyncByteStream by `response_body_class`."""

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
        """Before the end of the body, this resets the stream. No checkpoint: it works in a cancelled task, too."""
        if not self._closed:
            self._closed = True
            await self._call.__aexit__(None, None, None)


@cache
def response_body_class(library: Any) -> Any:
    """A `ResponseBody` that the library accepts as a stream of its own."""
    return type("ResponseBody", (ResponseBody, library.AsyncByteStream), {"__module__": __name__})
