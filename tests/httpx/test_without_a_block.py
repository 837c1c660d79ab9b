"""`AsyncTransport` without `async with`: opened by the first request, closed by `aclose()`, in whatever task.

The kind: a transport must work wherever the library's own works.
"""

from __future__ import annotations

import contextvars
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.listener import until
from trio_h2ws.httpx import AsyncTransport
from trio_h2ws.testing import Server, open_server


def own(server: Server, **options: Any) -> AsyncTransport:
    return AsyncTransport(ssl_context=server.ssl_context, trust_env=False, **options)


async def test_the_first_request_opens_the_client(lib: Any, server: Server) -> None:
    http = lib.AsyncClient(transport=own(server), base_url=server.url)
    for _ in range(3):
        assert (await http.get("/")).status_code == 200
    assert server.stats.tcp_connections == 1
    await http.aclose()
    await until(lambda: server.stats.connections_open == 0)
    assert server.stats.goaways == [0]
    await http.aclose()


async def test_an_unused_transport_may_be_closed(lib: Any, server: Server) -> None:
    await lib.AsyncClient(transport=own(server)).aclose()


async def test_first_requests_at_once_open_one_client(lib: Any, server: Server) -> None:
    http = lib.AsyncClient(transport=own(server), base_url=server.url)
    statuses = []

    async def get() -> None:
        statuses.append((await http.get("/")).status_code)

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(get)
    assert statuses == [200] * 20
    assert server.stats.tcp_connections == 1
    await http.aclose()


async def test_the_task_of_the_first_request_may_end(lib: Any, server: Server) -> None:
    http = lib.AsyncClient(transport=own(server), base_url=server.url)
    with trio.CancelScope() as scope:
        await http.get("/")
        scope.cancel()
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    with trio.move_on_after(0.05):
        await http.get("/hang")
    async with http.stream("GET", "/bytes/100000") as response:
        assert len(await response.aread()) == 100_000
    assert server.stats.tcp_connections == 1
    await http.aclose()


async def test_another_task_may_close_it(lib: Any, server: Server) -> None:
    """The request that is under way fails with an error of the library."""
    http = lib.AsyncClient(transport=own(server), base_url=server.url)

    async def hang() -> None:
        with pytest.raises(lib.ReadError):
            await http.get("/hang")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(hang)
        await until(lambda: server.stats.streams_open == 1)
        await http.aclose()
    await until(lambda: server.stats.connections_open == 0)


async def test_a_request_that_waits_fails_when_it_is_closed(lib: Any) -> None:
    async with open_server(settings_delay=60) as server:
        http = lib.AsyncClient(transport=own(server), base_url=server.url)

        async def waits() -> None:
            with pytest.raises(lib.ConnectError, match="closed"):
                await http.get("/")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits)
            await until(lambda: server.stats.tcp_connections == 1)
            await http.aclose()


@pytest.mark.parametrize("block", [True, False])
async def test_a_fixture_may_end_in_another_task(block: bool, lib: Any, server: Server) -> None:
    """As pytest plugins run async generators: each step in a task of its own."""

    async def fixture() -> AsyncGenerator[Any, None]:
        if block:
            async with lib.AsyncClient(transport=own(server), base_url=server.url) as http:
                yield http
        else:
            http = lib.AsyncClient(transport=own(server), base_url=server.url)
            yield http
            await http.aclose()

    generator = fixture()
    got: list[Any] = []

    async def step() -> None:
        try:
            got.append(await anext(generator))
        except StopAsyncIteration:
            pass

    async def use() -> None:
        got.append((await got[0].get("/")).status_code)

    for function in (step, use, step):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(function)
    assert got[1:] == [200]
    await until(lambda: server.stats.connections_open == 0)


async def test_it_may_be_used_again_after_it_was_closed(server: Server, lib: Any) -> None:
    transport = own(server)
    for _ in range(2):
        http = lib.AsyncClient(transport=transport, base_url=server.url)
        assert (await http.get("/")).status_code == 200
        await http.aclose()
        await until(lambda: server.stats.connections_open == 0)
    assert server.stats.tcp_connections == 2


