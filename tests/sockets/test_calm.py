"""Servers that ask for calm (ENHANCE_YOUR_CALM) with their defaults.

Node resets streams when their responses would take more than 10 MB of memory in one connection, and ends the
connection, with all its streams, after a hundred of those. granian says GOAWAY after a thousand resets by the client.
"""

from __future__ import annotations

import os
import pathlib
from collections import Counter
from collections.abc import Iterator

import pytest
import trio

import trio_h2ws
from servers.process import free_port, running
from servers.program import find

pytestmark = pytest.mark.slow

SUPPORT = pathlib.Path(__file__).parents[1] / "support"


@pytest.fixture(scope="module")
def node() -> Iterator[str]:
    program = find("node")
    if program is None:
        pytest.skip("Node is not installed")
    port = free_port()
    with running([program, str(SUPPORT / "servers" / "node_http2.mjs"), str(port)], port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def granian() -> Iterator[str]:
    program = find("granian")
    if program is None:
        pytest.skip("granian is not installed (pip install granian)")
    port = free_port()
    options = ["--interface", "asgi", "--http", "2", "--host", "127.0.0.1", "--port", str(port), "--no-log"]
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    with running(["env", f"PYTHONPATH={path}", program, *options, "servers.app:app"], port):
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("count", [50, 200])
async def test_node_answers_every_get(node: str, count: int) -> None:
    sizes: Counter[int] = Counter()

    async def get(client: trio_h2ws.Client) -> None:
        sizes[len((await client.get("/")).content)] += 1

    async with trio_h2ws.open_client(base_url=node, http2="require") as client:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(count):
                    nursery.start_soon(get, client)
        (connection,) = client.connections
        assert connection.calm is not None
        assert connection.calm < count
    assert sizes == {1024 * 1024: count}


async def test_granian_loses_no_call_of_others(granian: str) -> None:
    statuses: Counter[int] = Counter()
    finished = False

    async def get_all_the_time(client: trio_h2ws.Client) -> None:
        while not finished:
            statuses[(await client.get("/bytes/10000")).status] += 1

    async def give_up(client: trio_h2ws.Client) -> None:
        with trio.move_on_after(0.001):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(client.get, "/bytes/1000000")

    async with trio_h2ws.open_client(base_url=granian, http2="require") as client:
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(get_all_the_time, client)
                for _ in range(100):
                    await give_up(client)
                finished = True
    assert set(statuses) == {200}
