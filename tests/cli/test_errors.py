"""Exit codes and error lines of every command."""

from __future__ import annotations

import pathlib

import pytest

from servers.http1 import Peer, open_http1
from trio_h2ws.testing import Server, open_server

from .processes import Cli

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "COMMAND"),
        (["fetch"], "invalid choice"),
        (["get"], "URL"),
        (["get", "ftp://localhost/"], "scheme 'ftp' is not supported"),
        (["get", "https:///path"], "no host"),
        (["get", "https://localhost:99999"], "ort"),
        (["get", "localhost", "-H", "no colon"], "a header is given as 'NAME: VALUE': there is no colon"),
        (["get", "localhost", "-H", "bad name: x"], "header name 'bad…'"),
        (["get", "localhost", "-H", "x: a\nb"], "control character"),
        (["get", "localhost", "-X", "G T"], "method 'G…' contains ' '"),
        (["get", "localhost", "--http2", "maybe"], "maybe"),
        (["get", "localhost", "--cafile", "nothing"], "--cafile nothing: No such file"),
        (["get", "localhost", "--cafile", __file__], "no PEM certificate"),
        (["get", "localhost", "--cafile", "x", "--insecure"], "not allowed with"),
        (["get", "localhost", "--data-file", "nothing"], "--data-file nothing"),
        (["get", "localhost", "-d", "x", "--data-file", "y"], "not allowed with"),
        (["connect", "localhost", "--wait", "soon"], "'soon' is not a number of seconds"),
        (["connect", "localhost", "--subprotocol", "a b"], "subprotocol 1 contains ' '"),
        (["demo", "--websockets", "-1"], "'-1' is not a number"),
        (["demo", "--download", "much"], "'much' is not a size"),
        (["demo", "--websockets", "0", "--requests", "0", "--download", "0"], "nothing to do"),
        (["demo", "--url", "localhost", "--request-path", "x"], "does not begin with a slash"),
    ],
)
async def test_bad_usage_exits_with_2(args: list[str], words: str, cli: Cli) -> None:
    result = (await cli(*args)).check(2)
    assert words in result.line()
    assert result.out == b""


@pytest.mark.parametrize("command", [["get"], ["connect"], ["demo", "--url"]])
async def test_a_failed_connection_exits_with_1(command: list[str], server: Server, cli: Cli) -> None:
    line = (await cli(*command, server.url)).check(1).line()
    assert "certificate was not accepted" in line
    assert "--cafile" in line
    line = (await cli(*command, "https://localhost:9")).check(1).line()
    assert "https://localhost:9: could not connect" in line


@pytest.mark.parametrize(
    "command", ["get -v", "connect -v", "demo --url", "demo --json --url", "probe", "probe --json"]
)
async def test_no_command_shows_a_password(command: str, server: Server, trust: list[str], cli: Cli) -> None:
    for url, code in (
        (server.url.replace("//", "//me:secret@") + ("/ws/echo" if "connect" in command else ""), 0),
        ("https://me:secret@localhost:9/", 1),
        ("https://me:secret/@localhost:9/", 2),
        ("me:secret@a..test", 2),
    ):
        result = (await cli(*command.split(), url, *trust)).check(code)
        assert "secret" not in result.out.decode() + result.err


@pytest.mark.parametrize("location", ["http://me:secret@127.0.0.1:9/", "http://me:secret/secret@127.0.0.1:9/"])
@pytest.mark.parametrize(
    "command", ["get -i", "get -v", "get -iv -L", "get -i -o -", "get -i -o {file}", "connect -v", "connect -v -L"]
)
async def test_no_command_shows_a_password_from_the_server(
    command: str, location: str, cli: Cli, tmp_path: pathlib.Path
) -> None:
    fields = f"location: {location}\r\nlink: <http://me:secret@a.test/>; rel=a\r\nrefresh: 0;url=//me:secret@b\r\n"

    async def redirect(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(f"HTTP/1.1 103 Early Hints\r\n{fields}\r\n".encode())
            head = f"HTTP/1.1 302 Found\r\ntransfer-encoding: chunked\r\n{fields}\r\n"
            await peer.send(f"{head}4\r\nbody\r\n0\r\n{fields}\r\n".encode())

    file = tmp_path / "saved"
    async with open_http1(redirect, tls=False) as server:
        name, *options = command.format(file=file).split()
        result = await cli(name, server.ws_url if name == "connect" else server.url, *options)
    assert result.code in (0, 1)
    shown = result.out.decode() + result.err + (file.read_text() if file.exists() else "")
    assert "127.0.0.1" in shown
    assert "secret" not in shown


async def test_a_server_error_exits_with_1(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("get", f"{server.url}/partial/10/2", *trust)).check(1)
    assert result.out == bytes(range(10))
    assert "reset the stream with INTERNAL_ERROR" in result.line()
    async with open_server(alpn=("http/1.1",)) as old:
        line = (await cli("get", old.url, "--insecure", "--http2", "require")).check(1).line()
        assert "alpn" in line
