"""A server's process: start it, wait until it listens, watch it, stop it."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence

SECONDS = 30.0


class NotStarted(Exception):
    """The program did not start to listen."""


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A program that listens on a port. Its output is written to a file."""

    def __init__(self, command: Sequence[str], port: int, directory: pathlib.Path, env: Mapping[str, str]) -> None:
        self._command = command
        self._port = port
        self.directory = directory
        self._env = {**os.environ, **env}
        self._log = directory / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it listens. Raises NotStarted."""
        with self._log.open("wb") as log:
            # A separate process group: some servers have children, which must end with them.
            self._process = subprocess.Popen(
                self._command,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=self._env,
                start_new_session=True,
            )
        deadline = time.monotonic() + SECONDS
        while not listens(self._port):
            if not self.alive or time.monotonic() > deadline:
                self.stop()
                raise NotStarted(f"{self._command[0]} did not start: {self.log()}")
            time.sleep(0.02)

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """The end of its output."""
        return self._log.read_text(errors="replace").strip()[-1500:] if self._log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.alive:
            self._process.send_signal(number)

    def stop(self) -> None:
        if self._process is None:
            return
        self.signal(signal.SIGTERM)
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            pass
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
