"""Misuse raises Trio's and Python's own exceptions, at once, and harms nothing."""

from __future__ import annotations

import pytest
import trio
from trio.testing import assert_checkpoints

import trio_h2ws
from toolkit import assert_clean, open_websocket, scripted_peer


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
