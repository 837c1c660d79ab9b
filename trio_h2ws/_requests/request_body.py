"""The body of a request: what a user may give, and how it is sent while the response is received.

Bytes are queued whole; the engine sends them as the peer's windows allow, and no task is needed. An iterable or a
file must be asked for its parts, and the response may come (and must be read) at the same time: otherwise a streaming
echo would deadlock. So it gets a task in the client's nursery, which ends with the content or with its stream.
"""

from __future__ import annotations

import io
import json as _json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Iterator
from contextlib import aclosing
from typing import Any, Protocol, TypeAlias, cast

import trio

from .._errors import H2WSError, LocalProtocolError
from .._http.headers import RawFields
from .files import PART, FileContent, SupportsRead, is_file

Content: TypeAlias = (
    "bytes | bytearray | memoryview | str | SupportsRead | Iterable[bytes] | AsyncIterable[bytes] | None"
)
_MAX_DIGITS = 19  # of a content-length: more than any file has


class Upload(Protocol):
    """The stream that carries a request."""

    async def send(self, data: bytes) -> None:
        """Queue a part, when fewer than `Limits.max_send_buffer` bytes wait."""
        ...

    def end(self, trailers: RawFields | None = None) -> None: ...
    def fail(self, error: BaseException) -> None: ...


class RequestBody:
    """A checked body. `whole` is its bytes, None if it is sent in parts; `fields` are the headers that it implies."""

    __slots__ = ("_length", "_parts", "fields", "file", "started", "whole")

    def __init__(self, content: Content, json: Any = None) -> None:
        self.fields: RawFields = []
        self.whole: bytes | memoryview | None = b""
        self.file: FileContent | None = None
        self.started = False
        self._length: int | None = None  # known, or declared by the caller
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
            self._take(content)
            return
        self._length = len(self.whole)
        if self._length:
            self.fields.append(_content_length(self._length))

    def _take(self, content: object) -> None:
        """What is not bytes: a file, or parts."""
        if type(content) is io.BytesIO:  # a subclass may read something else
            self.whole = memoryview(content.getvalue())[content.tell() :]
            self._length = len(self.whole)
        elif isinstance(content, (list, tuple)):
            parts = [_checked(part) for part in content]
            self._length = sum(map(len, parts))
            self.whole, self._parts = (b"".join(parts), None) if self._length <= PART else (None, parts)
        elif is_file(content):
            self.whole = None
            self.file = FileContent(content)
        elif isinstance(content, dict) or not isinstance(content, (Iterable, AsyncIterable)):
            raise TypeError(
                f"content must be bytes, str, a binary file, or an iterable or async iterable of bytes, not "
                f"{type(content).__name__}" + (" (for JSON, use json=)" if isinstance(content, dict) else "")
            )
        else:
            self.whole = None
            self._parts = cast("Iterable[bytes] | AsyncIterable[bytes]", content)
        if self._length:
            self.fields.append(_content_length(self._length))

    def declare(self, fields: RawFields) -> None:
        """Check the content-length that is sent with the body: a wrong one makes a server end the connection."""
        for name, value in fields:
            if name == b"content-length":
                if not value.isdigit() or len(value) > _MAX_DIGITS:
                    shown = value[:40].decode(errors="replace")
                    raise ValueError(f"content-length {shown!r} is not a number of at most {_MAX_DIGITS} digits")
                if self._length is None:
                    self._length = int(value)
                self._check_length(int(value), self._length)

    async def measure(self) -> RawFields:
        """Find out where a file is and how much follows. Returns the content-length that it implies, if any.

        Raises ValueError if the caller has declared another one.
        """
        assert self.file is not None
        declared, actual = self._length, await self.file.measure()
        if actual is None:
            return []
        if declared is not None:
            self._check_length(declared, actual)
            return []
        self._length = actual
        return [_content_length(actual)]

    def _check_length(self, declared: int, actual: int) -> None:
        if declared != actual:
            raise ValueError(f"content-length is {declared}, but the content has {actual} bytes")

    @property
    def replayable(self) -> bool:
        """Whether it can be sent (again) from its beginning."""
        return self.rewindable or not self.started

    @property
    def rewindable(self) -> bool:
        """Whether it can be sent from its beginning more than once."""
        if self.file is not None:
            return self.file.can_rewind
        return self.whole is not None or isinstance(self._parts, list)

    async def upload(self, carrier: Upload, trailers: RawFields | None) -> None:
        """Send the parts, then END_STREAM. If the iterable or the file raises, the request raises that."""
        self.started = True
        left = self._length
        bug: Exception | None = None
        try:
            # A generator that is left early is closed now, not by the garbage collector.
            async with aclosing(self._each()) as parts:
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
                    except Exception as error:
                        bug = error
                        raise
            if left:
                raise LocalProtocolError(f"the content is {left} bytes shorter than its content-length")
        except Exception as error:
            if error is bug:
                raise  # it is not the user's
            carrier.fail(error)
        else:
            carrier.end(trailers)

    def _each(self) -> AsyncGenerator[bytes, None]:
        if self.file is not None:
            return self.file.parts(self._length)
        return _each(_grouped(self._parts) if isinstance(self._parts, list) else self._parts)


NO_BODY = RequestBody(None)
"""That of all requests without content. Nothing changes it."""


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


def _grouped(parts: list[bytes]) -> Iterator[bytes]:
    """All of them are here, so small ones are joined: each that is sent costs a frame."""
    group: list[bytes] = []
    size = 0
    for part in parts:
        group.append(part)
        size += len(part)
        if size >= PART:
            yield b"".join(group)
            group, size = [], 0
    yield b"".join(group)


def _content_length(size: int) -> tuple[bytes, bytes]:
    return b"content-length", str(size).encode()


def _checked(part: object) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, (bytes, bytearray, memoryview)):
        return bytes(part)
    raise TypeError(f"a part of the content must be bytes, not {type(part).__name__}")
