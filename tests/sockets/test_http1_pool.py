"""HTTP/1.1 at full width: how many connections an origin gets, which of them are used again, and which calls wait.

The kind: calls that wait although they could be served, and connections that no call needs.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import until
from toolkit.inside import dials_of, origin_pools_of, waiters_of
from trio_h2ws import Limits
from trio_h2ws.testing import open_server


class Held:
    """A server that answers "/hold" when `release` is set, and any other request after 20 ms."""

    def __init__(self) -> None:
        self.release = trio.Event()
        self.most = 0
        self.waiting = 0

    async def serve(self, peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            self.waiting += 1
            self.most = max(self.most, self.waiting)
            if request.target.startswith("/hold"):
                await self.release.wait()
            else:
                await trio.sleep(0.02)
            self.waiting -= 1
            closing = [("connection", "close")] if request.target.endswith("close") else []
            await peer.respond(200, b"hello", closing)
            if closing:
                await peer.gone()
                return


async def get(client: trio_h2ws.Client, url: str) -> None:
    assert (await client.get(url)).content == b"hello"


async def test_fifty_calls_get_fifty_connections() -> None:
    held = Held()
    async with open_http1(held.serve, tls=False) as server, server.open_client() as client:
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(get, client, "/hold")
            await until(lambda: held.waiting == 50)
            held.release.set()
        assert server.accepted == 50


async def test_six_long_responses_do_not_stop_an_origin() -> None:
    held = Held()
    async with open_http1(held.serve) as server, server.open_client() as client:
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(get, client, "/hold")
            await until(lambda: held.waiting == 6)
            for _ in range(5):
                await get(client, "/")
            held.release.set()
        assert server.accepted == 7


async def test_max_http1_connections_leaves_http2_alone() -> None:
    async with open_server(settings={3: 1}) as server:
        limits = Limits(max_http1_connections=1, max_connections_per_origin=2)
        async with trio_h2ws.open_client(ssl_context=server.ssl_context, limits=limits) as client:
            async with client.websocket(f"{server.ws_url}/ws/echo"):
                assert (await client.get(server.url)).status == 200
            assert server.stats.tcp_connections == 2


@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
async def test_one_dial_decides_before_a_burst(alpn: str) -> None:
    async with open_server(alpn=(alpn,)) as server:
        dials = 0
        gate = trio.Event()

        async def open_stream(host: str, port: int) -> trio.abc.Stream:
            nonlocal dials
            dials += 1
            await gate.wait()
            return await trio.open_tcp_stream("127.0.0.1", port)

        async with trio_h2ws.open_client(ssl_context=server.ssl_context, open_stream=open_stream) as client:
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(client.get, f"{server.url}/slow/0.1")
                await trio.testing.wait_all_tasks_blocked()
                assert dials == 1
                gate.set()
        assert server.stats.tcp_connections == (1 if alpn == "h2" else 20)


async def test_a_call_takes_a_connection_that_comes_free_during_its_dial() -> None:
    gate = trio.Event()
    held = Held()
    async with open_http1(held.serve, tls=False) as server:

        async def open_stream(host: str, port: int) -> trio.abc.Stream:
            if server.accepted:
                await gate.wait()
            return await trio.open_tcp_stream("127.0.0.1", port)

        async with server.open_client(open_stream=open_stream) as client:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(get, client, "/hold")
                await until(lambda: held.waiting)
                nursery.start_soon(get, client, "/")
                await until(lambda: dials_of(client))
                held.release.set()
            assert server.accepted == 1


async def test_the_connection_used_last_is_used_again() -> None:
    """Those that are not needed any more become idle, and end."""
    held = Held()
    timeouts = trio_h2ws.Timeouts(idle=0.3)
    async with open_http1(held.serve) as server, server.open_client(timeouts=timeouts) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(get, client, "/hold")
            await until(lambda: held.waiting == 5)
            held.release.set()
        await until(lambda: not dials_of(client))
        used = {(await client.get("/")).connection.id for _ in range(10)}
        assert len(used) == 1
        while len(client.connections) > 1:
            await get(client, "/")
        assert {info.id for info in client.connections} == used


# Calls that can't use HTTP/1.1, or need another connection.


async def test_a_burst_of_websockets_dials_one_connection_each() -> None:
    async with open_server(alpn=("http/1.1",)) as server:
        async with (
            trio_h2ws.open_client(ssl_context=server.ssl_context) as client,
            trio.open_nursery() as nursery,
        ):
            for _ in range(20):
                nursery.start_soon(client.connect_websocket, f"{server.ws_url}/ws/echo")
        assert server.stats.tcp_connections == 20


async def test_a_burst_that_requires_http2_dials_once() -> None:
    async with open_server(alpn=("http/1.1",)) as server:
        errors = []

        async def get_over_http2() -> None:
            try:
                await client.get(server.url)
            except trio_h2ws.HTTP2NotAvailable as error:
                errors.append(error)

        async with trio_h2ws.open_client(ssl_context=server.ssl_context, http2="require") as client:
            async with trio.open_nursery() as nursery:
                for _ in range(20):
                    nursery.start_soon(get_over_http2)
            assert [error.reason for error in errors] == ["alpn"] * 20
            assert len({id(error) for error in errors}) == 20
        assert server.stats.tcp_connections == 1


# Cancelled calls.


async def test_no_connection_is_dialled_for_a_cancelled_call() -> None:
    held = Held()
    limits = Limits(max_http1_connections=3)
    async with open_http1(held.serve) as server, server.open_client(limits=limits) as client:
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(get, client, "/hold/close")
            await until(lambda: held.waiting == 3)
            nursery.start_soon(get, client, "/")  # it stays in the queue, before those that are cancelled
            await trio.testing.wait_all_tasks_blocked()
            with trio.move_on_after(0.05):
                async with trio.open_nursery() as cancelled:
                    for _ in range(50):
                        cancelled.start_soon(client.get, "/")
            (origin_pool,) = origin_pools_of(client)
            assert waiters_of(origin_pool) == 1
            held.release.set()
        await until(lambda: not dials_of(client))
        assert server.accepted == 4


# Dials that fail.


@pytest.mark.slow
async def test_a_failed_dial_does_not_fail_calls_that_others_serve() -> None:
    """The server takes two connections, and refuses all others."""
    held = Held()
    opened = 0
    async with open_http1(held.serve) as server:

        async def open_stream(host: str, port: int) -> trio.abc.Stream:
            nonlocal opened
            if opened == 2:
                raise ConnectionRefusedError("too many connections")
            opened += 1
            return await trio.open_tcp_stream("127.0.0.1", port)

        async with server.open_client(open_stream=open_stream) as client:
            async with trio.open_nursery() as nursery:
                for _ in range(60):
                    nursery.start_soon(get, client, "/")
            # If none of the others comes free, the error is raised.
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(get, client, "/hold")
                await until(lambda: held.waiting == 2)
                with pytest.raises(trio_h2ws.ConnectFailed, match="too many connections"):
                    await client.get("/")
                held.release.set()


async def test_a_server_that_is_down_fails_every_call() -> None:
    failed: Counter[str] = Counter()

    async def refuse(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep(0.01)
        raise ConnectionRefusedError("no server here")

    async with trio_h2ws.open_client(open_stream=refuse) as client:

        async def fails() -> None:
            try:
                await client.get("http://nowhere.test/")
            except trio_h2ws.ConnectFailed as error:
                failed[str(error.__cause__)] += 1

        async with trio.open_nursery() as nursery:
            for _ in range(250):
                nursery.start_soon(fails)
        assert failed == {"no server here": 250}


# The callback that reports what a call waits for.


async def test_phases_of_a_call_over_http1() -> None:
    held = Held()
    limits = Limits(max_http1_connections=1)
    async with open_http1(held.serve) as server, server.open_client(limits=limits) as client:
        phases: dict[str, list[str]] = {"/hold": [], "/second": [], "/third": []}

        async def stream(path: str) -> None:
            async with client.stream("GET", path, on_phase=phases[path].append) as response:
                await response.read()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream, "/hold")
            await until(lambda: held.waiting)
            nursery.start_soon(stream, "/second")
            await trio.testing.wait_all_tasks_blocked()
            assert phases == {"/hold": ["connect", "head"], "/second": ["queue"], "/third": []}
            held.release.set()
        await stream("/third")
        assert phases == {"/hold": ["connect", "head"], "/second": ["queue", "head"], "/third": ["head"]}


@pytest.mark.parametrize("phase", ["queue", "head"])
async def test_an_error_of_on_phase_is_raised_by_its_call_alone(phase: str) -> None:
    held = Held()
    limits = Limits(max_http1_connections=1)

    def fail(now: str) -> None:
        if now == phase:
            raise LookupError(now)

    async with open_http1(held.serve) as server, server.open_client(limits=limits) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(get, client, "/hold")
            await until(lambda: held.waiting)

            async def fails() -> None:
                with pytest.raises(LookupError, match=phase):
                    async with client.stream("GET", "/", on_phase=fail):
                        pass

            nursery.start_soon(fails)
            nursery.start_soon(partial(get, client, "/"))
            await trio.testing.wait_all_tasks_blocked()
            held.release.set()
        await get(client, "/")
