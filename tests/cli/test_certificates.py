"""The command line says whose certificate it does not trust, and why."""

from __future__ import annotations

import pathlib
import re
import sys

import pytest
import trio
import trustme

from servers.listener import authority, listening, server_context

from .processes import ENVIRONMENT

pytestmark = pytest.mark.slow

COMMANDS = ["get", "probe", "connect", "demo"]


async def never(stream: trio.abc.Stream, alpn: str | None) -> None:
    raise AssertionError("the handshake should have failed")


async def error_of(command: str, url: str, *args: str, cwd: pathlib.Path, **environment: str) -> str:
    """The last line of a command that fails."""
    done = await trio.run_process(
        [sys.executable, "-m", "trio_h2ws", command, *(["--url"] if command == "demo" else []), url, *args],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        cwd=cwd,
        env={**ENVIRONMENT, **environment},
    )
    lines = done.stderr.decode().splitlines()
    assert done.returncode == 1
    return lines[-1]


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_error_names_the_host(command: str, tmp_path: pathlib.Path) -> None:
    async with listening(never) as server:
        line = await error_of(command, server.url, cwd=tmp_path)
    assert re.fullmatch(
        rf"error: {server.url}: its certificate was not accepted: .*[^.] \(see --cafile and --insecure\)", line
    )


@pytest.mark.parametrize("command", COMMANDS)
async def test_the_error_names_the_proxy_and_not_the_origin(command: str, tmp_path: pathlib.Path) -> None:
    other = trustme.CA()
    other.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with listening(never) as proxy:
        url = f"https://localhost:{proxy.port}"
        line = await error_of(
            command, "https://origin.test", "--cafile", "ca.pem", cwd=tmp_path, HTTPS_PROXY=url, https_proxy=url
        )
    assert line.startswith(f"error: proxy {url}: its certificate was not accepted: ")
    assert "origin.test" not in line


async def test_the_error_says_that_the_name_differs(tmp_path: pathlib.Path) -> None:
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with listening(never, context=server_context(["other.test"], [])) as server:
        line = await error_of("get", server.url, "--cafile", "ca.pem", cwd=tmp_path)
    assert line.startswith(f"error: {server.url}: its certificate was not accepted: Hostname mismatch")
    assert "valid for 'localhost' (see --cafile and --insecure)" in line
