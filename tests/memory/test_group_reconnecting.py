"""A group whose WebSockets come back, and change while it runs."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import scripted_peer


async def test_one_that_ends_comes_back(autojump_clock: MockClock) -> None:
    opened: list[str] = []

    async def subscribe(ws: trio_h2ws.WebSocket) -> None:
        opened.append(ws.response.url)
        await ws.send("subscribe")

    async with scripted_peer() as peer, peer.open_client() as client:
        async with client.open_websocket_group(["/a", "/b"], reconnect=True, on_open=subscribe) as group:
            first, second = await peer.accept_websocket(), await peer.accept_websocket()
            assert await first.expect_message() == "subscribe"
            await first.send("1")
            await second.send("2")
            assert sorted([(await group.receive())[1] for _ in range(2)]) == ["1", "2"]
            await trio.sleep(20)
            await first.send("last")
            await peer.rst(first)
            again = await peer.accept_websocket(within=5)
            assert (await group.receive())[1] == "last"
            assert again.request.path == first.request.path
            assert await again.expect_message() == "subscribe"
            await again.send("back")
            ws, message = await group.receive()
            assert message == "back"
            assert ws in group.websockets
            assert len(group.websockets) == 2
            assert len(opened) == 3


async def test_one_that_is_given_up_does_not_affect_the_others(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        async with client.open_websocket_group(["/a", "/bad"], reconnect=True) as group:
            for _ in range(2):
                request = await peer.expect_headers()
                await peer.respond(request, 403 if request.path == "/bad" else 200, end=request.path == "/bad")
                good = request if request.path == "/a" else None
                if good is not None:
                    stream = good.stream
            with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
                await group.receive()
            assert caught.value.url == "/bad"  # type: ignore[attr-defined]
            await peer.data(stream, b"\x81\x05still")
            assert (await group.receive())[1] == "still"


async def test_on_failure_gets_what_is_given_up(autojump_clock: MockClock) -> None:
    failed: list[tuple[str, Exception]] = []
    async with scripted_peer() as peer, peer.open_client() as client:
        async with client.open_websocket_group(
            ["/bad"], reconnect=True, on_failure=lambda url, error: failed.append((url, error))
        ) as group:
            await peer.respond(await peer.expect_headers(), 404)
            with pytest.raises(trio.EndOfChannel):
                await group.receive()
            assert [(url, type(error)) for url, error in failed] == [("/bad", trio_h2ws.WebSocketRejected)]


async def test_handshakes_begin_at_a_bounded_rate(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        times: list[float] = []
        start = trio.current_time()
        async with client.open_websocket_group([f"/{n}" for n in range(7)], reconnect=True, rate=(3, 10.0)):
            for _ in range(7):
                await peer.accept_websocket(within=100)
                times.append(trio.current_time() - start)
        assert times == pytest.approx([0, 0, 0, 10, 10, 10, 20], abs=0.1)


@pytest.mark.parametrize("reconnect", [False, True])
async def test_so_many_handshakes_are_under_way_at_once(reconnect: bool, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def open_all() -> None:
            async with client.open_websocket_group(["/a"] * 5, reconnect=reconnect, max_connecting=2):
                await trio.sleep(10)

        call = peer.call(open_all)
        for _ in range(2):
            pair = [await peer.expect_headers() for _ in range(2)]
            await peer.settle()
            assert len(peer.requests) == pair[-1].stream // 2 + 1
            for request in pair:
                await peer.respond(request, end=False)
        await peer.accept_websocket()
        call.cancel()


@pytest.mark.parametrize("reconnect", [False, True])
async def test_websockets_are_added_and_removed_while_it_runs(reconnect: bool, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def use() -> list[Any]:
            received = []
            async with client.open_websocket_group(["/a"], reconnect=reconnect) as group:
                async for ws, message in group:
                    received.append(message)
                    if message == "add":
                        group.add("/b")
                    if message == "remove me":
                        group.remove(ws)
                        with pytest.raises(ValueError, match="not in the group"):
                            group.remove(ws)
                    if message == "end":
                        return received
            return received

        call = peer.call(use)
        first = await peer.accept_websocket()
        await first.send("add")
        second = await peer.accept_websocket()
        assert second.request.path == "/b"
        await second.send("from the second")
        await first.send("remove me")
        await first.expect_close(1000)
        await first.close(end=True)
        await peer.settle()
        await trio.sleep(10)
        assert len(peer.requests) == 2  # it is not opened again
        await second.send("end")
        await second.close(end=True)
        assert await call.result() == ["add", "from the second", "remove me", "end"]


async def test_a_batch_has_all_that_is_here(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.open_websocket_group(["/a", "/b"]).__aenter__)
        first, second = await peer.accept_websocket(), await peer.accept_websocket()
        group = await opening.result()
        for n in range(3):
            await first.send(f"a{n}")
            await second.send(f"b{n}")
        await peer.settle()
        batch = await group.receive_batch()
        assert sorted(message for _, message in batch) == ["a0", "a1", "a2", "b0", "b1", "b2"]
        waiting = peer.call(group.receive_batch)
        await peer.settle()
        await first.send("later")
        assert [message for _, message in await waiting.result()] == ["later"]
        # An error that follows messages is raised by the next call.
        await first.send("last")
        await peer.rst(first)
        await peer.settle()
        assert [message for _, message in await group.receive_batch()] == ["last"]
        with pytest.raises(trio_h2ws.WebSocketClosed):
            await group.receive_batch()
        for ws in group.websockets:
            ws.abort()


async def test_one_that_is_added_and_refused_is_an_error_of_receive(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.open_websocket_group(["/a"]).__aenter__)
        first = await peer.accept_websocket()
        group = await opening.result()
        group.add("/bad")
        await peer.respond(await peer.expect_headers(), 403)
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await group.receive()
        assert caught.value.url == "/bad"  # type: ignore[attr-defined]
        await first.send("still here")
        assert (await group.receive())[1] == "still here"
        with pytest.raises(ValueError, match="no host"):
            group.add("https://")
        for ws in group.websockets:
            ws.abort()


async def test_leaving_the_block_ends_everything(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        async with client.open_websocket_group(["/a", "/b", "/c"], reconnect=True) as group:
            first = await peer.accept_websocket()
            peer.start_soon(first.echo)
            await peer.expect_headers()  # one is being opened
            await peer.settle()
        await peer.settle()
        assert group.websockets
        with pytest.raises(trio.ClosedResourceError):
            group.add("/d")
        assert all(
            request.reset is not None or request.path == first.request.path for request in peer.requests.values()
        )


@pytest.mark.parametrize(
    "bad",
    [
        {"max_connecting": 0},
        {"max_connecting": 1.5},
        {"rate": 5},
        {"rate": (0, 1)},
        {"rate": (1, 0)},
        {"rate": (1, "1")},
        {"on_open": 5},
        {"on_failure": "x"},
        {"first_backoff": 1},
        {"reconnect": True, "first_backoff": 50},
        {"reconnect": True, "stop_on": 5},
    ],
)
async def test_bad_arguments_are_refused(bad: dict[str, Any]) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with pytest.raises((TypeError, ValueError)):
            client.open_websocket_group(["/a"], **bad)
        assert not peer.frames
