"""Hypercorn at `keep_alive_max_requests`: it says GOAWAY, promises to process what is under way, and drops it.

After that it takes whatever arrives for a breach of the protocol, and says so in a second GOAWAY.
"""

from __future__ import annotations

import os
import pathlib
import sys
from collections import Counter
from collections.abc import Iterator

import pytest
import trio

import trio_h2ws
from servers.process import free_port, running

pytestmark = pytest.mark.slow

SUPPORT = pathlib.Path(__file__).parents[1] / "support"
REQUESTS_A_CONNECTION = 300


@pytest.fixture(scope="module", params=["trio", "asyncio"])
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    pytest.importorskip("hypercorn", reason="Hypercorn is not installed (pip install hypercorn[trio])")
    config = tmp_path_factory.mktemp("hypercorn") / "config.toml"
    port = free_port()
    config.write_text(f'keep_alive_max_requests = {REQUESTS_A_CONNECTION}\nbind = "127.0.0.1:{port}"\n')
    command = [sys.executable, "-m", "hypercorn", "-k", request.param, "-c", str(config), "servers.app:app"]
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    with running(["env", f"PYTHONPATH={path}", *command], port):
        yield f"http://127.0.0.1:{port}"


async def send(client: trio_h2ws.Client, method: str, path: str, total: int, at_once: int) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    left = total

    async def calls() -> None:
        nonlocal left
        while left:
            left -= 1
            try:
                response = await client.request(method, path, content=b"x" if method == "POST" else None)
                outcomes[str(response.status)] += 1
            except trio_h2ws.ConnectionLost as error:
                outcomes[f"{type(error).__name__}, may be done: {error.may_have_been_processed}"] += 1

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(calls)
    return outcomes


@pytest.mark.parametrize("at_once", [1, 20, 100])
async def test_no_get_is_lost(url: str, at_once: int) -> None:
    async with trio_h2ws.open_client(base_url=url, http2="require") as client:
        with trio.fail_after(20):
            assert await send(client, "GET", "/", 1000, at_once) == {"200": 1000}


async def test_lost_posts_may_have_been_done(url: str) -> None:
    async with trio_h2ws.open_client(base_url=url, http2="require") as client:
        outcomes = await send(client, "POST", "/upload", 500, 20)
    assert outcomes["200"] > 300
    assert sum(outcomes.values()) == 500
    assert set(outcomes) <= {"200", "ConnectionTerminated, may be done: True"}


async def test_feeds_end_with_the_first_goaway(url: str) -> None:
    async with trio_h2ws.open_client(base_url=url, http2="require") as client:
        feeds = [await client.connect_websocket("/ws") for _ in range(20)]
        await send(client, "GET", "/", REQUESTS_A_CONNECTION, 1)
        for feed in feeds:
            with trio.fail_after(5), pytest.raises(trio_h2ws.ConnectionTerminated) as caught:
                await feed.receive()
            assert caught.value.error_code == trio_h2ws.ErrorCode.NO_ERROR
