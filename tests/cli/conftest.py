"""Fixtures that run the command line."""

from __future__ import annotations

import pathlib
import subprocess
from functools import partial

import pytest
import trio

from trio_h2ws.testing import Server

from .processes import COMMAND, ENVIRONMENT, Cli, Result, Start


@pytest.fixture
def trust(server: Server, tmp_path: pathlib.Path) -> list[str]:
    cafile = tmp_path / "ca.pem"
    assert server.ca_pem is not None
    cafile.write_bytes(server.ca_pem)
    return ["--cafile", str(cafile)]


@pytest.fixture
def cli(tmp_path: pathlib.Path) -> Cli:
    async def cli(*args: str, stdin: bytes = b"") -> Result:
        return Result(
            await trio.run_process(
                [*COMMAND, *args],
                stdin=stdin,
                capture_stdout=True,
                capture_stderr=True,
                check=False,
                cwd=tmp_path,
                env=ENVIRONMENT,
            )
        )

    return cli


@pytest.fixture
async def start(nursery: trio.Nursery, tmp_path: pathlib.Path) -> Start:
    """Start a process that the test uses while it runs."""

    async def start(*args: str, **options: object) -> trio.Process:
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        run = partial(trio.run_process, [*COMMAND, *args], check=False, cwd=tmp_path)
        process: trio.Process = await nursery.start(partial(run, **{"env": ENVIRONMENT, **streams}))
        return process

    return start
