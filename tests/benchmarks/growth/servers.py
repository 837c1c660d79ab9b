"""What the points talk to, each in another process."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from ...support.servers.process import free_port, running
from ...support.servers.program import find

SLOTS = 100
_MANY = 20_000


@contextlib.contextmanager
def serving() -> Iterator[dict[str, int]]:
    """The port of the server of each load; none where it is not installed."""
    with contextlib.ExitStack() as stack:
        directory = stack.enter_context(tempfile.TemporaryDirectory())
        pathlib.Path(directory, "small").write_bytes(b"x" * 1024)
        ports = {"tasks": 0, "sockets": free_port()}
        echo = [sys.executable, "-m", "tests.benchmarks.growth.echo", str(ports["sockets"])]
        stack.enter_context(running(echo, ports["sockets"]))
        program = find("nghttpd")
        if program is not None:
            many, few = free_port(), free_port()
            for port, streams in ((many, _MANY), (few, SLOTS)):
                options = ["--no-tls", "-a", "0.0.0.0", "-m", str(streams), "-d", directory]
                stack.enter_context(running([program, *options, str(port)], port))
            ports |= {"requests": many, "origins": many, "waiting": few}
        yield ports


def version() -> str:
    """Of nghttpd."""
    program = find("nghttpd")
    if program is None:
        return "without nghttpd: WebSockets only"
    return subprocess.run([program, "--version"], capture_output=True, text=True).stdout.strip()
