"""A transport for httpx and httpx2: their API, on one HTTP/2 connection per origin.

    async with trio_h2ws.open_client() as client:
        async with httpx.AsyncClient(transport=AsyncTransport(client)) as http:
            response = await http.get("https://example.org/")

One class serves both libraries. A request tells which of them it is from, and gets a response and exceptions of the
same. So nothing of them is imported here, and neither is a dependency.

Content-encoding. `trio_h2ws.Response` undoes gzip and deflate, and httpx would do it once more: so the headers that
speak of it are left out. To ask for identity instead would cost everybody the bandwidth, and some servers send gzip
anyway. What `Response` leaves as it is (br, zstd) is httpx's to undo.

`import httpx` is the library in this module, too: imports are absolute.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any

import trio

import trio_h2ws

from ._httpx import HeadDeadline, OutgoingRequest, response_body_class

if TYPE_CHECKING:
    from typing import Self

    import httpx
    import httpx2

    class _Base(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):  # type: ignore[misc]
        """For type checkers: it goes where either library wants a transport. The libraries themselves never look."""

else:
    _Base = object

__all__ = ["AsyncTransport"]

_LIBRARIES = ("httpx", "httpx2")
_MAX_TRIES = 5  # for a body in parts that the server does nothing with

# About the connection (RFC 9113, section 8.2.2), which is ours. httpx sends the first and the last by itself.
_CONNECTION_SPECIFIC = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding"))
_UNSUPPORTED = ("sni_hostname", "target")
_DECODED_BY_RESPONSE = frozenset(("gzip", "x-gzip", "deflate"))


class AsyncTransport(_Base):
    """For `httpx.AsyncClient(transport=AsyncTransport(client))`, and the same for httpx2. It needs Trio.

    - `client`: a `trio_h2ws.Client` to borrow. It stays open; its own requests and WebSockets share the connections.
    - `options`: without a client, those of `trio_h2ws.open_client`. The transport then owns a client, which is open
      while the transport is: use `async with`, on the transport or on the `AsyncClient`.

    `response.extensions` has `http_version`, `stream_id` (of HTTP/2) and `trailers`, a `Headers` that is empty until
    the body has been read. Timeouts and errors are those of the library, with ours as `__cause__`.
    """

    def __init__(self, client: trio_h2ws.Client | None = None, **options: Any) -> None:
        if not any(name in sys.modules or importlib.util.find_spec(name) is not None for name in _LIBRARIES):
            raise ImportError("trio_h2ws.httpx needs httpx or httpx2: pip install 'trio_h2ws[httpx]'")
        if client is not None and options:
            raise TypeError("give a client, or options for a client of its own, not both")
        self._client = client
        self._options = options
        self._owned: AbstractAsyncContextManager[trio_h2ws.Client] | None = None
        self._entered = 0

    async def __aenter__(self) -> Self:
        # An AsyncClient enters a transport again for each of its mounts that it is.
        if self._client is None:
            self._owned = trio_h2ws.open_client(**self._options)
            self._client = await self._owned.__aenter__()
        self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._entered -= 1
        if self._entered <= 0 and self._owned is not None:
            owned, self._owned, self._client = self._owned, None, None
            await owned.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        """Close the client that it owns. A borrowed one stays as it is."""
        self._entered = 0
        await self.__aexit__()

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request of httpx or httpx2, and give the response as soon as its head is here."""
        library = _library(request)
        if self._client is None:
            raise RuntimeError("this transport owns its client: use `async with`, on it or on the AsyncClient")
        headers = _request_headers(library, request)
        outgoing = OutgoingRequest(library, request)
        with outgoing.translated_errors():
            call, response = await _send(self._client, outgoing, headers)
        trailers = library.Headers()
        extensions: dict[str, Any] = {"http_version": response.http_version.encode(), "trailers": trailers}
        if response.stream_id is not None:
            extensions["stream_id"] = response.stream_id
        stream = response_body_class(library)(outgoing, call, response, trailers)
        return library.Response(
            response.status, headers=_response_headers(response), stream=stream, extensions=extensions
        )


async def _send(
    client: trio_h2ws.Client, outgoing: OutgoingRequest, headers: list[tuple[bytes, bytes]]
) -> tuple[AbstractAsyncContextManager[trio_h2ws.Response], trio_h2ws.Response]:
    """The response, and the context manager that it has been taken from."""
    request = outgoing.request
    url = outgoing.origin + request.url.raw_path.decode()
    tries = 1
    while True:
        deadline = HeadDeadline(outgoing, client)
        content = outgoing.content(deadline)
        # Redirects are httpx's business.
        call = client.stream(request.method, url, headers=headers, content=content, follow_redirects=False)
        try:
            return call, await deadline.wait_for_head(call)
        except trio_h2ws.RequestNotProcessed:
            # Bytes in one piece have been tried again by the client, and a stream can't be.
            if not outgoing.in_parts or outgoing.data is None or tries == _MAX_TRIES:
                raise
        await trio.sleep(0.05 * (tries - 1))
        tries += 1


def _library(request: object) -> Any:
    """httpx or httpx2: whichever made this request is imported already."""
    for kind in type(request).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in _LIBRARIES:
            return sys.modules[name]
    raise TypeError(f"this transport is for requests of httpx and httpx2, not for {type(request).__name__}")


def _request_headers(library: Any, request: Any) -> list[tuple[bytes, bytes]]:
    """The request's headers. Raises the library's UnsupportedProtocol for what this transport can't do."""
    if request.url.scheme not in ("http", "https") or "upgrade" in request.headers:
        message = f"{request.url}: use trio_h2ws.Client.websocket for WebSockets; they share the connection"
        raise library.UnsupportedProtocol(message, request=request)
    for name in _UNSUPPORTED:
        if name in request.extensions:
            raise library.UnsupportedProtocol(f"trio_h2ws has no extension {name!r}", request=request)
    return [(name, value) for name, value in request.headers.raw if name.lower() not in _CONNECTION_SPECIFIC]


def _response_headers(response: trio_h2ws.Response) -> list[tuple[bytes, bytes]]:
    """The response's headers, without those that are not true of the body any more."""
    names = {name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")}
    undone = names - {"", "identity"}
    if not undone or not undone <= _DECODED_BY_RESPONSE or response.method == "HEAD" or response.status in (204, 304):
        return response.headers.raw
    gone = (b"content-encoding", b"content-length")
    return [(name, value) for name, value in response.headers.raw if name.lower() not in gone]
