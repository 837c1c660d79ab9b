"""Calls that are cancelled at each of their checkpoints in turn, alone and in pairs, beside one that must not notice.

A checkpoint is counted with each step that the task of a call makes.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import trio

import trio_h2ws
from toolkit import assert_clean
from trio_h2ws.testing import open_server

from .mutations import check_no_bug, run

Call = Callable[[trio_h2ws.Client], Awaitable[Any]]


class Cancels(trio.abc.Instrument):
    """Cancels each watched task after so many of its steps."""

    def __init__(self) -> None:
        self._left: dict[trio.lowlevel.Task, tuple[int, trio.CancelScope]] = {}

    def watch(self, task: trio.lowlevel.Task, steps: int, scope: trio.CancelScope) -> None:
        self._left[task] = (steps, scope)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        if task in self._left:
            steps, scope = self._left.pop(task)
            if steps:
                self._left[task] = (steps - 1, scope)
            else:
                scope.cancel()


async def parts() -> AsyncIterator[bytes]:
    for _ in range(4):
        yield bytes(3_000)
        await trio.lowlevel.checkpoint()


async def download(client: trio_h2ws.Client) -> None:
    async with client.stream("GET", "/stream/5/3000") as response:
        async for _ in response:
            pass


async def read(client: trio_h2ws.Client) -> None:
    async with client.stream("GET", "/gzip") as response:
        await response.read()


async def socket(client: trio_h2ws.Client) -> None:
    async with client.websocket("/ws/echo") as ws:
        await ws.send("text" * 100)
        await ws.receive()
        await ws.ping()
        async with ws.open_message(text=False) as message:
            await message.send(b"a" * 1000)
            await message.send(b"b")
        async for _ in ws.receive_parts():
            pass


async def group(client: trio_h2ws.Client) -> None:
    async with client.open_websocket_group(["/ws/echo"] * 3) as sockets:
        for ws in sockets.websockets:
            await ws.send("x")
        for _ in range(3):
            await sockets.receive()


async def reconnecting(client: trio_h2ws.Client) -> None:
    async for ws in client.reconnecting_websocket("/ws/echo"):
        async with ws:
            await ws.send("x")
            async for _ in ws:
                return


CALLS: list[Call] = [
    lambda client: client.get("/bytes/50000"),
    lambda client: client.post("/echo", content=bytes(100_000)),
    lambda client: client.post("/echo", content=parts()),
    lambda client: client.get("/redirect/2"),
    download,
    read,
    socket,
    group,
    reconnecting,
]


async def cancelled_after(client: trio_h2ws.Client, call: Call, steps: int, cancels: Cancels) -> bool:
    """Whether it was cancelled; else it had ended before."""
    with trio.CancelScope() as scope:
        cancels.watch(trio.lowlevel.current_task(), steps, scope)
        await call(client)
        return False
    return True


async def try_(chosen: list[Call], steps: list[int], http2: Any) -> bool:
    """Cancel these calls, at once, after so many steps. Returns whether the first was cancelled in time."""
    cancels = Cancels()
    was_cancelled: list[bool] = []
    async with (
        open_server(memory=True, tls=False, settings={3: 12}) as server,
        trio_h2ws.open_client(base_url=server.url, open_stream=server.open_stream, http2=http2) as client,
    ):
        await client.get("/")

        async def one(call: Call, after: int) -> None:
            result = await cancelled_after(client, call, after, cancels)
            if call is chosen[0]:
                was_cancelled.append(result)

        async def beside() -> None:
            assert len((await client.get("/bytes/30000")).content) == 30_000

        trio.lowlevel.add_instrument(cancels)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beside)
            for call, after in zip(chosen, steps, strict=True):
                nursery.start_soon(one, call, after)
        trio.lowlevel.remove_instrument(cancels)
        assert (await client.post("/echo", content=b"after")).content == b"after"
        await trio.sleep(10)  # WebSockets close
        assert_clean(client)
        if http2 == "require":
            assert server.stats.tcp_connections == 1, "a cancelled call has cost the connection"
    return was_cancelled[0]


def case(seed: int) -> None:
    chance = random.Random(seed)
    http2 = chance.choice(("require", "require", "never"))
    chosen = [chance.choice(CALLS) for _ in range(chance.choice((1, 2)))]
    run(lambda: checked(chosen, [chance.randrange(chance.choice((5, 60))) for _ in chosen], http2))


async def checked(chosen: list[Call], steps: list[int], http2: Any) -> bool:
    try:
        return await try_(chosen, steps, http2)
    except trio_h2ws.H2WSError as error:
        check_no_bug(error)
        raise


async def at_every_checkpoint(call: Call, http2: Any) -> int:
    """Alone, at each checkpoint in turn. Returns how many there are."""
    steps = 0
    while await checked([call], [steps], http2):
        steps += 1
    return steps
