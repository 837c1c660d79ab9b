"""Several tasks that use one response, WebSocket, group or client as the documentation forbids, or nearly.

Each call ends: with what it should give, or with one of the exceptions that misuse raises. Nothing is left over, and
the connection works afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any

import trio

import trio_h2ws
from toolkit import assert_clean
from trio_h2ws.testing import open_server

from .mutations import check_no_bug, run

ALLOWED = (
    trio.BusyResourceError,
    trio.ClosedResourceError,
    trio.EndOfChannel,
    trio_h2ws.WebSocketError,
    trio_h2ws.LimitExceeded,
    RuntimeError,
    StopAsyncIteration,
)
Act = Callable[[], Awaitable[Any]]


def acts_on_response(response: trio_h2ws.Response) -> list[Act]:
    async def content() -> None:
        _ = response.content

    return [response.read, response.__anext__, response.__anext__, content]


def acts_on_websocket(ws: trio_h2ws.WebSocket) -> list[Act]:
    async def in_parts() -> None:
        async for _ in ws.receive_parts():
            pass

    async def abort() -> None:
        ws.abort()

    async def open_message() -> None:
        async with ws.open_message(text=True) as message:
            await message.send("a")
            await ws.send("in the middle")

    async def iterate() -> None:
        async for _ in ws:
            return

    return [
        *(ws.receive, ws.receive, ws.receive_batch, ws.receive_text, ws.receive_bytes, ws.__anext__, ws.ping),
        *(in_parts, iterate, open_message, ws.aclose, lambda: ws.aclose(3000, "bye"), abort),
        *(lambda: ws.send("text"), lambda: ws.send(b"bytes" * 5_000), lambda: ws.send(["in ", "parts"])),
    ]


async def try_all(chance: random.Random, acts: list[Act]) -> None:
    """In several tasks, some of which are cancelled."""

    async def task() -> None:
        for _ in range(chance.randrange(1, 6)):
            act = chance.choice(acts)
            try:
                with trio.move_on_after(chance.choice((0, 0.01, 1, 5))):
                    await act()
            except ALLOWED as error:
                check_no_bug(error)
            if chance.random() < 0.3:
                await trio.sleep(chance.choice((0, 0.01)))

    async with trio.open_nursery() as nursery:
        for _ in range(chance.randrange(1, 5)):
            nursery.start_soon(task)


def case(seed: int) -> None:
    chance = random.Random(seed)
    http2: Any = chance.choice(("require", "never"))
    kind = chance.randrange(4)
    limits = trio_h2ws.Limits(max_queued_messages=chance.choice((1, 64)))

    async def once() -> None:
        async with open_server(memory=True, tls=False) as server:
            async with trio_h2ws.open_client(
                base_url=server.url, open_stream=server.open_stream, http2=http2, limits=limits
            ) as client:
                if kind == 0:
                    async with client.stream("GET", "/stream/5/2000?delay=0.01") as response:
                        await try_all(chance, acts_on_response(response))
                    await try_all(chance, acts_on_response(response))  # after the block
                elif kind == 1:
                    ws = await client.connect_websocket("/ws/echo")
                    await try_all(chance, acts_on_websocket(ws))
                    ws.abort()
                    await try_all(chance, acts_on_websocket(ws))
                elif kind == 2:
                    async with client.open_websocket_group(["/ws/echo"] * 2) as group:
                        acts: list[Act] = [group.receive, group.receive, group.__anext__]
                        for ws in group.websockets:
                            acts += acts_on_websocket(ws)
                        await try_all(chance, acts)
                else:
                    response = await client.get("/json")
                    await try_all(chance, [response.read, response.__anext__, lambda: client.get("/")])
                assert (await client.post("/echo", content=b"after")).content == b"after"
                await trio.sleep(10)
                assert_clean(client)
        with_closed = [lambda: client.get("/"), lambda: client.connect_websocket("/")]
        for act in with_closed:
            try:
                await act()
            except trio.ClosedResourceError:
                continue
            raise AssertionError("a closed client takes calls")

    run(once)
