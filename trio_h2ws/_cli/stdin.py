"""stdin as bytes and as lines, without blocking the event loop.

A terminal, a pipe and a file are all read in the same way, by a thread. Where reading waits for a person, the thread
may never come back: cancelled, it is left behind. It is a daemon and holds no lock, so it does not keep the process.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing

import trio

_PIECE = 64 * 1024


async def pieces() -> AsyncGenerator[bytes]:
    """What comes on stdin, as it comes, to its end."""
    if sys.stdin is None:  # closed before we began
        return
    fd = sys.stdin.fileno()
    while data := await trio.to_thread.run_sync(_read, fd, abandon_on_cancel=True):
        yield data


async def lines() -> AsyncGenerator[str]:
    """The lines of stdin, without their ends. Bytes that are not UTF-8 become U+FFFD: a text message must be."""
    rest = b""
    async with aclosing(pieces()) as source:
        async for data in source:
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield _text(line)
    if rest:
        yield _text(rest)


def _text(line: bytes) -> str:
    return line.removesuffix(b"\r").decode(errors="replace")


def _read(fd: int) -> bytes:
    while True:
        try:
            return os.read(fd, _PIECE)
        except BlockingIOError:  # whoever shares the descriptor with us made it non-blocking
            select.select([fd], [], [])
