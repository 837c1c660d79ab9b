"""Thousands of calls on one connection, cancelled at random points beside steady traffic. Nothing is lost."""

from __future__ import annotations

import hashlib
import random
from collections.abc import AsyncIterator

import pytest
import trio

import trio_h2ws
from toolkit import assert_clean, connection_of
from toolkit.inside import assert_credit_is_whole, has_output
from trio_h2ws.testing import open_server

pytestmark = pytest.mark.slow

CALLS = 3000


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])
async def test_random_cancellation_loses_nothing(memory: bool) -> None:
    chance = random.Random(8441)
    async with open_server(memory=memory) as server:
        async with trio_h2ws.open_client(
            base_url=server.url, ssl_context=server.ssl_context, open_stream=server.open_stream
        ) as client:

            async def parts() -> AsyncIterator[bytes]:
                for _ in range(chance.randrange(20)):
                    yield bytes(chance.randrange(20_000))
                    await trio.lowlevel.checkpoint()

            async def get() -> None:
                await client.get("/")

            async def large() -> None:
                await client.get(f"/bytes/{chance.randrange(300_000)}")

            async def upload() -> None:
                await client.post("/echo", content=bytes(chance.randrange(200_000)))

            async def upload_parts() -> None:
                await client.post("/echo", content=parts())

            async def stream() -> None:
                async with client.stream("GET", f"/bytes/{chance.randrange(300_000)}") as response:
                    async for _ in response:
                        if chance.random() < 0.1:
                            return

            async def websocket() -> None:
                async with client.websocket("/ws/echo") as ws:
                    for _ in range(chance.randrange(5)):
                        message = bytes(chance.randrange(50_000))
                        await ws.send(message)
                        assert await ws.receive() == message

            kinds = [get, large, upload, upload_parts, stream, websocket]
            done = 0

            async def worker() -> None:
                nonlocal done
                while done < CALLS:
                    done += 1
                    with trio.CancelScope() as scope:
                        if chance.random() < 0.8:
                            scope.deadline = trio.current_time() + chance.choice([0, 0.0005, 0.002, 0.01, 0.03])
                        await chance.choice(kinds)()

            corrupt = 0

            async def steady(n: int) -> None:
                nonlocal corrupt
                while done < CALLS:
                    body = chance.randbytes(30_000)
                    response = await client.post("/echo", content=body)
                    corrupt += hashlib.sha256(response.content).digest() != hashlib.sha256(body).digest()

            async def steady_websocket(ws: trio_h2ws.WebSocket) -> None:
                nonlocal corrupt
                while done < CALLS:
                    message = chance.randbytes(3000)
                    await ws.send(message)
                    corrupt += await ws.receive() != message
                await ws.aclose()

            async with trio.open_nursery() as nursery:
                for n in range(3):
                    nursery.start_soon(steady, n)
                    nursery.start_soon(steady_websocket, await client.connect_websocket("/ws/echo"))
                for _ in range(30):
                    nursery.start_soon(worker)

            assert corrupt == 0
            assert server.stats.tcp_connections == 1
            # The next request works, and everything in flight has settled by then.
            assert (await client.get("/")).status == 200
            await trio.sleep(0.5)
            assert_clean(client)
            assert_credit_is_whole(connection_of(client))
            # The server is done as well, and has credited all that it took.
            (theirs,) = server.connections
            assert not theirs.streams
            assert not has_output(connection_of(client))
            # Of thousands of tasks only the readers and writers are left.
            assert trio.lowlevel.current_statistics().tasks_living < 25
        assert server.stats.errors == []
