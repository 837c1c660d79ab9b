"""A bug in the handling of one stream ends that stream alone, a bug in the handling of a connection ends that one.

Every hook, found by reflection, raises at each of its calls in turn, while calls of all kinds are under way. The
calls of other streams end as they do without it, none waits for ever, the next request works, and the client ends.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit.inside import hooks_of_a_connection, hooks_of_a_stream
from trio_h2ws.testing import Server, open_server

Outcomes = dict[str, str]


class Planted(Exception):
    """The bug."""


async def parts(count: float) -> AsyncIterator[bytes]:
    while count > 0:
        count -= 1
        yield bytes(10_000)
        await trio.sleep(0.2)


async def read_stream(client: trio_h2ws.Client) -> int:
    async with client.stream("GET", "/bytes/70000") as response:
        return sum([len(chunk) async for chunk in response])


async def talk(client: trio_h2ws.Client, server: Server) -> None:
    async with client.websocket(f"{server.ws_url}/ws/echo") as ws:
        await ws.send("hello")
        assert await ws.receive() == "hello"
        await ws.ping()
        await ws.receive()


async def hear_the_end(client: trio_h2ws.Client, server: Server) -> list[str | bytes]:
    async with client.websocket(f"{server.ws_url}/ws/close/1000") as ws:
        return [message async for message in ws]


async def read_slowly(client: trio_h2ws.Client, server: Server) -> int:
    """Its queue is full when the connection ends: messages and a Close are here, unparsed."""
    count = 0
    async with client.websocket(f"{server.ws_url}/ws/push/100/10") as ws:
        for _ in range(10):
            await ws.receive()
        await trio.sleep(2)
        async for _ in ws:
            count += 1
    assert count == 90
    return count


def calls(client: trio_h2ws.Client, server: Server) -> dict[str, Callable[[], Awaitable[object]]]:
    """One stream each, except that over HTTP/1.1 some may share a connection, one after the other. None is repeated
    by the client."""
    return {
        "1xx": lambda: client.post("/informational/2"),
        "body": lambda: client.post("/echo", content=bytes(100_000)),
        "pieces": lambda: read_stream(client),
        "upload": lambda: client.post("/echo", content=parts(3)),
        "reset": lambda: client.post("/reset/2"),
        "websocket": lambda: talk(client, server),
        "closed websocket": lambda: hear_the_end(client, server),
        "slow websocket": lambda: read_slowly(client, server),
        "unanswered": lambda: client.post("/hang"),
        "unanswered upload": lambda: client.post("/hang", content=parts(float("inf"))),
    }


async def outcome_of(call: Callable[[], Awaitable[object]]) -> str:
    with trio.move_on_after(100):
        try:
            await call()
        except trio_h2ws.H2WSError as error:
            is_bug = str(error).startswith("bug in trio_h2ws") and isinstance(error.__cause__, Planted)
            return "bug" if is_bug else type(error).__name__
        return "done"
    return "waits for ever"


async def run(http2: str) -> Outcomes:
    """Every call begins, the connections end in the middle, and the outcome of each is returned."""
    outcomes: Outcomes = {}
    async with open_server(memory=True, tls=False) as server:
        options: dict[str, Any] = {"http2": http2, "limits": trio_h2ws.Limits(max_connections_per_origin=50)}
        start = trio.current_time()
        async with trio_h2ws.open_client(base_url=server.url, open_stream=server.open_stream, **options) as client:

            async def note(name: str, call: Callable[[], Awaitable[object]]) -> None:
                outcomes[name] = await outcome_of(call)

            async with trio.open_nursery() as nursery:
                for name, call in calls(client, server).items():
                    nursery.start_soon(note, name, call)
                await trio.sleep(1)
                server.abort()
            await note("the next request", lambda: client.get("/"))
        assert trio.current_time() - start < 20, "the client did not end"
    return outcomes


class Planter:
    """Makes a method raise at its call number `number`, before or after it has done its work."""

    def __init__(self, kind: type, name: str, number: int, moment: str) -> None:
        self.has_raised = False
        self._calls = itertools.count()
        method = getattr(kind, name)

        def planted(*args: Any) -> Any:
            if next(self._calls) != number:
                return method(*args)
            self.has_raised = True
            if moment == "after":
                method(*args)
            raise Planted(f"in {name}")

        self.method = planted


async def plant(
    hook: tuple[type, str], http2: str, moment: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Outcomes]:
    """The outcomes with a bug in the first call of the hook, in its second, and so on, as long as there is one."""
    for number in itertools.count():
        planter = Planter(*hook, number, moment)
        with monkeypatch.context() as patch:
            patch.setattr(*hook, planter.method)
            outcomes = await run(http2)
        yield outcomes
        if not planter.has_raised:
            break


def name_of(hook: tuple[type, str]) -> str:
    return f"{hook[0].__name__}.{hook[1]}"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("http2", ["require", "never"])
@pytest.mark.parametrize("hook", hooks_of_a_stream(), ids=name_of)
@pytest.mark.slow
async def test_a_bug_in_a_hook_ends_its_stream_alone(
    hook: tuple[type, str], http2: str, moment: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    normal = await run(http2)
    assert "waits for ever" not in normal.values()
    async for outcomes in plant(hook, http2, moment, monkeypatch):
        changed = {name: outcome for name, outcome in outcomes.items() if outcome != normal[name]}
        assert len(changed) <= 1
        assert set(changed.values()) <= {"bug"}


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("http2", ["require", "never"])
@pytest.mark.parametrize("hook", hooks_of_a_connection(), ids=name_of)
@pytest.mark.slow
async def test_a_bug_in_a_connection_ends_its_calls(
    hook: tuple[type, str], http2: str, moment: str, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async for outcomes in plant(hook, http2, moment, monkeypatch):
        assert "waits for ever" not in outcomes.values()
