"""The body of a request: what a user may give, and how it is sent while the response is received.

Bytes are queued whole; the engine sends them as the peer's windows allow, and no task is needed. An iterable must be
asked for its parts, and the response may come (and must be read) at the same time: otherwise a streaming echo would
deadlock. So an iterable gets a task in the client's nursery, which ends with the iterable or with its stream.
"""

from __future__ import annotations

import json as _json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable
from contextlib import aclosing
from typing import Any, Protocol, TypeAlias, cast

import trio

from .._errors import H2WSError, LocalProtocolError
from .._http.headers import RawFields

_MAX_DIGITS = 19  # of a content-length: more than any file has

Content: TypeAlias = "bytes | bytearray | memoryview | str | Iterable[bytes] | AsyncIterable[bytes] | None"


class Upload(Protocol):
    """The stream that carries a request."""

    async def send(self, data: bytes) -> None:
        """Queue a part, when fewer than `Limits.max_send_buffer` bytes wait."""
        ...

    def end(self, trailers: RawFields | None = None) -> None: ...
    def fail(self, error: BaseException) -> None: ...


class RequestBody:
    """A checked body. `whole` is its bytes, None for an iterable; `fields` are the headers that it implies."""

    __slots__ = ("_declared", "_parts", "fields", "started", "whole")

    def __init__(self, content: Content, json: Any = None) -> None:
        self.fields: RawFields = []
        self.whole: bytes | memoryview | None = b""
        self.started = False
        self._declared: int | None = None  # the content-length that the caller gave for an iterable
        self._parts: Iterable[bytes] | AsyncIterable[bytes] | None = None
        if json is not None:
            if content is not None:
                raise ValueError("give content or json, not both")
            self.whole = _json.dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            self.fields.append((b"content-type", b"application/json"))
        elif isinstance(content, str):
            self.whole = content.encode()
            self.fields.append((b"content-type", b"text/plain; charset=utf-8"))
        elif isinstance(content, (bytes, bytearray)):
            self.whole = bytes(content)
        elif isinstance(content, memoryview):
            self.whole = content.cast("B") if content.contiguous else content.tobytes()
        elif content is not None:
            if isinstance(content, dict) or not isinstance(content, (Iterable, AsyncIterable)):
                raise TypeError(
                    f"content must be bytes, str, or an iterable or async iterable of bytes, not "
                    f"{type(content).__name__}" + (" (for JSON, use json=)" if isinstance(content, dict) else "")
                )
            self.whole = None
            self._parts = cast("Iterable[bytes] | AsyncIterable[bytes]", content)
        if self.whole:
            self.fields.append((b"content-length", str(len(self.whole)).encode()))

    def declare(self, fields: RawFields) -> None:
        """Check the content-length that is sent with the body: a wrong one makes a server end the connection."""
        for name, value in fields:
            if name == b"content-length":
                if not value.isdigit() or len(value) > _MAX_DIGITS:
                    shown = value[:40].decode(errors="replace")
                    raise ValueError(f"content-length {shown!r} is not a number of at most {_MAX_DIGITS} digits")
                if self.whole is None:
                    self._declared = int(value)
                elif int(value) != len(self.whole):
                    raise ValueError(f"content-length is {int(value)}, but the content has {len(self.whole)} bytes")

    @property
    def replayable(self) -> bool:
        """Whether it can be sent (again) from its beginning."""
        return self.whole is not None or not self.started

    async def upload(self, carrier: Upload, trailers: RawFields | None) -> None:
        """Send the parts of an iterable, then END_STREAM. If the iterable raises, the request raises that."""
        self.started = True
        left = self._declared
        try:
            # A generator that is left early is closed now, not by the garbage collector.
            async with aclosing(_each(self._parts)) as parts:
                async for part in parts:
                    data = _checked(part)
                    if left is not None:
                        left -= len(data)
                        if left < 0:
                            raise LocalProtocolError("the content is longer than its content-length")
                    try:
                        await carrier.send(data)
                    except (H2WSError, trio.ClosedResourceError):
                        return  # the stream ended first: the task that waits for the response gets that error
            if left:
                raise LocalProtocolError(f"the content is {left} bytes shorter than its content-length")
            carrier.end(trailers)
        except Exception as error:
            carrier.fail(error)


async def _each(parts: Iterable[bytes] | AsyncIterable[bytes] | None) -> AsyncGenerator[bytes, None]:
    if isinstance(parts, AsyncGenerator):
        async with aclosing(parts):
            async for part in parts:
                yield part
    elif isinstance(parts, AsyncIterable):
        async for part in parts:
            yield part
    elif parts is not None:
        for part in parts:
            yield part


def _checked(part: object) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, (bytes, bytearray, memoryview)):
        return bytes(part)
    raise TypeError(f"a part of the content must be bytes, not {type(part).__name__}")
