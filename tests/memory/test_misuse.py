"""Misuse raises Trio's and Python's own exceptions, at once, and harms nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import assert_checkpoints

import trio_h2ws
from toolkit import assert_clean, frames, open_websocket, scripted_peer


async def test_a_second_task_in_receive_is_busy() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        first = peer.call(ws.receive)
        await peer.settle()
        with pytest.raises(trio.BusyResourceError):
            await ws.receive()
        await theirs.send("for the first")
        assert await first.result() == "for the first"
        ws.abort()


async def test_a_client_of_another_event_loop_raises() -> None:
    """What it waits for would happen in another thread, so it would wait for ever."""
    async with scripted_peer() as peer, peer.open_client() as client:

        async def elsewhere() -> None:
            with trio.fail_after(5):
                for call in (client.get, client.connect_websocket):
                    with pytest.raises(RuntimeError, match=r"another trio\.run\(\)"):
                        await call("/")
                with pytest.raises(RuntimeError, match=r"another trio\.run\(\)"):
                    async with client.stream("GET", "/"):
                        pass

        await trio.to_thread.run_sync(trio.run, elsewhere)


async def test_a_second_task_in_a_response_is_busy() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def read_twice() -> bytes:
            async with client.stream("GET", "/") as response:
                first = peer.call(response.read)
                await peer.settle()
                with pytest.raises(trio.BusyResourceError):
                    await response.__anext__()
                await peer.data(1, b"for the first", end=True)
                return await first.result()

        call = peer.call(read_twice)
        await peer.respond(await peer.expect_headers(), end=False)
        assert await call.result() == b"for the first"


async def test_calls_on_a_closed_websocket_raise() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for how in ("abort", "aclose"):
            ws, theirs = await open_websocket(peer, client)
            if how == "abort":
                ws.abort()
                ws.abort()
            else:
                closing = peer.call(ws.aclose)
                await theirs.expect_close()
                await theirs.close()
                await closing.result()
                await theirs.expect_rst()
            for call in (ws.receive, lambda ws=ws: ws.send("x"), ws.ping):
                with pytest.raises(trio.ClosedResourceError):
                    await call()
            with assert_checkpoints():
                await ws.aclose()
        await peer.settle()
        assert_clean(client, peer)


async def test_closing_wakes_a_task_in_receive() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        receiving = peer.call(ws.receive)
        await peer.settle()
        closing = peer.call(ws.aclose)
        await receiving.error(trio.ClosedResourceError)
        await theirs.close()
        await closing.result()


async def test_calls_on_a_closed_client_raise() -> None:
    async with scripted_peer() as peer:
        async with peer.open_client() as client:
            peer.serve()
            await client.get("/")
            ws = await client.connect_websocket("/")
        for call in (lambda: client.get("/"), lambda: client.connect_websocket("/")):
            with pytest.raises(trio.ClosedResourceError):
                await call()
        with pytest.raises((trio.ClosedResourceError, trio_h2ws.ConnectionLost)):
            await ws.receive()
        with pytest.raises((trio.ClosedResourceError, trio_h2ws.ConnectionLost)):
            await ws.send("x")
        await ws.aclose()
        assert client.connections == []


async def test_a_response_cannot_be_read_after_its_block() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def leave() -> trio_h2ws.Response:
            async with client.stream("GET", "/") as response:
                return response

        call = peer.call(leave)
        await peer.respond(await peer.expect_headers(), body=b"unread", end=False)
        response = await call.result()
        with pytest.raises(trio.ClosedResourceError):
            await response.read()
        assert response.status == 200


async def test_public_classes_have_no_public_constructor() -> None:
    for kind in (trio_h2ws.Client, trio_h2ws.Response, trio_h2ws.WebSocket):
        with pytest.raises(TypeError, match="no public constructor"):
            kind()


async def test_open_client_can_be_entered_only_once() -> None:
    manager = trio_h2ws.open_client()
    async with manager:
        with pytest.raises(RuntimeError):
            await manager.__aenter__()


@pytest.mark.parametrize("data", [None, 7, {"a": 1}])
async def test_only_text_and_bytes_are_messages(data: object) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        with pytest.raises(TypeError):
            await ws.send(data)  # type: ignore[arg-type]
        await ws.send("well")
        assert await theirs.expect_message() == "well"
        ws.abort()


@pytest.mark.parametrize(("code", "reason"), [(1005, ""), (999, ""), (1004, ""), (5000, ""), (1000, "x" * 124)])
async def test_a_reserved_close_code_is_not_sent(code: int, reason: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        with pytest.raises(ValueError):  # noqa: PT011
            await ws.aclose(code, reason)
        await ws.send("still open")
        assert await theirs.expect_message() == "still open"
        ws.abort()


# A message in parts holds back every other sender: also its own task, which would wait for itself.


async def parts_that_send(ws: trio_h2ws.WebSocket) -> AsyncIterator[str]:
    yield "first"
    await ws.send("from inside")


@pytest.mark.parametrize("full", [False, True])
async def test_sending_inside_an_open_message_is_an_error(full: bool) -> None:
    """A task that waits for itself."""
    limits = trio_h2ws.Limits(max_send_buffer=1000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        ws, theirs = await open_websocket(peer, client)
        peer.auto_credit = not full
        async with ws.open_message(text=True) as message:
            await message.send("x" * (70_000 if full else 1))
            for call in (
                lambda: ws.send("y"),
                lambda: ws.send_json({}),
                lambda: ws.send(["a", "b"]),
                lambda: ws.open_message(text=True).__aenter__(),
            ):
                with pytest.raises(trio.BusyResourceError, match="a message is open in this task"):
                    await call()
            peer.auto_credit = True
        if not full:
            assert (await theirs.expect_frame(frames.TEXT)).payload == b"x"
            assert (await theirs.expect_frame(frames.CONT)).fin
            await ws.send("after it")
            assert await theirs.expect_message() == "after it"
        ws.abort()


async def test_other_tasks_wait_for_the_message_to_end() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        async with trio.open_nursery() as nursery:  # older than the message
            async with ws.open_message(text=True) as message:
                await message.send("a")
                nursery.start_soon(ws.send, "from a child")
                other = peer.call(ws.send, "from elsewhere")
                await peer.settle()
                assert not other.done
                await message.send("b")
        await other.result()
        pieces = [await theirs.expect_frame() for _ in range(5)]
        assert [piece.payload for piece in pieces[:3]] == [b"a", b"b", b""]
        assert {piece.payload for piece in pieces[3:]} == {b"from a child", b"from elsewhere"}
        ws.abort()


async def test_a_child_inside_the_message_would_wait_for_ever() -> None:
    """The message can't end before its block, nor the block before a nursery in it."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)

        async def child() -> None:
            with pytest.raises(trio.BusyResourceError):
                await ws.send("from a child")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(grandchild)

        async def grandchild() -> None:
            with pytest.raises(trio.BusyResourceError):
                await ws.send("from its child")

        async with ws.open_message(text=True) as message:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(child)
            await message.send("still open")
        assert (await theirs.expect_frame(frames.TEXT)).payload == b"still open"
        ws.abort()


async def test_parts_that_send_on_the_same_websocket_fail() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        with pytest.raises(trio.BusyResourceError):
            await ws.send(parts_that_send(ws))
        assert (await theirs.expect_frame(frames.TEXT)).payload == b"first"
        await theirs.expect_close(1011)
        ws.abort()


async def test_a_websocket_may_be_closed_inside_its_message() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        async with ws.open_message(text=True) as message:
            await message.send("a")
            closing = peer.call(ws.aclose)
            await theirs.expect_frame(frames.TEXT)
            await theirs.expect_close()
            await theirs.close()
            await closing.result()
            await ws.aclose()
            with pytest.raises(trio.ClosedResourceError):
                await message.send("b")
