"""Hypercorn, a real server, with both of its workers, inside TLS and in clear.

One stray frame on a stream that it has dropped ends its connection, or its whole process. So every test ends with a
request that shows that the server still works.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any, NamedTuple

import pytest
import trio

import trio_h2ws
from servers.listener import authority, client_context
from servers.process import free_port, running

pytestmark = pytest.mark.slow

SUPPORT = pathlib.Path(__file__).parents[1] / "support"


class Ports(NamedTuple):
    tls: int
    clear: int


@pytest.fixture(scope="module", params=["trio", "asyncio"])
def hypercorn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ports]:
    pytest.importorskip("hypercorn", reason="Hypercorn is not installed (pip install hypercorn[trio])")
    directory: pathlib.Path = tmp_path_factory.mktemp("hypercorn")
    certificate = directory / "certificate.pem"
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    ports = Ports(free_port(), free_port())
    binds = ["--bind", f"127.0.0.1:{ports.tls}", "--insecure-bind", f"127.0.0.1:{ports.clear}"]
    tls = ["--certfile", str(certificate), "--keyfile", str(certificate)]
    command = [sys.executable, "-m", "hypercorn", "-k", request.param, *binds, *tls, "servers.app:app"]
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    with running(["env", f"PYTHONPATH={path}", *command], ports.tls):
        yield ports


@pytest.fixture(params=["tls", "h2c"])
async def client(request: pytest.FixtureRequest, hypercorn: Ports) -> AsyncIterator[trio_h2ws.Client]:
    if request.param == "tls":
        options: dict[str, Any] = {"base_url": f"https://localhost:{hypercorn.tls}", "ssl_context": client_context()}
    else:
        options = {"base_url": f"http://localhost:{hypercorn.clear}", "http2": "require"}
    async with trio_h2ws.open_client(**options) as client:
        first = await client.get("/")
        yield client
        # The server still works, and the connection is the same.
        last = await client.get("/")
        assert (last.status, last.connection.id) == (200, first.connection.id)
        assert len(client.connections) == 1


async def echoes(ws: trio_h2ws.WebSocket, message: str = "still here") -> None:
    await ws.send(message)
    assert await ws.receive() == message


async def pieces(count: int, piece: bytes) -> AsyncIterator[bytes]:
    for _ in range(count):
        await trio.lowlevel.checkpoint()
        yield piece


async def test_requests_of_every_size_are_answered(client: trio_h2ws.Client) -> None:
    response = await client.get("/")
    assert (response.text, response.http_version) == ("hello over HTTP/2", "HTTP/2")
    assert (await client.get("/nowhere")).status == 404
    assert (await client.head("/bytes/1000")).headers["content-length"] == "1000"
    assert client.connections[0].extended_connect

    async def get(size: int) -> None:
        assert len((await client.get(f"/bytes/{size}")).content) == size

    async with trio.open_nursery() as nursery:
        for i in range(50):
            nursery.start_soon(get, i * 10_000)


async def test_bodies_stream_both_ways(client: trio_h2ws.Client) -> None:
    assert (await client.post("/upload", content=pieces(300, b"x" * 10_000))).text == "3000000"
    assert (await client.post("/upload", content=b"x" * 3_000_000)).text == "3000000"
    count = 0
    async with client.stream("POST", "/echo", content=pieces(300, b"x" * 10_000)) as response:
        async for piece in response:
            count += len(piece)
    assert count == 3_000_000


async def test_a_response_may_be_left_half_read(client: trio_h2ws.Client) -> None:
    async with client.stream("GET", "/bytes/100000000") as response:
        await response.__anext__()
        assert len((await client.get("/bytes/1000000")).content) == 1_000_000
    async with client.stream("POST", "/echo", content=pieces(1_000_000, b"x" * 1000)) as response:
        await response.__anext__()


async def test_a_websocket_echoes_over_http2(client: trio_h2ws.Client) -> None:
    async with client.websocket("/ws", subprotocols=["v1", "v2"]) as ws:
        assert (ws.http_version, ws.subprotocol) == ("HTTP/2", "v2")
        await echoes(ws, "ä" * 10_000)
        await ws.send(b"\x00" * 300_000)
        assert await ws.receive() == b"\x00" * 300_000
        assert await ws.ping() < 5
    assert ws.close_code == 1000


async def test_a_refused_websocket_has_its_status(client: trio_h2ws.Client) -> None:
    for _ in range(3):
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/refuse")
        assert caught.value.status == 403


async def test_closing_one_websocket_leaves_the_others_open(client: trio_h2ws.Client) -> None:
    sockets = [await client.connect_websocket("/ws") for _ in range(10)]
    assert len({ws.connection.id for ws in sockets}) == 1

    async def the_others_work() -> None:
        await trio.sleep(0.3)  # by then the effect of our closing on the server has shown
        for ws in sockets:
            await echoes(ws)

    await sockets.pop().aclose()
    await the_others_work()

    server_closed = sockets.pop()
    await server_closed.send("bye")
    with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
        await server_closed.receive()
    assert (caught.value.code, caught.value.clean, caught.value.initiator) == (4001, True, "remote")
    await the_others_work()

    sockets.pop().abort()
    await the_others_work()

    with trio.move_on_after(0.05):
        async with client.websocket("/ws") as ws:
            await ws.receive()
    await the_others_work()

    for ws in sockets:
        await ws.aclose(4000, "enough")


async def test_a_busy_websocket_can_be_closed(client: trio_h2ws.Client) -> None:
    """Messages cross our Close on the wire."""
    for _ in range(5):
        ws = await client.connect_websocket("/ws")
        for i in range(200):
            await ws.send(f"{i}" * 100)
        await ws.aclose()
    await trio.sleep(0.3)


async def test_websockets_work_beside_a_download(client: trio_h2ws.Client) -> None:
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def download() -> None:
            assert len((await client.get("/bytes/20000000")).content) == 20_000_000

        @nursery.start_soon
        async def upload() -> None:
            assert (await client.post("/upload", content=pieces(200, b"x" * 10_000))).text == "2000000"

        for _ in range(10):

            @nursery.start_soon
            async def talk() -> None:
                async with client.websocket("/ws") as ws:
                    for i in range(20):
                        await echoes(ws, str(i))


async def test_everything_works_over_http1(hypercorn: Ports) -> None:
    async with trio_h2ws.open_client(
        base_url=f"https://localhost:{hypercorn.tls}", ssl_context=client_context(), http2="never"
    ) as client:
        assert (await client.get("/")).text == "hello over HTTP/1.1"
        assert (await client.post("/upload", content=pieces(100, b"x" * 10_000))).text == "1000000"
        assert len((await client.post("/echo", content=pieces(100, b"x" * 10_000))).content) == 1_000_000
        async with client.websocket("/ws", subprotocols=["v1"]) as ws:
            assert (ws.http_version, ws.subprotocol) == ("HTTP/1.1", "v1")
            await echoes(ws)
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/refuse")
        assert caught.value.status == 403
        ws = await client.connect_websocket("/ws")
        await ws.send("bye")
        with pytest.raises(trio_h2ws.WebSocketClosed) as closed:
            await ws.receive()
        assert closed.value.code == 4001
