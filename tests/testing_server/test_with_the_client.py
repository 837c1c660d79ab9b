"""The testing server and the library's own client: which HTTP they choose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import trio

import trio_h2ws
from trio_h2ws.testing import Server, open_server

ALPN = ("h2", "http/1.1")


@pytest.fixture(params=["tls", "clear", "memory", "memory-clear"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    kind: str = request.param
    async with open_server(tls="clear" not in kind, memory="memory" in kind, alpn=ALPN) as server:
        yield server
    stats = server.stats
    assert stats.errors == []
    assert stats.connections_open == stats.streams_open == stats.websockets_open == 0
    assert stats.streams_opened == stats.requests + stats.extended_connects + stats.upgrades
    assert not server.connections
    assert not server.http1_connections


def pattern(count: int) -> bytes:
    return (bytes(range(256)) * (count // 256 + 1))[:count]


def open_client(server: Server, **options: Any) -> AbstractAsyncContextManager[trio_h2ws.Client]:
    return trio_h2ws.open_client(
        base_url=server.url, ssl_context=server.ssl_context, open_stream=server.open_stream, **options
    )


async def test_the_client_works_over_http1(server: Server) -> None:
    async with open_client(server, http2="never") as client:
        response = await client.get("/")
        assert (response.status, response.http_version) == (200, "HTTP/1.1")
        assert (await client.get("/trailers")).trailers["x-count"] == "3"
        assert (await client.head("/bytes/1000")).headers["content-length"] == "1000"
        assert (await client.get("/informational/3")).status == 200
        assert (await client.get("/redirect/3")).status == 200
        echoed = await client.post("/echo", content=pattern(5_000_000))
        assert echoed.content == pattern(5_000_000)
        assert server.stats.tcp_connections == 1
        async with client.websocket(f"{server.ws_url}/ws/echo", subprotocols=["v2"]) as ws:
            await ws.send("x" * 100_000)
            assert await ws.receive() == "x" * 100_000
            assert (ws.http_version, ws.subprotocol) == ("HTTP/1.1", "v2")
        assert (ws.close_code, server.stats.upgrades, server.stats.tcp_connections) == (1000, 1, 2)
        with pytest.raises(trio_h2ws.WebSocketRejected, match="403"):
            await client.connect_websocket(f"{server.ws_url}/ws/refuse/403")
        await server.goaway()
        assert (await client.get("/")).status == 200
    assert server.stats.protocol_errors == []


async def test_the_client_chooses_http2_inside_tls(server: Server) -> None:
    https = server.url.startswith("https")
    async with open_client(server) as client:
        version = (await client.get("/")).http_version
        assert version == ("HTTP/2" if https else "HTTP/1.1")
        async with client.websocket(f"{server.ws_url}/ws/echo") as ws:
            await ws.send("hello")
            assert (await ws.receive(), ws.http_version) == ("hello", version)
    assert server.stats.tcp_connections == (1 if https else 2)
    async with open_client(server, http2="require") as client:
        assert (await client.get("/")).http_version == "HTTP/2"


async def test_the_client_uses_http1_where_there_is_no_http2() -> None:
    async with open_server(alpn=("http/1.1",)) as server, open_client(server) as client:
        assert (await client.get("/")).http_version == "HTTP/1.1"
        async with client.websocket(f"{server.ws_url}/ws/echo") as ws:
            assert ws.http_version == "HTTP/1.1"
        with pytest.raises(trio_h2ws.HTTP2NotAvailable):
            await client.get("/", http2="require")


async def test_websockets_use_http1_without_extended_connect() -> None:
    async with open_server(alpn=ALPN, extended_connect=False) as server, open_client(server) as client:
        assert (await client.get("/")).http_version == "HTTP/2"
        async with client.websocket(f"{server.ws_url}/ws/echo") as ws:
            assert ws.http_version == "HTTP/1.1"
        assert (server.stats.extended_connects, server.stats.upgrades, server.stats.tcp_connections) == (0, 1, 2)


@pytest.mark.parametrize("over_http2", ["silent", 421, 501, 2, 13])
async def test_websockets_fall_back_to_http1(over_http2: int | str, autojump_clock: trio.abc.Clock) -> None:
    async with open_server(alpn=ALPN, memory=True, websocket_over_http2=over_http2) as server:  # type: ignore[arg-type]
        async with open_client(server) as client:
            async with client.websocket(f"{server.ws_url}/ws/echo") as ws:
                assert ws.http_version == "HTTP/1.1"
            assert (await client.get("/")).http_version == "HTTP/2"
        assert (server.stats.extended_connects, server.stats.upgrades, server.stats.tcp_connections) == (1, 1, 2)