async def test_a_cancelled_close_ends_the_client(lib: Any, server: Server) -> None:
    http = lib.AsyncClient(transport=own(server), base_url=server.url)
    await http.get("/")
    with trio.CancelScope() as scope:
        scope.cancel()
        await http.aclose()
    assert scope.cancelled_caught
    await until(lambda: server.stats.connections_open == 0)


async def test_an_upload_sees_the_variables_of_its_request(lib: Any, server: Server) -> None:
    name: contextvars.ContextVar[bytes] = contextvars.ContextVar("name", default=b"nothing")
    http = lib.AsyncClient(transport=own(server), base_url=server.url)

    async def content() -> AsyncIterator[bytes]:
        yield name.get()

    for value in (b"first", b"second"):
        name.set(value)
        assert (await http.post("/echo", content=content())).content == value
    await http.aclose()


async def test_wrong_options_are_reported_to_the_caller(lib: Any) -> None:
    http = lib.AsyncClient(transport=AsyncTransport(limits="many"))
    for _ in range(2):
        with pytest.raises(TypeError, match="limits must be Limits"):
            await http.get("https://example.org/")


# The end of trio.run.


def test_a_transport_may_be_used_in_two_runs_in_a_row(lib: Any) -> None:
    transports = []

    async def main() -> None:
        async with open_server(tls=False) as server:
            if not transports:
                transports.append(AsyncTransport(trust_env=False))
            http = lib.AsyncClient(transport=transports[0])
            assert (await http.get(server.url)).status_code == 200

    for _ in range(2):
        with pytest.warns(ResourceWarning, match="never closed"):
            trio.run(main)


async def test_two_runs_at_once_are_refused(lib: Any, server: Server) -> None:
    transport = own(server)
    http = lib.AsyncClient(transport=transport, base_url=server.url)
    await http.get("/")

    def other() -> None:
        async def main() -> None:
            with pytest.raises(RuntimeError, match=r"another trio\.run"):
                await http.get("/")
            with pytest.raises(RuntimeError, match=r"another trio\.run"):
                await transport.aclose()

        trio.run(main)

    await trio.to_thread.run_sync(other)
    assert (await http.get("/")).status_code == 200
    await http.aclose()


_NEVER_CLOSED = """
import trio, {library}
from trio_h2ws.httpx import AsyncTransport
from trio_h2ws.testing import open_server

async def main():
    async with open_server() as server:
        http = {library}.AsyncClient(transport=AsyncTransport(ssl_context=server.ssl_context, trust_env=False))
        response = await http.get(server.url)
        print(response.status_code, flush=True)

trio.run(main)
print("ended", flush=True)
"""


def test_an_unclosed_transport_warns_and_the_run_ends(lib: Any) -> None:
    """Also where warnings are errors: a system task that raises ends `trio.run` with TrioInternalError."""
    program = _NEVER_CLOSED.format(library=lib.__name__)
    for option in ("default", "error"):
        command = [sys.executable, "-W", f"{option}::ResourceWarning", "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["200", "ended"]
        assert "ResourceWarning: an AsyncTransport of trio_h2ws.httpx was never closed" in done.stderr


_INTERRUPTED = """
import signal, trio, {library}
from trio_h2ws.httpx import AsyncTransport

async def interrupted(host, port):
    signal.raise_signal(signal.SIGINT)  # as if Ctrl-C arrived just now, in a task of the client
    raise AssertionError

async def main():
    http = {library}.AsyncClient(transport=AsyncTransport(open_stream=interrupted))
    try:
        await http.get("http://example.org/")
    finally:
        await http.aclose()

try:
    trio.run(main)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_an_interrupt_in_the_client_ends_the_run(lib: Any) -> None:
    program = _INTERRUPTED.format(library=lib.__name__)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20)
    assert (done.stdout.strip(), done.returncode) == ("interrupted", 0), done.stderr


async def test_a_borrowed_client_is_not_closed(lib: Any, server: Server) -> None:
    async with trio_h2ws.open_client(ssl_context=server.ssl_context) as client:
        http = lib.AsyncClient(transport=AsyncTransport(client))
        await http.get(server.url)
        await http.aclose()
        assert (await client.get(server.url)).status == 200
