"""`uds=`: the Unix socket at a path, whatever host the URL names."""

from __future__ import annotations

import pathlib
import socket
import sys

import pytest

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.http2 import open_both
from servers.listener import client_context

pytestmark = pytest.mark.skipif(not hasattr(socket, "AF_UNIX") or sys.platform == "win32", reason="no Unix sockets")


@pytest.fixture
def path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    # A socket's path must be short (about 100 bytes); the temporary directory's may not be.
    monkeypatch.chdir(tmp_path)
    return "socket"


async def hello(peer: Peer) -> None:
    while (request := await peer.request()) is not None:
        if request.headers.get("upgrade") == "websocket":
            await (await peer.accept_websocket(request)).echo()
            return
        await peer.respond(200, request.headers["host"].encode())


async def echoes(ws: trio_h2ws.WebSocket) -> bool:
    await ws.send("x")
    return await ws.receive() == "x"


async def test_requests_and_websockets_work_in_clear(path: str) -> None:
    async with open_http1(hello, tls=False, uds=path), trio_h2ws.open_client(uds=path) as client:
        assert (await client.get("http://anything.test/")).text == "anything.test"
        assert (await client.get("http://127.0.0.1:8080/")).text == "127.0.0.1:8080"
        async with client.websocket("ws://anything.test/") as ws:
            assert await echoes(ws)


async def test_http2_works_inside_tls(path: str) -> None:
    async with (
        open_both(extended_connect=False, uds=path, names=["a.test"]),
        trio_h2ws.open_client(uds=path, ssl_context=client_context(), base_url="https://a.test") as client,
    ):
        assert (await client.get("/")).http_version == "HTTP/2"
        async with client.websocket("/") as ws:
            assert ws.http_version == "HTTP/1.1"
            assert await echoes(ws)


async def test_a_proxy_of_the_environment_is_ignored(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with open_http1(hello, tls=False, uds=path), trio_h2ws.open_client(uds=path) as client:
        assert (await client.get("http://anything.test/")).status == 200


async def test_a_missing_socket_is_named(path: str) -> None:
    async with trio_h2ws.open_client(uds=path) as client:
        with pytest.raises(
            trio_h2ws.ConnectFailed, match=r"http://anything\.test at the Unix socket 'socket': could not"
        ):
            await client.get("http://anything.test/")


async def test_the_path_may_be_a_pathlib_path(path: str) -> None:
    async with open_http1(hello, tls=False, uds=path), trio_h2ws.open_client(uds=pathlib.Path(path)) as client:
        assert (await client.get("http://anything.test/")).status == 200


def test_uds_excludes_a_proxy() -> None:
    with pytest.raises(ValueError, match="proxy, uds and open_stream"):
        trio_h2ws.open_client(uds="socket", proxy="http://127.0.0.1:1")
