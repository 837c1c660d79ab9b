"""`trio_h2ws.httpx` and failures: the timeouts and exceptions of both libraries."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import partial
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import until
from trio_h2ws.httpx import AsyncTransport
from trio_h2ws.testing import Server, open_server

MAX_CONCURRENT_STREAMS = 0x3
CANCEL, REFUSED_STREAM = 8, 7


def own(server: Server, **options: Any) -> AsyncTransport:
    return AsyncTransport(ssl_context=server.ssl_context, trust_env=False, **options)


def slow(server: Server, seconds: float) -> AsyncTransport:
    """It takes that long to connect."""

    async def open_stream(host: str, port: int) -> trio.SocketStream:
        await trio.sleep(seconds)
        return await trio.open_tcp_stream(host, port)

    return own(server, open_stream=open_stream)


async def parts(*data: bytes, pause: float = 0.0) -> AsyncGenerator[bytes, None]:
    for part in data:
        await trio.sleep(pause)
        yield part


# Timeouts.


@pytest.mark.slow
async def test_the_connect_timeout_raises_connect_timeout(lib: Any) -> None:
    async with open_server() as server, lib.AsyncClient(transport=slow(server, 60)) as http:
        with pytest.raises(lib.ConnectTimeout, match=r"no connection to https://localhost:\d+ within 0.1 s"):
            await http.get(server.url, timeout=lib.Timeout(30, connect=0.1))
        with trio.move_on_after(0.3) as scope:
            await http.get(server.url, timeout=lib.Timeout(0.1, connect=None))
        assert scope.cancelled_caught


@pytest.mark.slow
async def test_connecting_does_not_count_as_reading(lib: Any) -> None:
    async with open_server() as server, lib.AsyncClient(transport=slow(server, 0.4)) as http:
        timeout = lib.Timeout(0.2, connect=5)
        assert (await http.get(server.url, timeout=timeout)).status_code == 200
        with pytest.raises(lib.ReadTimeout, match=r"sent nothing within 0.2 s"):
            await http.get(f"{server.url}/hang", timeout=timeout)


@pytest.mark.slow
async def test_a_host_name_may_end_with_a_dot(lib: Any, server: Server, http: Any) -> None:
    url = server.url.replace("localhost", "localhost.")
    assert (await http.get(f"{url}/slow/0.4", timeout=lib.Timeout(5, connect=0.2))).status_code == 200
    assert (await http.get(url, timeout=None)).status_code == 200


async def test_the_write_timeout_raises_write_timeout(lib: Any, server: Server, http: Any) -> None:
    timeout = lib.Timeout(30, write=0.1)
    async with aclosing(parts(*[bytes(100_000)] * 500)) as source:  # httpx does not close it
        for content in (bytes(50_000_000), source):
            assert (await http.get("/")).status_code == 200
            server.freeze()
            with pytest.raises(lib.WriteTimeout, match=r"accepted no more of the request within 0.1 s"):
                await http.post("/upload", content=content, timeout=timeout)
            server.thaw()
    assert (await http.get("/")).status_code == 200
    assert [code for _, code in server.stats.resets] == [CANCEL, CANCEL]


@pytest.mark.slow
async def test_a_slow_upload_is_not_a_read_timeout(lib: Any, server: Server, http: Any) -> None:
    await http.get("/")
    timeout = lib.Timeout(0.2, write=10)
    server.freeze()
    answers = []

    async def upload() -> None:
        answers.append((await http.post("/upload", content=bytes(20_000_000), timeout=timeout)).json()["bytes"])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(upload)
        await trio.sleep(0.5)
        server.thaw()
    # A slow source is not one either.
    response = await http.post("/upload", content=parts(b"a", b"b", pause=0.3), timeout=lib.Timeout(0.2))
    assert [*answers, response.json()["bytes"]] == [20_000_000, 2]


async def test_waiting_for_a_stream_raises_pool_timeout(lib: Any) -> None:
    async with open_server(settings={MAX_CONCURRENT_STREAMS: 1}) as server:
        async with lib.AsyncClient(transport=own(server), base_url=server.url) as http:
            timeout = lib.Timeout(30, pool=0.1)
            async with http.stream("GET", "/stream/2/1?delay=60"):
                for content in (None, b"x", parts(b"x")):
                    with pytest.raises(lib.PoolTimeout, match=r"no stream or connection to .* free within 0.1 s"):
                        await http.post("/", content=content, timeout=timeout)
            assert (await http.get("/", timeout=timeout)).status_code == 200
        assert server.stats.streams_opened == 2
        assert server.stats.tcp_connections == 1


async def test_waiting_for_a_connection_raises_pool_timeout(lib: Any) -> None:
    limits = trio_h2ws.Limits(max_http1_connections=1)
    async with open_server(alpn=("http/1.1",)) as server:
        async with lib.AsyncClient(transport=own(server, limits=limits), base_url=server.url) as http:
            async with http.stream("GET", "/stream/2/1?delay=60"):
                with pytest.raises(lib.PoolTimeout):
                    await http.get("/", timeout=lib.Timeout(30, pool=0.1))
            assert (await http.get("/")).status_code == 200


@pytest.mark.slow
async def test_waiting_in_the_pool_does_not_count_as_reading(lib: Any) -> None:
    async with open_server(settings={MAX_CONCURRENT_STREAMS: 1}) as server:
        async with lib.AsyncClient(transport=own(server), base_url=server.url) as http:
            statuses = []

            async def get(path: str, read: float) -> None:
                timeout = lib.Timeout(5, read=read)
                statuses.append((await http.get(path, timeout=timeout)).status_code)

            async with trio.open_nursery() as nursery:
                nursery.start_soon(get, "/slow/0.6", 5.0)
                await until(lambda: server.stats.streams_open == 1)
                nursery.start_soon(get, "/slow/0.1", 0.4)
            assert statuses == [200, 200]


@pytest.mark.slow
async def test_a_dial_of_another_request_counts_as_connecting(lib: Any) -> None:
    async with open_server() as server, lib.AsyncClient(transport=slow(server, 60)) as http:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(partial(http.get, server.url, timeout=None))
            await trio.sleep(0.05)
            with pytest.raises(lib.ConnectTimeout):
                await http.get(server.url, timeout=lib.Timeout(0.1, pool=30))
            nursery.cancel_scope.cancel()


class Steps(trio.abc.Instrument):
    """Counts how often any task runs."""

    count = 0

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        self.count += 1


@pytest.mark.slow
async def test_waiting_for_a_dial_takes_no_steps(lib: Any) -> None:
    """The kind: polling, where an event could be waited for."""
    async with open_server() as server, lib.AsyncClient(transport=slow(server, 60)) as http:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(http.get, server.url)
            await trio.sleep(0.2)
            steps = Steps()
            trio.lowlevel.add_instrument(steps)
            await trio.sleep(0.5)
            trio.lowlevel.remove_instrument(steps)
            nursery.cancel_scope.cancel()
    assert steps.count < 10


# Errors.


async def test_errors_are_those_of_the_library(lib: Any, server: Server, http: Any) -> None:
    async def fails(kind: str, cause: type[Exception], path: str = "/", **options: Any) -> None:
        with pytest.raises(getattr(lib, kind)) as caught:
            await http.request(options.pop("method", "GET"), path, **options)
        assert type(caught.value) is getattr(lib, kind)
        assert type(caught.value.__cause__) is cause
        assert caught.value.request.url.path == path

    await fails("RemoteProtocolError", trio_h2ws.StreamReset, "/reset/2")
    await fails("RemoteProtocolError", trio_h2ws.StreamReset, "/partial/10/2")
    await fails("LocalProtocolError", ValueError, headers={"x": "a\nb"})
    await fails("LocalProtocolError", ValueError, method="CONNECT")

    async def abort() -> None:
        await until(lambda: server.stats.streams_open == 1)
        server.abort()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(abort)
        await fails("ReadError", trio_h2ws.ConnectionLost, "/hang", method="POST")

    async def end() -> None:
        await until(lambda: server.stats.streams_open == 1)
        await server.goaway(error_code=2)
        await trio.sleep(0.05)
        server.abort()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        await fails("RemoteProtocolError", trio_h2ws.ConnectionTerminated, "/hang", method="POST")


async def test_a_failed_connection_raises_connect_error(lib: Any, server: Server) -> None:
    async with lib.AsyncClient(transport=AsyncTransport(trust_env=False)) as http:
        with pytest.raises(lib.ConnectError, match="certificate was not accepted") as caught:
            await http.get(server.url)
        assert type(caught.value.__cause__) is trio_h2ws.ConnectFailed
        with pytest.raises(lib.ConnectError, match="could not connect"):
            await http.get("https://localhost:9")


async def test_websockets_and_other_schemes_are_unsupported(lib: Any, server: Server, http: Any) -> None:
    with pytest.raises(lib.UnsupportedProtocol, match=r"trio_h2ws\.Client\.websocket"):
        await http.get("/ws/echo", headers={"upgrade": "websocket"})
    with pytest.raises(lib.UnsupportedProtocol):
        await http.get("ftp://localhost/")
    with pytest.raises(lib.UnsupportedProtocol, match="'target'"):
        await http.get("/", extensions={"target": b"*"})
    assert server.stats.tcp_connections == 0


async def test_no_error_shows_a_password(lib: Any, http: Any) -> None:
    for scheme in ("ftp", "wss"):
        with pytest.raises(lib.UnsupportedProtocol) as caught:
            await http.get(f"{scheme}://me:secret@localhost/x")
        assert f"{scheme}://localhost" in str(caught.value)
        assert "secret" not in str(caught.value)


class Mine(Exception):
    pass


@pytest.mark.parametrize(
    "error", [Mine(), ValueError(), trio_h2ws.StreamReset(2)], ids=lambda error: type(error).__name__
)
async def test_an_error_of_the_callers_stream_is_not_translated(error: Exception, lib: Any, http: Any) -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"x"
        raise error

    with pytest.raises(type(error)) as caught:
        await http.post("/upload", content=failing())
    assert caught.value is error
    # After the head it is raised by the body.
    with pytest.raises(type(error)) as caught:
        await http.post("/echo", content=failing())
    assert caught.value is error
    assert (await http.get("/")).status_code == 200


async def test_a_body_that_is_not_gzip_raises_decoding_error(lib: Any) -> None:
    async def serve(peer: Peer) -> None:
        while (await peer.request()) is not None:
            await peer.respond(200, b"plain", headers=[("content-encoding", "gzip")])

    async with open_http1(serve) as server:
        async with lib.AsyncClient(transport=AsyncTransport(ssl_context=server.ssl_context, trust_env=False)) as http:
            with pytest.raises(lib.DecodingError):
                await http.get(server.url)


@pytest.mark.slow
@pytest.mark.parametrize("big", [False, True])
async def test_endless_refusals_raise_remote_protocol_error(big: bool, lib: Any, server: Server) -> None:
    async with lib.AsyncClient(transport=own(server, limits=trio_h2ws.Limits(max_retries=2))) as http:
        with pytest.raises(lib.RemoteProtocolError) as caught:
            await http.post(f"{server.url}/reset/{REFUSED_STREAM}", content=bytes(100_000 * big))
    assert isinstance(caught.value.__cause__, trio_h2ws.RequestNotProcessed)
    assert server.stats.streams_opened == (5 if big else 3)


async def test_a_refused_stream_body_is_not_sent_again(lib: Any, server: Server, http: Any) -> None:
    with pytest.raises(lib.RemoteProtocolError) as caught:
        await http.post(f"/reset/{REFUSED_STREAM}", content=parts(b"once"))
    assert isinstance(caught.value.__cause__, trio_h2ws.RequestNotProcessed)
    assert server.stats.streams_opened == 1


# Misuse.


def test_a_client_and_options_exclude_each_other() -> None:
    with pytest.raises(TypeError, match="not both"):
        AsyncTransport(object(), http2="never")  # type: ignore[arg-type]


async def test_requests_of_another_library_are_refused(server: Server) -> None:
    async with own(server) as transport:
        with pytest.raises(TypeError, match="not object"):
            await transport.handle_async_request(object())
