"""Runs the cells, one server after another."""

from __future__ import annotations

import itertools
import pathlib
import re
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio
import trustme

import trio_h2ws

from ..support.servers.process import free_port
from .cells import CELLS, FAILED, Cell, Target
from .process import NotStarted, Process
from .servers import BACKEND_COMMAND, BACKEND_ENV, Place, Server

SECONDS = 30.0


@dataclass
class Row:
    """The result of one server: without a version it is not installed; with an error it did not start."""

    server: Server
    version: str | None = None
    error: str | None = None
    cells: dict[str, Cell] = field(default_factory=dict)

    @property
    def ran(self) -> bool:
        return self.version is not None and self.error is None


class Runner:
    """One run: its authority, its directory, and the backend of the proxies."""

    def __init__(self, npm: pathlib.Path, progress: Callable[[str], None]) -> None:
        self._npm = npm.absolute()
        self._progress = progress
        self._authority = trustme.CA()
        self._backend: int | None = None
        self._places = itertools.count(1)

    @contextmanager
    def open(self) -> Iterator[None]:
        with tempfile.TemporaryDirectory(prefix="interop") as directory:
            self._directory = pathlib.Path(directory)
            self._directory.chmod(0o755)  # some servers drop root, and must still read it
            leaf = self._authority.issue_cert("localhost", "127.0.0.1")
            for name, blob in (
                ("certificate.pem", leaf.cert_chain_pems[0]),
                ("key.pem", leaf.private_key_pem),
                ("both.pem", leaf.private_key_and_cert_chain_pem),
            ):
                blob.write_to_path(str(self._directory / name))
            try:
                yield
            finally:
                if self._backend is not None:
                    self._backend_process.stop()

    def run(self, server: Server) -> Row:
        version = server.found(self._npm)
        row = Row(server, version)
        if version is None:
            return row
        try:
            process, port = self._start(server)
        except NotStarted as error:
            row.error = str(error)
            return row
        try:
            context = self._context(server, process)
            for name, check in CELLS.items():
                self._progress(f"{server.name}: {name}")
                if not process.alive:
                    process.start()
                row.cells[name] = trio.run(_guarded, check, Target(server, process, port, context))
                if not process.alive and name != "graceful stop":
                    cell = row.cells[name]
                    row.cells[name] = Cell(FAILED, f"{cell.text}; then the server died")
        except NotStarted as error:
            row.error = str(error)
        finally:
            process.stop()
        return row

    def _start(self, server: Server) -> tuple[Process, int]:
        place = self._place(server.name, self._backend_port() if server.proxy else 0)
        process = Process(server.command_line(place), place.port, place.directory, server.env)
        process.start()
        return process, place.port

    def _place(self, name: str, backend: int) -> Place:
        directory = self._directory / "-".join([str(next(self._places)), *re.findall(r"\w+", name)])
        directory.mkdir()
        directory.chmod(0o777)
        return Place(
            port=free_port(),
            backend=backend,
            directory=directory,
            certificate=self._directory / "certificate.pem",
            key=self._directory / "key.pem",
            pem=self._directory / "both.pem",
            npm=self._npm,
        )

    def _backend_port(self) -> int:
        """The port of the backend, which is started for the first proxy."""
        if self._backend is None:
            place = self._place("backend", 0)
            program, *words = [place.fill(word) for word in BACKEND_COMMAND]
            self._backend_process = Process([program, *words], place.port, place.directory, BACKEND_ENV)
            self._backend_process.start()
            self._backend = place.port
        return self._backend

    def _context(self, server: Server, process: Process) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if server.own_authority:
            file = process.directory / "authority.pem"
            deadline = time.monotonic() + 10
            while not file.exists():  # it listens slightly earlier
                if time.monotonic() > deadline:
                    raise NotStarted(f"{server.name} did not write its authority's certificate: {process.log()}")
                time.sleep(0.02)
            context.load_verify_locations(cafile=str(file))
        else:
            self._authority.configure_trust(context)
        return context


async def _guarded(check: Callable[[Target], object], target: Target) -> Cell:
    with trio.move_on_after(SECONDS):
        try:
            return await check(target)  # type: ignore[misc, no-any-return]
        except Exception as error:
            return Cell(FAILED, _describe(error))
    return Cell(FAILED, f"not finished within {SECONDS:g} s")


def _describe(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, trio_h2ws.WebSocketRejected):
        return f"refused with {error.status}"
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:160]
