"""stdout and stderr, at a terminal or in a pipe.

The reader of the output may be slow: a pager, or a terminal stopped with Ctrl-S. A write must not block the event
loop meanwhile, since the connection has PINGs to answer. So writes run in a thread and use the file descriptor
directly: Python's buffers have a lock, which a thread abandoned in a write would still hold when the interpreter
exits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import select
import sys
from typing import TextIO

import trio

# Text from a server must not control the terminal. Control characters, except for line breaks and tabs, and the
# invisible characters that change the direction of text are escaped.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Escape untrusted text so that it is safe to print."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


class Output:
    """stdout or stderr."""

    def __init__(self, stream: TextIO | None) -> None:
        # Python's stream is None if the descriptor was closed. Its number may now belong to a socket.
        self._fd = stream.fileno() if stream is not None else None
        self._name = stream.name.strip("<>") if stream is not None else "output"
        self.is_terminal = stream is not None and stream.isatty()
        self._encoding = (stream.encoding if stream is not None and self.is_terminal else None) or "utf-8"
        self.styled = self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        # Two tasks may write at once: the lock keeps each piece whole.
        self._lock = trio.Lock()

    async def write(self, data: str | bytes) -> None:
        """Write all of it. Raises OSError; BrokenPipeError if the reader has closed the pipe."""
        if self._fd is None:
            raise OSError(errno.EBADF, "the stream is closed", self._name)
        if isinstance(data, str):
            data = data.encode(self._encoding, "backslashreplace")
        try:
            async with self._lock:
                await trio.to_thread.run_sync(_write_all, self._fd, data, abandon_on_cancel=True)
        except OSError as error:
            error.filename = self._name
            raise

    async def write_line(self, line: str) -> None:
        """Write one line for a person. Errors are ignored: the command does not depend on it."""
        with contextlib.suppress(OSError):
            await self.write(line + "\n")

    def write_now(self, text: str) -> None:
        """Write a little text to a terminal at once, without a thread. Errors are ignored."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, text.encode(self._encoding, "backslashreplace"))

    def style(self, codes: str, text: str) -> str:
        """Add SGR codes (ECMA-48) at a terminal, unless colours are switched off (https://no-color.org)."""
        return f"\x1b[{codes}m{text}\x1b[0m" if self.styled else text

    def dim(self, text: str) -> str:
        return self.style("2", text)

    def bold(self, text: str) -> str:
        return self.style("1", text)

    def good(self, text: str) -> str:
        return self.style("32", text)

    def bad(self, text: str) -> str:
        return self.style("31", text)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:  # another process that shares the descriptor has made it non-blocking
            select.select([], [fd], [])


def standard_output() -> Output:
    return Output(sys.stdout)


def standard_error() -> Output:
    return Output(sys.stderr)


def abandon(stream: TextIO | None) -> None:
    """Redirect a stream without a reader to the null device, so that the interpreter's last flush can't fail."""
    if stream is not None:
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
