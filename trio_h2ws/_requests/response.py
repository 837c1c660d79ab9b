"""What a user holds of one response.

After `Client.request` the body is here whole (`collector.py` has collected it). Inside `Client.stream` it comes in
pieces: the user's task takes them from the stream's inbox as it needs them, and the peer gets credit for what was
taken.
"""

from __future__ import annotations

import json as _json
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from typing import Any

import trio

from .._connection.info import ConnectionInfo
from .._connection.stream import Stream
from .._errors import HTTPStatusError, LimitExceeded, RemoteProtocolError
from .._http.charset import charset
from .._http.headers import Headers, RawFields
from .._http.retry_after import retry_after
from .._protocols.pieces import add_piece
from .._util import PrivateConstructor
from .content_encoding import Decoder
from .detached import DetachedStream, detached

# How much may be decoded without a checkpoint: bytes that came out, and _WORK for each piece, which may be empty. It
# takes about a millisecond.
_WORK = 16 * 1024
_WORK_WITHOUT_CHECKPOINT = 256 * 1024


class Response(metaclass=PrivateConstructor):
    """A response. After `Client.request` its body is in `content`; inside `Client.stream` it is read as it comes.

    `async for chunk in response` gives the body in bytes, with any content-encoding (gzip, deflate) undone, except in
    a 206: a part of an encoded body is given as it came (RFC 9110, section 15.3.7). It raises
    `ConnectionLost`, `StreamReset`, `RemoteProtocolError`, and `trio.ClosedResourceError` after the block. Cancelled,
    it has taken nothing, so reading may be continued. One task at a time may read: another gets
    `trio.BusyResourceError`.

    It can be pickled and copied. A copy holds what was known when it was made (the body only if it was read, and a
    snapshot of the connection), and nothing of the connection itself.
    """

    __slots__ = (
        "_content",
        "_cut_short",
        "_decoder",
        "_finished",
        "_limit",
        "_lost",
        "_pieces",
        "_stream",
        "headers",
        "history",
        "http_version",
        "method",
        "status",
        "stream_id",
        "url",
    )

    def __init__(
        self,
        stream: Stream,
        status: int,
        fields: RawFields,
        *,
        method: str,
        url: str,
        http_version: str,
        limit: int | None,
    ) -> None:
        self.status = status
        """The status code, 200 to 599 and beyond."""
        self.headers = Headers(fields)
        self.http_version = http_version
        """ "HTTP/2" or "HTTP/1.1", also for a server that answers in HTTP/1.0."""
        self.method = method
        """The method of the request that this answers; a redirect may have changed it."""
        self.url = url
        """The URL of that request, with any fragment, which is not sent; never with `user:password@`."""
        self.history: tuple[Response, ...] = ()
        """The redirects that led here, oldest first. Only the first 8 KiB of the body of each are read and kept: if
        there was more, its `may_be_truncated` is true. After `Client.stream` their bodies have not been read."""
        self.stream_id: int | None = stream.id or None
        """The HTTP/2 stream's number; None over HTTP/1.1."""
        self._stream: Stream | DetachedStream = stream
        self._limit = limit
        self._content: bytes | None = None
        self._pieces: Iterator[bytes] | None = None
        self._finished = False  # the stream's end was handed to the decoder
        self._cut_short = False
        self._lost = False  # `read` was cancelled when it had a part of the body
        encoding = self.headers.get("content-encoding")
        # A part of an encoded body can't be decoded alone (206: RFC 9110, section 15.3.7).
        self._decoder = Decoder(encoding) if encoding and method != "HEAD" and status != 206 else None

    @property
    def connection(self) -> ConnectionInfo:
        """A snapshot of the connection that carried it."""
        return self._stream.connection.info()

    @property
    def trailers(self) -> Headers:
        """The trailer fields; empty until the body has been read, and when there were none."""
        return Headers(self._stream.received_trailers or ())

    @property
    def may_be_truncated(self) -> bool:
        """Whether the body may lack its end. False until the body was read to its end.

        That is so for a body without Content-Length over HTTP/1.1 (RFC 9112, section 8) that ends with the
        connection, if TLS's close_notify is missing. Many servers omit it, but a connection that an attacker cuts
        looks the same: do not save such a body as if it were whole. It is also so for an answer in the middle of an
        upload that was ended by a reset, for a body whose gzip or deflate encoding has no end, although HTTP says
        that the body is whole, and for a redirect in `history` whose body was too large to be kept.
        """
        return self._stream.may_be_truncated or self._cut_short

    @property
    def informational(self) -> list[tuple[int, Headers]]:
        """The 1xx responses that came before this one (RFC 9110, section 15.2), as (status, headers)."""
        return [(status, Headers(fields)) for status, fields in self._stream.informational_responses]

    @property
    def content(self) -> bytes:
        """The whole body, with any content-encoding undone. Raises RuntimeError before it was read."""
        if self._content is None:
            raise RuntimeError("the body has not been read: `await response.read()`, or iterate over the response")
        return self._content

    @property
    def encoding(self) -> str:
        """The charset of the Content-Type; "utf-8" if it names none, or none of Python's text encodings."""
        return charset(self.headers.get("content-type", ""))

    @property
    def text(self) -> str:
        """`content` as text; bytes that are not valid in `encoding` become U+FFFD."""
        return self.content.decode(self.encoding, "replace")

    def json(self) -> Any:
        """`content` parsed as JSON (RFC 8259). Raises ValueError when it is not JSON."""
        return _json.loads(self.content)

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, as Retry-After asks (RFC 9110, section 10.2.3); None without one. It is only reported."""
        return retry_after(self.headers)

    def raise_for_status(self) -> Response:
        """Raise HTTPStatusError for 4xx and 5xx; return the response otherwise."""
        if not self.ok:
            raise HTTPStatusError(self)
        return self

    async def read(self) -> bytes:
        """Read the rest of the body and return all of it. Also sets `content`.

        Raises `LimitExceeded` past `Limits.max_body_size`, and what iterating raises. Cancelled, what was read until
        then is lost, and reading again raises `trio.ClosedResourceError`: to go on after a deadline, iterate.
        """
        if self._content is None:
            chunks: list[bytes] = []
            size = 0
            try:
                async for chunk in self:
                    size += len(chunk)
                    if self._limit is not None and size > self._limit:
                        self._stream.close()
                        raise LimitExceeded("max_body_size", self._limit, "the body is too large: iterate over it")
                    add_piece(chunks, chunk)
            except BaseException as error:
                if chunks and not isinstance(error, Exception):  # after an error, no more will come
                    self._lost = True
                raise
            self._content = b"".join(chunks)
        else:
            await trio.lowlevel.checkpoint()
        return self._content

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if self._content is not None:
            raise RuntimeError("the body has been read already: it is in `content`")
        if self._lost:
            raise trio.ClosedResourceError(
                "read() was cancelled, and what it had of the body is lost: to read on after a cancellation, iterate"
            )
        received = False
        while True:
            if self._pieces is not None:
                if not received:
                    await trio.lowlevel.checkpoint()  # before a piece is taken; a bomb has many
                received = False
                try:
                    piece = next(self._pieces, None)
                except RemoteProtocolError:
                    self._stream.close()  # what still comes can't be decoded
                    raise
                if piece:
                    return piece
                if piece is None:
                    self._pieces = None
                continue
            data = await self._stream.receive()
            received = True
            if self._decoder is None:
                if not data:
                    raise StopAsyncIteration
                return data
            if data:
                self._pieces = self._decoder.feed(data)
            elif self._finished:
                self._cut_short = self._decoder.cut_short
                raise StopAsyncIteration
            else:
                self._finished = True
                self._pieces = self._decoder.finish()

    async def _decode(self, raw: bytes) -> None:
        """Set `content` to the collected body, from `Client.request`, with checkpoints if it is large."""
        if self._decoder is None:
            self._content = raw
            return
        chunks: list[bytes] = []
        size = since = 0
        for piece in chain(self._decoder.feed(raw), self._decoder.finish()):
            size += len(piece)
            if self._limit is not None and size > self._limit:
                raise LimitExceeded("max_body_size", self._limit, "the inflated body is too large: use Client.stream")
            add_piece(chunks, piece)
            since += len(piece) + _WORK
            if since > _WORK_WITHOUT_CHECKPOINT:
                since = 0
                await trio.lowlevel.checkpoint()
        self._cut_short = self._decoder.cut_short
        self._content = b"".join(chunks)

    def _keep(self, raw: bytes, bound: int) -> None:
        """Set `content` to the first bytes of a redirect's body. It need not be whole, nor valid."""
        decoder = self._decoder
        content = bytearray()
        cut_short = len(raw) > bound
        try:
            for piece in chain(decoder.feed(raw[:bound]), decoder.finish()) if decoder is not None else (raw,):
                content += piece[: bound + 1 - len(content)]
                if len(content) > bound:
                    break
        except RemoteProtocolError:
            cut_short = True
        self._cut_short = cut_short or len(content) > bound or (decoder is not None and decoder.cut_short)
        self._content = bytes(content[:bound])

    def __reduce__(self) -> tuple[object, ...]:
        kept = {name: getattr(self, name) for name in _KEPT}
        return _copy, (detached(self._stream), kept)

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.http_version} {self.method} {self.url}>"


_KEPT = ("status", "headers", "http_version", "method", "url", "history", "stream_id", "_content", "_cut_short")


def _copy(stream: DetachedStream, kept: dict[str, object]) -> Response:
    """A pickled or copied response."""
    response = Response.__new__(Response)
    for name, value in kept.items():
        setattr(response, name, value)
    response._stream = stream
    response._limit = response._pieces = response._decoder = None
    response._lost = False
    return response
