"""A network that drops a connection without telling either side, with real sockets and TLS: a relay that stops to
deliver, and a server process that is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import trio_h2ws
from trio_h2ws.testing import Server, open_server


class Relay:
    """Between the client and the server. `freeze` drops nothing and delivers nothing, on the connections of now."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._gates: list[trio.Event] = []

    @property
    def connections(self) -> int:
        return len(self._gates)

    def freeze(self) -> None:
        for index in range(len(self._gates)):
            self._gates[index] = trio.Event()

    def thaw(self) -> None:
        for gate in self._gates:
            gate.set()

    async def serve(self, near: trio.SocketStream) -> None:
        index = len(self._gates)
        self._gates.append(trio.Event())
        self._gates[index].set()
        far = await trio.open_tcp_stream("127.0.0.1", self._port)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(self._copy, near, far, index)
            await self._copy(far, near, index)
            nursery.cancel_scope.cancel()

    async def _copy(self, source: trio.SocketStream, target: trio.SocketStream, index: int) -> None:
        try:
            while data := await source.receive_some():
                await self._gates[index].wait()
                await target.send_all(data)
        except trio.BrokenResourceError:
            pass  # the other side has closed


@asynccontextmanager
async def open_relayed(server: Server, **options: Any) -> AsyncIterator[tuple[Relay, trio_h2ws.Client]]:
    relay = Relay(server.port)
    async with trio.open_nursery() as nursery:
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, relay.serve, [listener])
        port = listener.socket.getsockname()[1]
        async with trio_h2ws.open_client(
            base_url=f"https://localhost:{port}", ssl_context=server.ssl_context, **options
        ) as client:
            yield relay, client
            relay.thaw()
        nursery.cancel_scope.cancel()


async def test_the_next_call_leaves_a_black_hole() -> None:
    async with open_server() as server, open_relayed(server) as (relay, client):
        await client.get("/")
        async with client.websocket("/ws/echo") as ws:
            relay.freeze()
            with trio.move_on_after(0.3) as scope:
                await client.get("/")
            assert scope.cancelled_caught
            with trio.fail_after(2):
                assert (await client.get("/")).status == 200
                assert (await client.post("/echo", content=b"once")).content == b"once"
            assert relay.connections == 2
            # The old connection was only slow: its WebSocket has lost nothing.
            await ws.send("still here")
            relay.thaw()
            assert await ws.receive() == "still here"


async def test_deadlines_on_a_slow_server_cost_no_connection() -> None:
    async with open_server() as server, open_relayed(server) as (relay, client):
        await client.get("/")
        for _ in range(5):
            with trio.move_on_after(0.25):
                await client.get("/hang")
            assert (await client.get("/")).status == 200
        assert relay.connections == 1


SERVE = """
import trio
from trio_h2ws.testing import open_server

async def main():
    async with open_server(tls=False) as server:
        print(server.url, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
async def test_a_server_that_was_stopped_answers_when_it_continues() -> None:
    """No new connection can be made meanwhile: whichever is the first to work carries the call."""
    process = await trio.lowlevel.open_process([sys.executable, "-c", SERVE], stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        url = bytes(await process.stdout.receive_some()).decode().strip()
        async with trio_h2ws.open_client(base_url=url, http2="require") as client:
            await client.get("/")
            os.kill(process.pid, signal.SIGSTOP)
            with trio.move_on_after(0.3) as scope:
                await client.get("/")
            assert scope.cancelled_caught
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.get, "/")
                await trio.sleep(1)
                os.kill(process.pid, signal.SIGCONT)
                with trio.fail_after(2):
                    assert (await client.get("/")).status == 200
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await process.stdout.aclose()


async def test_a_connection_that_died_in_silence_is_left_by_the_next_call() -> None:
    timeouts = trio_h2ws.Timeouts(probe_after=0.3, probe_timeout=0.5)
    async with open_server() as server, open_relayed(server, timeouts=timeouts) as (relay, client):
        async with client.websocket("/ws/echo") as ws:
            await trio.sleep(0.4)
            relay.freeze()
            with trio.fail_after(2):
                assert (await client.get("/")).status == 200
                async with client.websocket("/ws/echo") as other:
                    assert other.http_version == "HTTP/2"
            assert relay.connections == 2
            relay.thaw()
            await ws.send("still here")
            assert await ws.receive() == "still here"
