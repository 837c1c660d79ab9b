"""Any mix of calls, cancelled at any moment: afterwards nothing is lost, and the next request works."""

from __future__ import annotations

from collections.abc import AsyncIterator

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_h2ws
from toolkit import assert_clean, connection_of
from toolkit.inside import assert_credit_is_whole, streams_of
from trio_h2ws.testing import open_server

kinds = st.sampled_from(["get", "large", "upload", "parts", "stream", "websocket", "ping"])
steps = st.lists(
    st.tuples(kinds, st.integers(0, 100_000), st.integers(0, 25), st.integers(0, 60)), min_size=1, max_size=12
)


async def spin(count: int) -> None:
    """Wait for that many scheduler passes, the finest clock there is."""
    for _ in range(count):
        await trio.lowlevel.checkpoint()


async def do(client: trio_h2ws.Client, kind: str, size: int) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield bytes(size // 5)

    if kind == "get":
        assert (await client.get("/")).status == 200
    elif kind == "large":
        assert len((await client.get(f"/bytes/{size}")).content) == size
    elif kind == "upload":
        assert len((await client.post("/echo", content=bytes(size))).content) == size
    elif kind == "parts":
        assert len((await client.post("/echo", content=parts())).content) == size // 5 * 5
    elif kind == "stream":
        async with client.stream("GET", f"/bytes/{size}") as response:
            async for _ in response:
                break
    else:
        async with client.websocket("/ws/echo") as ws:
            if kind == "ping":
                await ws.ping()
            else:
                await ws.send(bytes(size))
                assert await ws.receive() == bytes(size)


@settings(max_examples=40, deadline=None)
@given(steps)
async def test_cancellation_at_any_moment_loses_nothing(script: list[tuple[str, int, int, int]]) -> None:
    async with open_server(memory=True, tls=False) as server:
        async with trio_h2ws.open_client(
            base_url=server.url, http2="require", open_stream=server.open_stream
        ) as client:

            async def run(kind: str, size: int, start: int, length: int) -> None:
                await spin(start)
                async with trio.open_nursery() as nursery:

                    async def cancel() -> None:
                        await spin(length)
                        nursery.cancel_scope.cancel()

                    # 60 passes: not cancelled.
                    if length < 60:
                        nursery.start_soon(cancel)
                    await do(client, kind, size)
                    nursery.cancel_scope.cancel()

            async with trio.open_nursery() as nursery:
                for step in script:
                    nursery.start_soon(run, *step)
            assert (await client.get("/")).status == 200
            for _ in range(200):
                await spin(10)
                if not streams_of(connection_of(client)):
                    break
            else:
                await trio.sleep(0.4)  # for a closing handshake
            assert_clean(client)
            assert_credit_is_whole(connection_of(client))
            assert server.stats.tcp_connections == 1
        assert server.stats.errors == []
