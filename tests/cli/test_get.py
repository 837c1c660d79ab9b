"""`python -m trio_h2ws get`."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import signal

import pytest
import trio

from servers.http1 import Peer, open_http1
from trio_h2ws.testing import Server, open_server

from .processes import Cli, Start, eventually, read_all, read_all_bytes, unix

pytestmark = pytest.mark.slow


async def test_get_writes_only_the_body(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("get", f"{server.url}/bytes/300000", *trust)).check()
    assert result.out == (bytes(range(256)) * 1172)[:300000]
    assert result.err == ""


async def test_get_assumes_https(server: Server, trust: list[str], cli: Cli) -> None:
    address = server.url.removeprefix("https://")
    assert (await cli("get", f"{address}/json", *trust)).check().out.startswith(b'{"hello"')


async def test_get_sends_method_body_and_headers(server: Server, trust: list[str], cli: Cli) -> None:
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


async def test_get_sends_the_length_of_a_file(
    server: Server, trust: list[str], cli: Cli, tmp_path: pathlib.Path
) -> None:
    """Some servers refuse a body of unknown length (411)."""
    (tmp_path / "data").write_bytes(b"12345")
    sent = json.loads((await cli("get", f"{server.url}/headers", "--data-file", "data", *trust)).check().out)
    assert ["content-length", "5"] in sent
    assert [":method", "POST"] in sent


@unix
async def test_get_uploads_from_a_named_pipe(
    server: Server, trust: list[str], cli: Cli, tmp_path: pathlib.Path
) -> None:
    os.mkfifo(tmp_path / "pipe")

    async def write() -> None:
        await trio.Path(tmp_path / "pipe").write_bytes(b"x" * 300_000)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        result = await cli("get", f"{server.url}/upload", "--data-file", "pipe", *trust)
    assert json.loads(result.check().out)["bytes"] == 300_000


async def test_get_writes_to_a_file(server: Server, trust: list[str], cli: Cli, tmp_path: pathlib.Path) -> None:
    result = (await cli("get", f"{server.url}/status/418", "-i", "-o", "body", *trust)).check()
    assert result.out == b""
    head, body = (tmp_path / "body").read_bytes().split(b"\n\n")
    assert head.startswith(b"HTTP/2 418\ncontent-type: text/plain; charset=utf-8\n")
    assert body == b"status 418\n"
    # A request that fails leaves the file as it was.
    (await cli("get", f"{server.url}/reset/2", "-o", "body", *trust)).check(1)
    assert (tmp_path / "body").read_bytes().endswith(body)


async def test_get_saves_no_body_that_may_be_truncated(cli: Cli, tmp_path: pathlib.Path) -> None:
    """The server ends TLS without close_notify, after a body without a length."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"half of it?", length=False)
        assert isinstance(peer.stream, trio.SSLStream)
        await peer.stream.transport_stream.aclose()

    async with open_http1(serve) as cutting:
        result = (await cli("get", cutting.url, "--insecure", "-o", "body")).check(1)
        assert f"{cutting.url}: the end of the body was not marked" in result.line()
        assert "body was removed" in result.line()
        assert not (tmp_path / "body").exists()
        result = (await cli("get", cutting.url, "--insecure", "-o", os.devnull)).check(1)
        assert "may be incomplete" in result.line()
        result = (await cli("get", cutting.url, "--insecure")).check(1)
        assert result.out == b"half of it?"
        assert "may be incomplete" in result.line()


async def test_get_verbose_shows_the_exchange(server: Server, trust: list[str], cli: Cli) -> None:
    result = (await cli("get", f"{server.url}/informational/1", "-v", *trust)).check()
    assert result.out.startswith(b"hello")
    assert f"> GET {server.url}/informational/1\n" in result.err
    assert "< 103 link: </style-0.css>" in result.err
    assert "< 200 HTTP/2, stream 1" in result.err
    assert re.search(r"\* round trip [0-9.]+ ms", result.err)
    assert "ENABLE_CONNECT_PROTOCOL 1" in result.err
    assert "x-checksum: " in (await cli("get", f"{server.url}/trailers", "-v", *trust)).check().err


async def test_get_follows_redirects_only_when_asked(server: Server, trust: list[str], cli: Cli) -> None:
    url = f"{server.url}/redirect/1"
    result = (await cli("get", url, "-v", *trust)).check()
    assert result.out == b""
    assert "* redirect to /redirect/0, not followed" in result.err
    result = (await cli("get", url, "-v", "-L", *trust)).check()
    assert result.out.startswith(b"hello")
    assert f"> GET {url}\n< 302 HTTP/2\n> GET {server.url}/redirect/0\n" in result.err


@unix
async def test_get_streams_its_output_and_stops_on_ctrl_c(server: Server, trust: list[str], start: Start) -> None:
    process = await start("get", f"{server.url}/stream/2/5?delay=3600", *trust)
    assert process.stdout is not None
    assert await process.stdout.receive_some() == bytes(5)
    process.send_signal(signal.SIGINT)
    assert await read_all(process.stderr) == ""
    assert await process.wait() == 130
    await eventually(lambda: server.stats.connections_open == 0)
    assert server.stats.resets == [(1, 8)]


@unix
async def test_get_ends_quietly_when_its_pipe_is_closed(server: Server, trust: list[str], start: Start) -> None:
    process = await start("get", f"{server.url}/bytes/100000000", *trust)
    assert process.stdout is not None
    await process.stdout.receive_some(10)
    await process.stdout.aclose()
    assert await read_all(process.stderr) == ""
    assert await process.wait() == 141


async def test_get_waits_for_a_slow_reader(server: Server, trust: list[str], start: Start) -> None:
    process = await start("get", f"{server.url}/bytes/50000000", *trust)
    await eventually(lambda: server.stats.bytes_out > 100_000)
    await trio.sleep(0.3)
    # It holds no more than fits into the windows, and continues.
    assert server.stats.bytes_out < 40_000_000
    assert len(await read_all_bytes(process.stdout)) == 50_000_000
    assert await process.wait() == 0


async def test_get_works_insecure_and_in_clear(server: Server, cli: Cli) -> None:
    assert (await cli("get", server.url, "--insecure")).check().out.startswith(b"hello")
    async with open_server(tls=False) as clear:
        assert (await cli("get", clear.url, "--http2", "require")).check().out.startswith(b"hello")
