"""The command line as a person or a script meets it: real processes, in pipes and at a terminal."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Protocol

import pytest
import trio

from trio_h2ws._cli.connect.screen import above, hex_of
from trio_h2ws._cli.demo.text import amount
from trio_h2ws._cli.options import size
from trio_h2ws.testing import Server, open_server

COMMAND = [sys.executable, "-m", "trio_h2ws"]
# A proxy is no way to a server on this host.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
unix = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of Unix")


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with open_server() as server:
        yield server
    assert server.stats.errors == []
    assert server.stats.protocol_errors == []


@pytest.fixture
def trust(server: Server, tmp_path: pathlib.Path) -> list[str]:
    cafile = tmp_path / "ca.pem"
    assert server.ca_pem is not None
    cafile.write_bytes(server.ca_pem)
    return ["--cafile", str(cafile)]


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
        """The one line of an error."""
        assert self.err.startswith("error: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1
        return self.err


class Cli(Protocol):
    def __call__(self, *args: str, stdin: bytes = b"") -> Awaitable[Result]: ...


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
async def start(nursery: trio.Nursery, tmp_path: pathlib.Path) -> Callable[..., Awaitable[trio.Process]]:
    """A process that the test talks to while it runs."""

    async def start(*args: str, **options: object) -> trio.Process:
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        run = partial(trio.run_process, [*COMMAND, *args], check=False, cwd=tmp_path)
        process: trio.Process = await nursery.start(partial(run, **{"env": ENVIRONMENT, **streams}))
        return process

    return start


async def eventually(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - the server has no event for it
        await trio.sleep(0.01)


async def read_all(stream: trio.abc.ReceiveStream | None) -> str:
    assert stream is not None
    return b"".join([data async for data in stream]).decode()


# get


async def test_get_writes_the_body_and_nothing_else(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("get", f"{server.url}/bytes/300000", *trust)).check()
    assert result.out == (bytes(range(256)) * 1172)[:300000]
    assert result.err == ""


async def test_get_takes_https_for_granted(server: Server, trust: list[str], cli: Cli) -> None:
    address = server.url.removeprefix("https://")
    assert (await cli("get", f"{address}/json", *trust)).check().out.startswith(b'{"hello"')


async def test_get_sends_what_it_is_told(server: Server, trust: list[str], cli: Cli) -> None:
    url = f"{server.url}/headers"
    options = ["-X", "PUT", "-d", "a=b", "-H", "X-A: 1", "-H", "X-A:2"]
    sent = json.loads((await cli("get", url, *options, *trust)).check().out)
    assert [":method", "PUT"] in sent
    assert [pair for pair in sent if pair[0] == "x-a"] == [["x-a", "1"], ["x-a", "2"]]
    assert ["content-type", "application/x-www-form-urlencoded"] in sent
    sent = json.loads((await cli("get", url, "-d", "{}", "-H", "Content-Type: application/json", *trust)).check().out)
    assert [":method", "POST"] in sent
    assert [pair for pair in sent if pair[0] == "content-type"] == [["content-type", "application/json"]]


@pytest.mark.parametrize("source", ["file", "stdin"])
async def test_get_uploads_a_file(
    source: str, server: Server, trust: list[str], cli: Cli, tmp_path: pathlib.Path
) -> None:
    data = os.urandom(500_000)
    (tmp_path / "data").write_bytes(data)
    if source == "file":
        result = await cli("get", f"{server.url}/upload", "--data-file", "data", *trust)
    else:
        result = await cli("get", f"{server.url}/upload", "--data-file", "-", *trust, stdin=data)
    assert json.loads(result.check().out) == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


async def test_get_into_a_file(server: Server, trust: list[str], cli: Cli, tmp_path: pathlib.Path) -> None:
    result = (await cli("get", f"{server.url}/status/418", "-i", "-o", "body", *trust)).check()
    assert result.out == b""
    head, body = (tmp_path / "body").read_bytes().split(b"\n\n")
    assert head.startswith(b"HTTP/2 418\ncontent-type: text/plain; charset=utf-8\n")
    assert body == b"status 418\n"
    # A request that fails leaves the file as it was.
    (await cli("get", f"{server.url}/reset/2", "-o", "body", *trust)).check(1)
    assert (tmp_path / "body").read_bytes().endswith(body)


async def test_get_says_what_happened(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("get", f"{server.url}/informational/1", "-v", *trust)).check()
    assert result.out.startswith(b"hello")
    assert f"> GET {server.url}/informational/1\n" in result.err
    assert "< 103 link: </style-0.css>" in result.err
    assert "< 200 HTTP/2, stream 1" in result.err
    assert re.search(r"\* round trip [0-9.]+ ms", result.err)
    assert "ENABLE_CONNECT_PROTOCOL 1" in result.err
    assert "x-checksum: " in (await cli("get", f"{server.url}/trailers", "-v", *trust)).check().err


async def test_get_follows_redirects_if_asked_to(server: Server, trust: list[str], cli: Cli) -> None:
    url = f"{server.url}/redirect/1"
    result = (await cli("get", url, "-v", *trust)).check()
    assert result.out == b""
    assert "* redirect to /redirect/0, not followed" in result.err
    result = (await cli("get", url, "-v", "-L", *trust)).check()
    assert result.out.startswith(b"hello")
    assert f"> GET {url}\n< 302 HTTP/2\n> GET {server.url}/redirect/0\n" in result.err


@unix
async def test_get_passes_on_what_comes_and_leaves_on_ctrl_c(
    server: Server, trust: list[str], start: Callable[..., Awaitable[trio.Process]]
) -> None:
    process = await start("get", f"{server.url}/stream/2/5?delay=3600", *trust)
    assert process.stdout is not None
    assert await process.stdout.receive_some() == bytes(5)
    process.send_signal(signal.SIGINT)
    assert await read_all(process.stderr) == ""
    assert await process.wait() == 130
    await eventually(lambda: server.stats.connections_open == 0)
    assert server.stats.resets == [(1, 8)]


@unix
async def test_get_ends_quietly_when_nobody_reads(
    server: Server, trust: list[str], start: Callable[..., Awaitable[trio.Process]]
) -> None:
    process = await start("get", f"{server.url}/bytes/100000000", *trust)
    assert process.stdout is not None
    await process.stdout.receive_some(10)
    await process.stdout.aclose()
    assert await read_all(process.stderr) == ""
    assert await process.wait() == 141


async def test_get_does_not_care_for_a_slow_reader(
    server: Server, trust: list[str], start: Callable[..., Awaitable[trio.Process]]
) -> None:
    process = await start("get", f"{server.url}/bytes/50000000", *trust)
    await eventually(lambda: server.stats.bytes_out > 100_000)
    await trio.sleep(0.3)
    # It holds what fits into the windows and no more, and still answers.
    assert server.stats.bytes_out < 40_000_000
    assert len(await read_all_bytes(process.stdout)) == 50_000_000
    assert await process.wait() == 0


async def read_all_bytes(stream: trio.abc.ReceiveStream | None) -> bytes:
    assert stream is not None
    return b"".join([data async for data in stream])


# What can go wrong.


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "COMMAND"),
        (["fetch"], "invalid choice"),
        (["get"], "URL"),
        (["get", "ftp://localhost/"], "scheme 'ftp' is not supported"),
        (["get", "https:///path"], "no host"),
        (["get", "https://localhost:99999"], "ort"),
        (["get", "localhost", "-H", "no colon"], "'no colon' is not 'NAME: VALUE'"),
        (["get", "localhost", "-H", "bad name: x"], "bad name"),
        (["get", "localhost", "-H", "x: a\nb"], "control character"),
        (["get", "localhost", "-X", "G T"], "not a method"),
        (["get", "localhost", "--http2", "maybe"], "maybe"),
        (["get", "localhost", "--cafile", "nothing"], "--cafile nothing: No such file"),
        (["get", "localhost", "--cafile", __file__], "no PEM certificate"),
        (["get", "localhost", "--cafile", "x", "--insecure"], "not allowed with"),
        (["get", "localhost", "--data-file", "nothing"], "--data-file nothing"),
        (["get", "localhost", "-d", "x", "--data-file", "y"], "not allowed with"),
        (["connect", "localhost", "--wait", "soon"], "'soon' is not a number of seconds"),
        (["connect", "localhost", "--subprotocol", "a b"], "'a b' is not a token"),
        (["demo", "--websockets", "-1"], "'-1' is not a number"),
        (["demo", "--download", "much"], "'much' is not a size"),
        (["demo", "--websockets", "0", "--requests", "0", "--download", "0"], "nothing to do"),
        (["demo", "--url", "localhost", "--request-path", "x"], "does not begin with a slash"),
    ],
)
async def test_bad_usage_is_2(args: list[str], words: str, cli: Cli) -> None:
    result = (await cli(*args)).check(2)
    assert words in result.line()
    assert result.out == b""


@pytest.mark.parametrize("command", [["get"], ["connect"], ["demo", "--url"]])
async def test_no_connection_is_1(command: list[str], server: Server, cli: Cli) -> None:
    line = (await cli(*command, server.url)).check(1).line()
    assert "certificate was not accepted" in line
    assert "--cafile" in line
    line = (await cli(*command, "https://localhost:9")).check(1).line()
    assert "https://localhost:9: could not connect" in line


async def test_an_error_of_the_server_is_1(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("get", f"{server.url}/partial/10/2", *trust)).check(1)
    assert result.out == bytes(range(10))
    assert "reset the stream with INTERNAL_ERROR" in result.line()
    async with open_server(alpn=("http/1.1",)) as old:
        line = (await cli("get", old.url, "--insecure", "--http2", "require")).check(1).line()
        assert "alpn" in line


async def test_insecure_and_in_clear(server: Server, cli: Cli) -> None:
    assert (await cli("get", server.url, "--insecure")).check().out.startswith(b"hello")
    async with open_server(tls=False) as clear:
        assert (await cli("get", clear.url, "--http2", "require")).check().out.startswith(b"hello")


# connect


async def test_connect_in_a_pipe(server: Server, trust: list[str], cli: Cli) -> None:
    url = f"{server.ws_url}/ws/echo"
    # The last line has no end, one is empty, one is no UTF-8, one ends like a line of Windows.
    result = (await cli("connect", url, "--wait", "0.3", *trust, stdin=b"one\n\n\xff\ntwo\r\nthree")).check()
    assert result.out.decode() == "one\n\n\ufffd\ntwo\nthree\n"
    assert result.err.startswith("closed with 1000; 5 sent, 5 received")
    assert result.err.count("\n") == 1
    many = b"".join(b"%d\n" % i for i in range(3000))
    assert (await cli("connect", url, *trust, stdin=many)).check().out == many


async def test_connect_agrees_on_a_subprotocol_and_pings(server: Server, trust: list[str], cli: Cli) -> None:
    options = ["--subprotocol", "unknown", "--subprotocol", "v2", "--origin", "https://a.example", "--wait", "0.3"]
    result = (await cli("connect", f"{server.ws_url}/ws/echo", "-v", *options, *trust)).check()
    assert "connected over HTTP/2 stream 1, subprotocol v2\n" in result.err
    assert re.search(r"^ping [0-9.]+ ms$", result.err, re.MULTILINE)
    assert "ENABLE_CONNECT_PROTOCOL 1" in result.err
    assert result.out == b""


async def test_connect_shows_bytes_as_hex(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("connect", f"{server.ws_url}/ws/push/2/3", *trust)).check()
    assert result.out == b"binary, 3 bytes: 78 78 78\n" * 2
    assert "closed by the server with 1000 'all pushed'" in result.err


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [
        ("close/1000", 0, "closed by the server with 1000 'closed with 1000'"),
        ("close/1001", 0, "closed by the server with 1001"),
        ("close/1005", 0, "closed by the server with 1005"),
        ("close/1011", 1, "closed by the server with 1011"),
        ("reset/2", 1, "(1006): the server reset the stream with INTERNAL_ERROR"),
        ("refuse/403", 1, "error: the server refused the WebSocket with status 403"),
    ],
)
async def test_connect_tells_how_it_ended(
    path: str,
    code: int,
    words: str,
    server: Server,
    trust: list[str],
    start: Callable[..., Awaitable[trio.Process]],
) -> None:
    # stdin stays open: that the other side has ended is enough.
    process = await start("connect", f"{server.ws_url}/ws/{path}", *trust)
    err = await read_all(process.stderr)
    assert words in err
    assert err.count("\n") == 1
    assert await process.wait() == code


async def test_connect_shows_a_refusal(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("connect", f"{server.ws_url}/ws/refuse/403", "-v", *trust)).check(1)
    assert "< content-type: text/plain" in result.err
    assert "refused with 403" in result.err


@unix
async def test_connect_says_close_on_ctrl_c(
    server: Server, trust: list[str], start: Callable[..., Awaitable[trio.Process]]
) -> None:
    process = await start("connect", f"{server.ws_url}/ws/echo", *trust)
    assert process.stdin is not None
    assert process.stdout is not None
    await process.stdin.send_all(b"hello\n")
    assert await process.stdout.receive_some() == b"hello\n"
    process.send_signal(signal.SIGINT)
    assert (await read_all(process.stderr)).startswith("closed with 1001; 1 sent, 1 received")
    assert await process.wait() == 130
    await eventually(lambda: server.stats.connections_open == 0)
    assert server.stats.websockets_open == 0


class Terminal:
    """The other end of a pseudo-terminal: what a person types, and what is on the screen."""

    def __init__(self, master: int) -> None:
        self._stream = trio.lowlevel.FdStream(master)
        self.seen = ""

    async def type(self, text: str) -> None:
        await self._stream.send_all(text.encode())

    async def until(self, words: str) -> None:
        while words not in self.seen:
            self.seen += (await self._stream.receive_some()).decode()

    async def aclose(self) -> None:
        await self._stream.aclose()


@unix
@pytest.mark.parametrize("no_color", ["", "1"])
async def test_connect_at_a_terminal(
    no_color: str, server: Server, trust: list[str], start: Callable[..., Awaitable[trio.Process]]
) -> None:
    master, slave = os.openpty()
    terminal = Terminal(master)
    env = {**ENVIRONMENT, "TERM": "xterm", "NO_COLOR": no_color}
    process = await start(
        "connect", f"{server.ws_url}/ws/echo", *trust, stdin=slave, stdout=slave, stderr=slave, env=env
    )
    os.close(slave)
    await terminal.until("connected over HTTP/2 stream 1")
    await terminal.until("> ")
    await terminal.type("hello\n")
    await terminal.until(" hello\x1b8")  # written above the line that is being typed
    # What comes from the server can't steer the terminal.
    await terminal.type("\x1b[31mred\n")
    await terminal.until("\\x1b[31mred")
    server.broadcast("two\nlines")
    await terminal.until("two\r\nlines\x1b8\x1b[2B")
    assert ("\x1b[32m<\x1b[0m hello" in terminal.seen) is (no_color == "")
    await terminal.type("\x04")
    await terminal.until("closed with 1000; 2 sent, 3 received")
    assert await process.wait() == 0
    await terminal.aclose()


# demo


async def test_demo_for_a_person(cli: Cli) -> None:
    result = (await cli("demo")).check()
    assert result.err == ""
    page = result.out.decode()
    for words in (
        "HTTP/2; the server counted 1 TCP connection, 1 TLS handshake",
        "up to 256 at once",
        "100 closed cleanly at the end",
        "while the download ran",
        "without it",
        "Everything worked, on one connection.",
    ):
        assert words in page
    assert "\x1b" not in page
    assert max(len(line) for line in page.splitlines()) <= 100


async def test_demo_for_a_machine(cli: Cli) -> None:
    result = (await cli("demo", "--json")).check()
    assert result.err == ""
    found = json.loads(result.out)
    assert found["ok"] is True
    assert found["problems"] == found["notes"] == []
    assert found["connections"] == {"client": 1, "server": 1, "tls_handshakes": 1}
    assert found["streams"]["opened"] == 301
    assert found["websockets"]["opened"] == found["websockets"]["closed"] == found["websockets"]["asked"] == 100
    assert found["requests"]["answered"] == found["requests"]["asked"] == 200
    assert found["download"]["received"] == found["download"]["asked"] == 10_000_000 < found["bytes"]["received"]
    for kind in ("beside_download", "alone"):
        waits = found["echo"][kind]
        assert waits["count"] > 0
        assert 0 < waits["median"] <= waits["slowest"]


async def test_demo_with_another_server(server: Server, trust: list[str], cli: Cli) -> None:
    options = ["--websockets", "5", "--requests", "6", "--download", "64KiB", "--json"]
    found = json.loads((await cli("demo", "--url", server.ws_url, *options, *trust)).check().out)
    assert found["url"] == server.url
    assert found["ok"] is True
    assert found["connections"] == {"client": 1, "server": None, "tls_handshakes": None}
    assert found["download"]["received"] == 65536
    assert server.stats.tcp_connections == 1


async def test_demo_leaves_out_what_is_not_there(trust: list[str], cli: Cli) -> None:
    options = ["--insecure", "--requests", "6", "--download", "1k"]
    async with open_server(extended_connect=False) as server:
        page = (await cli("demo", "--url", server.url, "--download-path", "/nope", *options)).check().out.decode()
        assert "note: no download: /nope returned 404" in page
        assert "note: no WebSockets: " in page
        assert "Everything else worked, on one connection." in page
    async with open_server(settings={0x3: 20}) as server:
        found = json.loads((await cli("demo", "--url", server.url, *options, "--json")).check().out)
        assert found["websockets"]["opened"] == 12
        assert "12 WebSockets instead of 100: the origin allows 20 streams at once" in found["notes"]
        assert server.stats.tcp_connections == 1
        paths = ["--download-path", "/nope", "--request-path", "/nope", "--websocket-path", "/ws/refuse/404"]
        page = (await cli("demo", "--url", server.url, *paths, *options)).check(1).out.decode()
        assert "problem: nothing left to do: this origin serves no part of the demo" in page


async def test_demo_that_does_not_work_is_1(server: Server, trust: list[str], cli: Cli) -> None:
    options = ["--url", server.url, "--timeout", "1", *trust]
    result = (await cli("demo", *options, "--request-path", "/hang")).check(1)
    assert "problem: not finished after 1 s" in result.out.decode()
    result = (await cli("demo", *options, "--websocket-path", "/ws/close/1011")).check()
    assert "note: no WebSockets: WebSocket closed with 1011" in result.out.decode()


async def test_demo_without_the_extra_says_what_to_install(cli: Cli, tmp_path: pathlib.Path) -> None:
    # The directory that a command runs in comes first on Python's path.
    (tmp_path / "trustme.py").write_text("raise ImportError")
    assert "pip install 'trio_h2ws[testing]'" in (await cli("demo")).check(1).line()


# Parts that a whole process shows badly.


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("10_000", 10_000), ("64k", 64_000), ("10MB", 10**7), ("1GiB", 2**30), ("5 b", 5)]
)
def test_size(text: str, number: int) -> None:
    assert size(text) == number


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_960, "100 kB"), (999_600, "1.0 MB"), (5 * 10**9, "5.0 GB")],
)
def test_amount(number: int, text: str) -> None:
    assert amount(number) == text


def test_above_makes_room_for_what_a_terminal_wraps() -> None:
    assert above("x" * 10, "X", 10, 24) == "\x1b7\n\x1b[1A\x1b[1L\rX\x1b8\x1b[1B"
    assert above("x" * 11, "X", 10, 24).endswith("\x1b[2B")
    assert above("宽" * 6, "X", 10, 24).endswith("\x1b[2B")
    assert above("e\u0301" * 10, "X", 10, 24).endswith("\x1b[1B")
    assert above("a\n\n\nb", "a\n\n\nb", 10, 24) == "\x1b7\n\n\n\n\x1b[4A\x1b[4L\ra\n\n\nb\x1b8\x1b[4B"


def test_above_when_the_screen_is_too_small() -> None:
    assert above("1\n2\n3", "1\n2\n3", 10, 3) == "\r\x1b[K1\n2\n3\n> "


def test_hex_of_a_long_message() -> None:
    assert hex_of(bytes(3), 2) == "binary, 3 bytes: 00 00 …"
    assert hex_of(bytes(2), None) == "binary, 2 bytes: 00 00"
