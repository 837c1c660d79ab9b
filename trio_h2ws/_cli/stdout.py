"""stdout and stderr for people and for pipes.

Whoever reads our output may be slow: a pager that waits, a terminal that is stopped with Ctrl-S. A write must not
stop the event loop then, since the connection has PINGs to answer. So writes happen in a thread, straight to the file
descriptor: Python's own buffers have a lock, and a thread that is left behind in a write would hold it when the
interpreter ends.
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

# What a server says must not steer the terminal it is shown on: control characters (line breaks and tabs are
# harmless) and the invisible characters that reverse the direction of text.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """Text from somebody else, made safe to show."""
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)


class Output:
    """One of our output streams."""

    def __init__(self, stream: TextIO | None) -> None:
        # Python has None where the descriptor was closed; its number may be a socket's by now.
        self._fd = stream.fileno() if stream is not None else None
        self._name = stream.name.strip("<>") if stream is not None else "output"
        self.is_terminal = stream is not None and stream.isatty()
        self._encoding = (stream.encoding if stream is not None and self.is_terminal else None) or "utf-8"
        self.styled = self.is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        # Two tasks may write: whole pieces, one after the other.
        self._lock = trio.Lock()

    async def write(self, data: str | bytes) -> None:
        """Write all of it. Raises OSError (BrokenPipeError when nobody reads any more)."""
        if self._fd is None:
            raise OSError(errno.EBADF, "it is closed", self._name)
        if isinstance(data, str):
            data = data.encode(self._encoding, "backslashreplace")
        try:
            async with self._lock:
                await trio.to_thread.run_sync(_write_all, self._fd, data, abandon_on_cancel=True)
        except OSError as error:
            error.filename = self._name
            raise

    async def write_line(self, line: str) -> None:
        """One line for a person. If nobody reads it, that is no reason to fail."""
        with contextlib.suppress(OSError):
            await self.write(line + "\n")

    def write_now(self, text: str) -> None:
        """A few bytes for a terminal, at once; if they can't be written, they are not missed."""
        if self._fd is not None:
            with contextlib.suppress(OSError):
                os.write(self._fd, text.encode(self._encoding, "backslashreplace"))

    def style(self, codes: str, text: str) -> str:
        """With SGR codes (ECMA-48), where there are eyes and colours are wanted (https://no-color.org)."""
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
        except BlockingIOError:  # whoever shares the descriptor with us made it non-blocking
            select.select([], [fd], [])


def standard_output() -> Output:
    return Output(sys.stdout)


def standard_error() -> Output:
    return Output(sys.stderr)


def abandon(stream: TextIO | None) -> None:
    """Nobody reads this stream any more: the interpreter must not try to flush it when it ends."""
    if stream is not None:
        with contextlib.suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, stream.fileno())
            os.close(null)
