"""A file as the content of a request: read in large parts, in a worker thread if reading may block.

A read in a thread can't be interrupted. So when a stream ends or a call is cancelled during one, the read goes on to
its end, and two things wait for that: the next upload of the same file, which a retry or a redirect begins by going
back to where the file was, and the end of the call (`settled`). Therefore the file is never read twice at once, and
not after the call has returned: then the user may use or close it.

An async file is read in the task of the upload. Its reads are often threads as well, and the same holds for them.
"""

from __future__ import annotations

import inspect
import io
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Protocol

import trio

PART = 128 * 1024
# Their size is known only once all of it has been decompressed, and `fileno()` is that of the compressed file.
_DECOMPRESSING = frozenset(("gzip", "bz2", "lzma", "zipfile", "compression.zstd"))


class SupportsRead(Protocol):
    """A binary file: `read` returns at most `size` bytes, and b"" at its end. It may be async."""

    def read(self, size: int, /) -> bytes | Awaitable[bytes]: ...


def is_file(content: object) -> bool:
    """Whether it is to be read with `read(size)`. Raises TypeError for a file in text mode."""
    read = getattr(content, "read", None)
    if not callable(read):
        return False
    for inner in (content, getattr(content, "wrapped", None), getattr(content, "file", None)):
        if isinstance(inner, io.TextIOBase):
            raise _text_mode()
    try:
        inspect.signature(read).bind(PART)
    except TypeError:  # such as `Response.read()`, which takes no size
        return False
    except ValueError:  # written in C, and without a signature
        return True
    return True


class FileContent:
    """A file of the user, from its position at `measure` to its end. It is not closed."""

    __slots__ = ("_begun", "_file", "_is_async", "_read", "_reading", "_start")

    def __init__(self, file: Any) -> None:
        self._file = file
        self._read: Callable[[int], Any] = file.read
        self._is_async = inspect.iscoroutinefunction(file.read)
        self._start: int | None = None
        self._begun = False
        self._reading: trio.Event | None = None  # set when the read in progress has ended

    @property
    def can_rewind(self) -> bool:
        return self._start is not None

    async def measure(self) -> int | None:
        """Note the position, and return the number of bytes from there to the end; None if that is not known."""
        file = self._file
        if self._is_async:
            file = getattr(file, "wrapped", None)  # of Trio and AnyIO
            if file is None:
                return None
        self._start, length = await trio.to_thread.run_sync(_measure, file)
        if self._start is None and not self._is_async:
            # Of a pipe or a socket: what is there, when there is something, instead of all that was asked for.
            self._read = getattr(file, "read1", self._read)
        return length

    async def parts(self, length: int | None) -> AsyncGenerator[bytes, None]:
        """The content, at most `length` bytes of it: what is appended to the file meanwhile is not read."""
        while self._reading is not None:
            await self._reading.wait()  # an upload that has ended is still in its last read
        rewind, self._begun = self._begun, True
        while length is None or length > 0:
            data = await self._next(PART if length is None else min(PART, length), rewind)
            rewind = False
            if not data:
                return
            if length is not None:
                length -= len(data)
            yield data

    async def settled(self) -> None:
        """Wait for the read in progress, if there is one, even if cancelled: see the top of this module."""
        while self._reading is not None:
            with trio.CancelScope(shield=True):
                await self._reading.wait()

    async def _next(self, size: int, rewind: bool) -> bytes:
        ended = self._reading = trio.Event()
        try:
            if self._is_async:
                if rewind:
                    await self._file.seek(self._start)
                data = await self._read(size)
            else:
                (data,) = await trio.to_thread.run_sync(self._read_in_thread, size, rewind)
                if inspect.isawaitable(data):  # async, but not an `async def`
                    data = await data
        finally:
            self._reading = None
            ended.set()
        if isinstance(data, str):
            raise _text_mode()
        if data is None:
            raise BlockingIOError("the content is a non-blocking file without data: give an async iterable instead")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"read() of the content must return bytes, not {type(data).__name__}")
        return bytes(data)

    def _read_in_thread(self, size: int, rewind: bool) -> tuple[Any]:
        if rewind:
            self._file.seek(self._start)
        data = self._read(size)
        if data == b"" and self._read != self._file.read:
            data = self._file.read(size)  # `read1` also returns b"" if there is nothing yet in a non-blocking file
        return (data,)  # in a tuple, since Trio refuses a function that returns an awaitable


def _measure(file: Any) -> tuple[int | None, int | None]:
    """In a thread: the position, None if there is no way back to it, and the number of bytes from there to the end,
    None if that is not known."""
    for layer in (
        file,
        getattr(file, "fileobj", None),
    ):  # a GzipFile says that it is seekable, whatever it reads from
        seekable = getattr(layer, "seekable", None)
        if seekable is not None and not seekable():
            return None, None
    try:
        start = file.tell()
    except (AttributeError, OSError):
        return None, None
    if any(kind.__module__ in _DECOMPRESSING for kind in type(file).__mro__):
        return start, None
    try:
        file.seek(0, io.SEEK_END)
    except AttributeError:
        return None, None
    except OSError:  # in /proc, for example
        return start, None
    end = file.tell()
    file.seek(start)
    return start, max(0, end - start)


def _text_mode() -> TypeError:
    return TypeError('the content is a file in text mode: open it in binary mode, as in open(path, "rb")')
