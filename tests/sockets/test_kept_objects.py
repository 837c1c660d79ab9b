"""What a user keeps (a response, an error, a closed WebSocket) does not keep what served it.

The kind: an object that lives for long refers to one that was needed for a moment only: the buffers of a connection,
OpenSSL's state, a timer that is due in an hour.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.listener import until
from tests.support.toolkit import inside
from trio_h2ws.testing import Server, open_server

KEPT = 30
A_FEW_KIB = 24 * 1024  # of each, its client included; the buffers of a connection alone took 158 KiB


async def response(client: trio_h2ws.Client) -> object:
    return await client.get("/")


async def unread_response(client: trio_h2ws.Client) -> object:
    async with client.stream("GET", "/bytes/1000") as result:
        return result


async def status_error(client: trio_h2ws.Client) -> object:
    with pytest.raises(trio_h2ws.HTTPStatusError) as caught:
        (await client.get("/status/404")).raise_for_status()
    return caught.value


async def closed_websocket(client: trio_h2ws.Client) -> object:
    async with client.websocket("/ws/echo") as ws:
        await ws.send("x" * 1000)
        await ws.receive()
    return ws


async def aborted_websocket(client: trio_h2ws.Client) -> object:
    async with client.websocket("/ws/echo") as ws:
        await ws.send("x" * 1000)
        ws.abort()
    return ws


async def reset_error(client: trio_h2ws.Client) -> object:
    with pytest.raises(trio_h2ws.H2WSError) as caught:
        await client.get("/reset/2")
    return caught.value


async def measure(
    server: Server, open_client: Callable[[], AbstractAsyncContextManager[trio_h2ws.Client]], make: Any
) -> float:
    kept: list[object] = []

    async def some(count: int) -> None:
        for _ in range(count):
            async with open_client() as client:
                kept.append(await make(client))
        await until(lambda: server.stats.connections_open == 0)  # its ends of them are in this process as well

    await some(3)
    kept.clear()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        await some(KEPT)
        gc.collect()
        return (tracemalloc.get_traced_memory()[0] - before) / KEPT
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("http2", ["require", "never"])
@pytest.mark.parametrize(
    "make", [response, unread_response, status_error, closed_websocket, aborted_websocket, reset_error]
)
async def test_what_is_kept_does_not_keep_its_connection(make: Any, http2: Any) -> None:
    async with open_server(alpn=("h2", "http/1.1")) as server:

        def open_client() -> AbstractAsyncContextManager[trio_h2ws.Client]:
            return trio_h2ws.open_client(base_url=server.url, ssl_context=server.ssl_context, http2=http2)

        assert await measure(server, open_client, make) < A_FEW_KIB


async def test_the_snapshot_of_a_connection_that_is_gone_stays() -> None:
    async with open_server() as server:
        async with trio_h2ws.open_client(base_url=server.url, ssl_context=server.ssl_context) as client:
            kept = await client.get("/")
            before = kept.connection
        after = kept.connection
    assert (after.protocol, after.origin, after.settings) == (before.protocol, before.origin, before.settings)
    assert after.bytes_in >= before.bytes_in > 0
    assert after.draining


@pytest.mark.parametrize("http2", ["require", "never"])
async def test_a_closed_websocket_is_not_kept_by_its_next_ping(http2: Any) -> None:
    async with open_server(alpn=("h2", "http/1.1")) as server:
        async with trio_h2ws.open_client(base_url=server.url, ssl_context=server.ssl_context, http2=http2) as client:
            for _ in range(100):
                async with client.websocket("/ws/echo", ping_interval=3600, ping_timeout=3600) as ws:
                    await ws.send("x")
                    await ws.receive()
            del ws
            await trio.sleep(0.05)
            gc.collect()
            left = [thing for thing in gc.get_objects() if type(thing) in inside.CLASSES_OF_A_CALL]
            assert not left
            for connection in inside.connections_of(client):
                assert inside.timers_of(connection) < 80
