"""`uds=`: the Unix socket at a path, whatever host the URL names."""

from __future__ import annotations

import pathlib
import socket
import sys

import pytest
import trio

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


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
async def test_a_full_queue_of_connections_is_waited_for(path: str) -> None:
    async def serve(listener: socket.socket) -> None:
        listener.setblocking(False)
        async with trio.open_nursery() as nursery:
            while True:
                await trio.lowlevel.wait_readable(listener)
                await trio.sleep(0.002)
                stream = trio.SocketStream(trio.socket.from_stdlib_socket(listener.accept()[0]))
                nursery.start_soon(echo, stream)

    async def echo(stream: trio.SocketStream) -> None:
        async with stream:
            peer = Peer(stream)
            request = await peer.request()
            assert request is not None
            try:
                await (await peer.accept_websocket(request)).echo()
            except trio.BrokenResourceError:
                pass

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(2)
        async with trio.open_nursery() as nursery, trio_h2ws.open_client(uds=path) as client:
            nursery.start_soon(serve, listener)
            async with client.open_websocket_group(["ws://anything.test/"] * 40) as group:
                for ws in group.websockets:
                    assert await echoes(ws)
            nursery.cancel_scope.cancel()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a full queue refuses")
async def test_a_queue_that_stays_full_meets_the_connect_timeout(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as only:
        listener.bind(path)
        listener.listen(0)
        only.connect(path)
        async with trio_h2ws.open_client(uds=path, timeouts=trio_h2ws.Timeouts(connect=0.2)) as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match=r"a place in the queue of the Unix socket 'socket'"):
                await client.post("http://anything.test/")


async def test_the_path_may_be_a_pathlib_path(path: str) -> None:
    async with open_http1(hello, tls=False, uds=path), trio_h2ws.open_client(uds=pathlib.Path(path)) as client:
        assert (await client.get("http://anything.test/")).status == 200


def test_uds_excludes_a_proxy() -> None:
    with pytest.raises(ValueError, match="proxy, uds and open_stream"):
        trio_h2ws.open_client(uds="socket", proxy="http://127.0.0.1:1")
