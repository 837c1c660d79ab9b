"""Calls on a connection to a server that sends bytes which were made before: what becomes of each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio
from trio.testing import memory_stream_pair

import trio_h2ws
from toolkit import connections_of
from toolkit.inside import dials_of, places_of, slots_of, streams_of

from .mutations import check_no_bug

Outcome = tuple[str, Any]
ALLOWED = (trio_h2ws.H2WSError, trio.ClosedResourceError)
TIMEOUTS = trio_h2ws.Timeouts(ping_interval=20.0, ping_timeout=20.0, probe_after=None)


class Server:
    """Sends the pieces on its first connection when `ready` says so of what it has received, and ends it. Refuses
    every other connection."""

    def __init__(self, pieces: list[bytes], greeting: bytes, ready: Callable[[bytes], bool]) -> None:
        self._pieces = pieces
        self._greeting = greeting
        self._ready = ready
        self.nursery: trio.Nursery | None = None
        self.received = b""
        self.dials = 0

    async def open_stream(self, host: str, port: int) -> trio.abc.Stream:
        self.dials += 1
        if self.dials > 1:
            raise OSError("one connection is enough")
        ours, theirs = memory_stream_pair()
        assert self.nursery is not None
        self.nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, stream: trio.abc.Stream) -> None:
        async with stream, trio.open_nursery() as nursery:
            sent = trio.Event()
            nursery.start_soon(self._send, stream, sent)
            try:
                while data := await stream.receive_some(65536):
                    self.received += data
                    if self._ready(self.received):
                        sent.set()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass
            nursery.cancel_scope.cancel()

    async def _send(self, stream: trio.abc.Stream, ready: trio.Event) -> None:
        try:
            await stream.send_all(self._greeting)
            await ready.wait()
            for piece in self._pieces:
                await stream.send_all(piece)
                await trio.testing.wait_all_tasks_blocked()
            await trio.sleep(1)
            await stream.aclose()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has ended the connection


async def get(client: trio_h2ws.Client) -> Any:
    response = await client.get("/")
    return response.status, response.content, response.may_be_truncated


async def read_stream(client: trio_h2ws.Client) -> Any:
    body = b""
    async with client.stream("GET", "/") as response:
        async for chunk in response:
            body += chunk
    return response.status, body


async def websocket(client: trio_h2ws.Client) -> Any:
    """What was received, and the Close. What ends the stream may come in one read with the answer to the handshake,
    or after it: so a WebSocket that could not be opened looks like one that was lost without a message."""
    received: list[Any] = []
    ws: trio_h2ws.WebSocket | None = None
    try:
        ws = await client.connect_websocket("/")
        while True:
            received.append(await ws.receive())
    except ALLOWED as error:
        check_no_bug(error)
        code = ws.close_code if ws is not None else None
        return received, code if code != 1006 else None
    finally:
        if ws is not None:
            ws.abort()


async def outcomes(
    server: Server, calls: list[Callable[[trio_h2ws.Client], Awaitable[Any]]], **options: Any
) -> list[Outcome]:
    """What each call gave, or the type of what it raised. The books must balance afterwards."""
    results: list[Outcome] = [("", None)] * len(calls)

    async def make(index: int, client: trio_h2ws.Client) -> None:
        try:
            results[index] = ("gave", await calls[index](client))
        except ALLOWED as error:
            check_no_bug(error)
            results[index] = ("raised", type(error).__name__)

    async with trio.open_nursery() as nursery:
        server.nursery = nursery
        async with trio_h2ws.open_client(
            base_url="http://server.test", open_stream=server.open_stream, timeouts=TIMEOUTS, **options
        ) as client:
            async with trio.open_nursery() as callers:
                for index in range(len(calls)):
                    callers.start_soon(make, index, client)
                    await trio.testing.wait_all_tasks_blocked()  # so that streams are opened in this order
            for connection in connections_of(client):
                assert streams_of(connection) == {}, "a stream is left"
                assert slots_of(connection) == (0, 0), "a slot is lost"
            taken, held = places_of(client)
            assert taken == held + dials_of(client), "a place for a connection is lost"
        nursery.cancel_scope.cancel()
    return results
