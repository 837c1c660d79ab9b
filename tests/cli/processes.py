"""The command line as a person or a script runs it: real processes, in pipes and at a terminal."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest
import trio

COMMAND = [sys.executable, "-m", "trio_h2ws"]


# Without proxies, through which a server on this host cannot be reached.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


unix = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of Unix")


class Result:
    def __init__(self, done: subprocess.CompletedProcess[bytes]) -> None:
        self.code = done.returncode
        self.out: bytes = done.stdout
        self.err: str = done.stderr.decode()
        assert "Traceback" not in self.err

    def check(self, code: int = 0) -> Result:
        assert self.code == code, self.err
        return self

    def line(self) -> str:
        """The single line of an error."""
        assert self.err.startswith("error: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        return self.err


class Cli(Protocol):
    def __call__(self, *args: str, stdin: bytes = b"") -> Awaitable[Result]: ...


Start = Callable[..., Awaitable[trio.Process]]


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - no event exists for it
        await trio.sleep(0.01)


async def read_all(stream: trio.abc.ReceiveStream | None) -> str:
    assert stream is not None
    return b"".join([data async for data in stream]).decode()


async def read_all_bytes(stream: trio.abc.ReceiveStream | None) -> bytes:
    assert stream is not None
    return b"".join([data async for data in stream])
