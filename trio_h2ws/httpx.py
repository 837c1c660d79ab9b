"""A transport for httpx and httpx2: their API over one HTTP/2 connection per origin.

    async with trio_h2ws.open_client() as client:
        async with httpx.AsyncClient(transport=AsyncTransport(client)) as http:
            response = await http.get("https://example.org/")

Without a client, the transport opens one (`_httpx_client.py`): when it is entered, or with the first request.

One class serves both libraries. The class of a request shows which of them made it, and the response and exceptions
come from that library. So neither is imported here, and neither is a dependency.

Content-encoding. `trio_h2ws.Response` decodes gzip and deflate, and httpx would decode the body again, so the headers
about the encoding are removed. Requesting no encoding instead would waste bandwidth, and some servers send gzip
anyway. Encodings that `Response` does not decode (br, zstd) are left to httpx.

In this module as well, `import httpx` means the library: imports are absolute.
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
from ._httpx_client import BackgroundClient

if TYPE_CHECKING:
    from typing import Self

    import httpx
    import httpx2

    class _Base(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):  # type: ignore[misc]
        """For type checkers, so that either library accepts the transport. At run time, neither checks its class."""

else:
    _Base = object

__all__ = ["AsyncTransport"]

_LIBRARIES = ("httpx", "httpx2")
_MAX_TRIES = 5  # of a request with a body in parts that the server does not process

# About the connection (RFC 9113, section 8.2.2), which trio_h2ws manages. httpx itself adds the first and the last.
_CONNECTION_SPECIFIC = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding"))
_UNSUPPORTED = ("sni_hostname", "target")
_DECODED_BY_RESPONSE = frozenset(("gzip", "x-gzip", "deflate"))
_NOT_DECODED = frozenset((204, 206, 304))


class AsyncTransport(_Base):
    """The transport of an `httpx.AsyncClient` or `httpx2.AsyncClient` under Trio:
    `AsyncClient(transport=AsyncTransport(client))`.

    - `client`: the `trio_h2ws.Client` to use. The transport does not close it. Requests and WebSockets of the client
      itself use the same connections.
    - `options`: without a client, the options of `trio_h2ws.open_client`. The transport then opens a client itself:
      when it is entered (`async with` on it or on the `AsyncClient`), or with the first request. It closes it when it
      is left, or by `aclose()`, in whatever task; a later request opens another one. If it is never closed, the
      client ends with `trio.run`, and there is a ResourceWarning.

    Raises ImportError if neither library is installed, and TypeError if both a client and options are given.

    `response.extensions` contains `http_version`, `stream_id` (over HTTP/2) and `trailers`, a `Headers` of that
    library, which is empty until the body has been read. Timeouts and errors are raised as exceptions of the library;
    the `trio_h2ws` error, if there is one, is the `__cause__`.
    """

    def __init__(self, client: trio_h2ws.Client | None = None, **options: Any) -> None:
        if not any(name in sys.modules or importlib.util.find_spec(name) is not None for name in _LIBRARIES):
            raise ImportError("trio_h2ws.httpx requires httpx or httpx2: pip install 'trio_h2ws[httpx]'")
        if client is not None and options:
            raise TypeError("pass either a client or the options of a new one, not both")
        self._client = client
        self._options = options
        self._owned: BackgroundClient | None = None
        self._entered = 0

    async def __aenter__(self) -> Self:
        # An AsyncClient enters the transport once more for each mount that uses it.
        await self._open_client()
        self._entered += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._entered -= 1
        if self._entered <= 0:
            await self._close(gracefully=exc_value is None or isinstance(exc_value, Exception))

    async def aclose(self) -> None:
        """Close the client if the transport opened it, and wait for its end; requests that are under way fail. A
        client that was passed in stays open.

        Cancelled, it does not wait for what is queued to be sent.
        """
        await self._close(gracefully=True)

    async def _close(self, *, gracefully: bool) -> None:
        self._entered = 0
        if self._owned is not None:
            await self._owned.aclose(gracefully=gracefully)

    async def _open_client(self) -> trio_h2ws.Client:
        """The client to use; if the transport owns it, it is opened now unless it is open."""
        if self._client is not None:
            return self._client
        if self._owned is None or not self._owned.is_usable:
            self._owned = BackgroundClient(trio_h2ws.open_client(**self._options))
        return await self._owned.client()

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request of httpx or httpx2. Returns the response as soon as its head has arrived.

        Raises the exceptions of that library: UnsupportedProtocol for a WebSocket or an unsupported extension,
        `ConnectTimeout`, `ReadError` and so on. Cancelled, it resets the stream of the request.
        """
        library = _library(request)
        headers = _request_headers(library, request)
        outgoing = OutgoingRequest(library, request)
        client = await self._open_client()
        with outgoing.translated_errors():
            call, response = await _send(client, outgoing, headers)
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
    """Send the request. Returns the response, and the context manager that has to be exited after it."""
    request = outgoing.request
    url = outgoing.origin + request.url.raw_path.decode()
    tries = 1
    while True:
        deadline = HeadDeadline(outgoing)
        content = outgoing.content(deadline)
        # httpx follows redirects itself.
        call = client.stream(
            request.method, url, headers=headers, content=content, follow_redirects=False, on_phase=deadline.enter
        )
        try:
            return call, await deadline.wait_for_head(call)
        except trio_h2ws.RequestNotProcessed:
            # A body in one piece has been retried by the client, and a stream can't be sent again.
            if not outgoing.in_parts or outgoing.data is None or tries == _MAX_TRIES:
                raise
        await trio.sleep(0.05 * (tries - 1))
        tries += 1


def _library(request: object) -> Any:
    """The module httpx or httpx2, whichever made this request. It has been imported already."""
    for kind in type(request).__mro__:
        name = kind.__module__.partition(".")[0]
        if name in _LIBRARIES:
            return sys.modules[name]
    raise TypeError(f"the request must be from httpx or httpx2, not {type(request).__name__}")


def _request_headers(library: Any, request: Any) -> list[tuple[bytes, bytes]]:
    """The headers to send. Raises the library's UnsupportedProtocol for a request that this transport can't send."""
    if request.url.scheme not in ("http", "https") or "upgrade" in request.headers:
        url = f"{request.url.scheme}://{request.url.netloc.decode()}"  # not all of it: it may contain a password
        message = f"{url}: use trio_h2ws.Client.websocket for a WebSocket, over the same connection"
        raise library.UnsupportedProtocol(message, request=request)
    for name in _UNSUPPORTED:
        if name in request.extensions:
            message = f"trio_h2ws does not support the extension {name!r}: leave it out"
            raise library.UnsupportedProtocol(message, request=request)
    return [(name, value) for name, value in request.headers.raw if name.lower() not in _CONNECTION_SPECIFIC]


def _response_headers(response: trio_h2ws.Response) -> list[tuple[bytes, bytes]]:
    """The headers of the response, without those that the decoding of the body has made wrong."""
    names = {name.strip().lower() for name in response.headers.get("content-encoding", "").split(",")}
    undone = names - {"", "identity"}
    if (
        not undone
        or not undone <= _DECODED_BY_RESPONSE
        or response.method == "HEAD"
        or response.status in _NOT_DECODED
    ):
        return response.headers.raw
    gone = (b"content-encoding", b"content-length")
    return [(name, value) for name, value in response.headers.raw if name.lower() not in gone]
