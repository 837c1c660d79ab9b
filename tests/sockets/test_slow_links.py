"""A slow link is not a dead one: pings that wait behind our own bytes, or whose answer does, are waited for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import trio_h2ws
from trio_h2ws.testing import open_server

RATE = 300_000  # bytes a second, each way
STEP = 0.02  # seconds
SIZE = 900_000

pytestmark = pytest.mark.slow


@asynccontextmanager
async def slow_link(port: int) -> AsyncIterator[int]:
    """A relay with small buffers that passes on `RATE` bytes a second, each way."""

    async def copy(source: trio.SocketStream, target: trio.SocketStream) -> None:
        try:
            while data := await source.receive_some(int(RATE * STEP)):
                await trio.sleep(len(data) / RATE)
                await target.send_all(data)
            await target.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass  # one side has closed

    async def serve(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", port)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(copy, near, far)
            nursery.start_soon(copy, far, near)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        for listener in listeners:
            listener.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 32_768)
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_slow(http2: Any, **options: Any) -> AsyncIterator[trio_h2ws.Client]:
    settings = {4: 2**24}  # INITIAL_WINDOW_SIZE: so large that no credit comes back in time
    async with (
        open_server(tls=False, settings=settings) as server,
        slow_link(server.port) as port,
        trio_h2ws.open_client(base_url=f"http://127.0.0.1:{port}", http2=http2, **options) as client,
    ):
        yield client


@pytest.mark.parametrize("http2", ["require", "never"])
async def test_a_large_message_each_way_is_no_silence(http2: Any) -> None:
    """It is echoed, so three seconds up, and three down."""
    async with (
        open_slow(http2) as client,
        client.websocket("/ws/echo", compression=None, ping_interval=0.3, ping_timeout=0.6) as ws,
    ):
        await ws.send(bytes(SIZE))
        assert len(await ws.receive_bytes()) == SIZE
        await trio.sleep(1)
        await ws.send("still here")
        assert await ws.receive() == "still here"


async def test_the_ping_of_http2_may_wait_behind_an_upload() -> None:
    timeouts = trio_h2ws.Timeouts(ping_interval=0.3, ping_timeout=0.6, probe_after=0.3, probe_timeout=0.6)
    async with open_slow("require", timeouts=timeouts) as client, trio.open_nursery() as nursery:
        nursery.start_soon(post, client)
        await trio.sleep(1)
        assert (await client.get("/")).status == 200  # behind the upload as well
        assert len(client.connections) == 1


async def post(client: trio_h2ws.Client) -> None:
    assert (await client.post("/upload", content=bytes(SIZE))).json()["bytes"] == SIZE
