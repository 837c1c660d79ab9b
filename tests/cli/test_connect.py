"""`python -m trio_h2ws connect`."""

from __future__ import annotations

import os
import re
import signal

import pytest
import trio

from trio_h2ws.testing import Server

from .processes import ENVIRONMENT, Cli, Start, eventually, read_all, unix

pytestmark = pytest.mark.slow


async def test_connect_sends_each_line_and_prints_each_message(server: Server, trust: list[str], cli: Cli) -> None:
    url = f"{server.ws_url}/ws/echo"
    # The last line is not terminated, one is empty, one is not UTF-8, one ends as on Windows.
    result = (await cli("connect", url, "--wait", "0.3", *trust, stdin=b"one\n\n\xff\ntwo\r\nthree")).check()
    assert result.out.decode() == "one\n\n\ufffd\ntwo\nthree\n"
    assert result.err.startswith("closed with 1000; 5 sent, 5 received")
    assert result.err.count("\n") == 1
    many = b"".join(b"%d\n" % i for i in range(3000))
    assert (await cli("connect", url, *trust, stdin=many)).check().out == many


async def test_connect_verbose_shows_subprotocol_and_round_trip(server: Server, trust: list[str], cli: Cli) -> None:
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
async def test_connect_says_how_the_websocket_ended(
    path: str,
    code: int,
    words: str,
    server: Server,
    trust: list[str],
    start: Start,
) -> None:
    # stdin stays open: the end of the other side is enough.
    process = await start("connect", f"{server.ws_url}/ws/{path}", *trust)
    err = await read_all(process.stderr)
    assert words in err
    assert err.count("\n") == 1
    assert await process.wait() == code


async def test_connect_verbose_shows_a_refusal(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("connect", f"{server.ws_url}/ws/refuse/403", "-v", *trust)).check(1)
    assert "< content-type: text/plain" in result.err
    assert "refused with 403" in result.err


@unix
async def test_ctrl_c_closes_the_websocket(server: Server, trust: list[str], start: Start) -> None:
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
    """The other end of a pseudo-terminal: what a user types, and what the screen shows."""

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
async def test_connect_prints_above_the_line_being_typed(
    no_color: str, server: Server, trust: list[str], start: Start
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
    # The server cannot control the terminal.
    await terminal.type("\x1b[31mred\n")
    await terminal.until("\\x1b[31mred")
    server.broadcast("two\nlines")
    await terminal.until("two\r\nlines\x1b8\x1b[2B")
    assert ("\x1b[32m<\x1b[0m hello" in terminal.seen) is (no_color == "")
    await terminal.type("\x04")
    await terminal.until("closed with 1000; 2 sent, 3 received")
    assert await process.wait() == 0
    await terminal.aclose()
