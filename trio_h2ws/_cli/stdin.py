"""stdin as bytes and as lines, without blocking the event loop.

A terminal, a pipe and a file are all read in a thread. A read that waits for a person may never return: on
cancellation its thread is abandoned. It is a daemon thread and holds no lock, so the process can still exit.
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
    """Bytes from stdin as they arrive, until its end."""
    if sys.stdin is None:  # closed before the process started
        return
    fd = sys.stdin.fileno()
    while data := await trio.to_thread.run_sync(_read, fd, abandon_on_cancel=True):
        yield data


async def lines() -> AsyncGenerator[str]:
    """Lines from stdin without line endings. Text messages must be UTF-8, so invalid bytes become U+FFFD."""
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
        except BlockingIOError:  # another process that shares the descriptor has made it non-blocking
            select.select([fd], [], [])
