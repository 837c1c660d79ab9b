"""Through real proxies: tinyproxy for HTTP CONNECT, the same inside TLS, microsocks for SOCKS5."""

from __future__ import annotations

import hashlib
import pathlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.http2 import open_both
from servers.listener import GONE, client_context, listening, until
from servers.process import free_port, running
from servers.program import need
from trio_h2ws.testing import Server, open_server

USER, PASSWORD = "us er", "p:@ss/word"
LOGIN = "us%20er:p%3A%40ss%2Fword"

pytestmark = pytest.mark.usefixtures("no_proxies_of_this_machine")


@pytest.fixture(scope="module")
def tinyproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a tinyproxy that needs no credentials."""
    program = need("tinyproxy", "tinyproxy")
    config: pathlib.Path = tmp_path_factory.mktemp("tinyproxy") / "config"
    port = free_port()
    config.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 600\nAllow 127.0.0.1\n")
    with running([program, "-d", "-c", str(config)], port):
        yield port


@pytest.fixture(scope="module")
def tinyproxy_with_login(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a tinyproxy that needs credentials, which in its configuration are plain words."""
    program = need("tinyproxy", "tinyproxy")
    config: pathlib.Path = tmp_path_factory.mktemp("tinyproxy") / "config"
    port = free_port()
    config.write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 600\nAllow 127.0.0.1\nBasicAuth user pass\n")
    with running([program, "-d", "-c", str(config)], port):
        yield port


@pytest.fixture(scope="module")
def microsocks() -> Iterator[int]:
    """The port of a microsocks that needs credentials."""
    program = need("microsocks", "microsocks")
    port = free_port()
    with running([program, "-i", "127.0.0.1", "-p", str(port), "-u", USER, "-P", PASSWORD], port):
        yield port


@asynccontextmanager
async def inside_tls(port: int) -> AsyncIterator[int]:
    """Relay TLS connections in clear to `port`."""

    async def relay(stream: trio.abc.Stream, alpn: str | None) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as inner, trio.open_nursery() as nursery:

            async def copy(source: trio.abc.Stream, sink: trio.abc.Stream) -> None:
                try:
                    while data := await source.receive_some(65536):
                        await sink.send_all(data)
                except GONE:
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(copy, stream, inner)
            await copy(inner, stream)

    async with listening(relay, alpn=["http/1.1"]) as listener:
        yield listener.port


@asynccontextmanager
async def proxy_url(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    if kind == "http":
        yield f"http://user:pass@127.0.0.1:{request.getfixturevalue('tinyproxy_with_login')}"
    elif kind == "https":
        async with inside_tls(request.getfixturevalue("tinyproxy_with_login")) as port:
            yield f"https://user:pass@localhost:{port}"
    else:
        yield f"{kind}://{LOGIN}@127.0.0.1:{request.getfixturevalue('microsocks')}"


KINDS = ["http", "https", "socks5", "socks5h"]


@pytest.fixture(params=KINDS)
async def proxy(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    async with proxy_url(request.param, request) as url:
        yield url


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with open_server() as server:
        yield server


def trusting(server: Server) -> Any:
    """An SSLContext that trusts the server and the proxy inside TLS."""
    context = client_context()
    assert server.ca is not None
    server.ca.configure_trust(context)
    return context


async def test_one_connection_through_a_proxy_carries_all_calls(proxy: str, server: Server) -> None:
    async with trio_h2ws.open_client(ssl_context=trusting(server), proxy=proxy, base_url=server.url) as client:
        body = bytes(range(256)) * 4000
        used = set()

        async def upload() -> None:
            response = await client.post("/upload", content=body)
            assert response.json()["sha256"] == hashlib.sha256(body).hexdigest()
            used.add(response.connection.id)

        async def talk() -> None:
            async with client.websocket("/ws/echo") as ws:
                for i in range(20):
                    await ws.send(str(i))
                    assert await ws.receive() == str(i)
                used.add(ws.connection.id)

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(upload)
                nursery.start_soon(talk)
        assert len(used) == server.stats.tcp_connections == 1
        assert client.connections[0].protocol == "HTTP/2"


async def test_http1_and_its_websockets_work_through_a_proxy(proxy: str) -> None:
    async with open_both(extended_connect=False) as server:
        async with server.listener.open_client(proxy=proxy) as client:
            assert (await client.get("/")).http_version == "HTTP/2"
            async with client.websocket("/") as ws:
                await ws.send("x")
                assert (await ws.receive(), ws.http_version) == ("x", "HTTP/1.1")
            assert (await client.get("/", http2="never")).http_version == "HTTP/1.1"


async def test_requests_and_websockets_in_clear_work(proxy: str) -> None:
    """Requests in absolute form where the proxy takes that, a WebSocket through a tunnel."""

    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if request.headers.get("upgrade") == "websocket":
                await (await peer.accept_websocket(request)).echo()
                return
            assert "proxy-authorization" not in request.headers
            await peer.respond(200, f"{request.method} {request.target}".encode() + request.body)

    async with open_http1(serve, tls=False) as server, server.open_client(proxy=proxy) as client:
        # tinyproxy ends the connection after each answer without saying so: only a GET may be sent again.
        assert (await client.post("/", content=b"!" * 100_000)).content == b"POST /" + b"!" * 100_000
        assert (await client.get("/a?b")).content == b"GET /a?b"
        async with client.websocket("/") as ws:
            await ws.send("x")
            assert await ws.receive() == "x"


async def test_prior_knowledge_works_through_a_proxy(proxy: str) -> None:
    async with open_server(tls=False) as server:
        async with trio_h2ws.open_client(
            proxy=proxy, base_url=server.url, http2="require", ssl_context=client_context()
        ) as client:
            assert (await client.get("/bytes/10")).http_version == "HTTP/2"
            async with client.websocket("/ws/echo") as ws:
                await ws.send("x")
                assert await ws.receive() == "x"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("login", ["user:wrong@", ""])
async def test_wrong_credentials_fail_the_dial(
    kind: str, login: str, server: Server, request: pytest.FixtureRequest
) -> None:
    async with proxy_url(kind, request) as right:
        scheme, rest = right.split("://")
        wrong = f"{scheme}://{login}{rest.rpartition('@')[2]}"
        async with trio_h2ws.open_client(ssl_context=trusting(server), proxy=wrong, base_url=server.url) as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match="proxy") as caught:
                await client.get("/")
            said = str(caught.value)
            assert rest.rpartition("@")[2] in said
            assert "wrong" not in said
            assert ("check the user and password" if login else "put user:password@ into the proxy URL") in said
            with pytest.raises(trio_h2ws.ConnectFailed):
                await client.connect_websocket("/ws/echo")
        assert server.stats.tcp_connections == 0


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
async def test_a_missing_proxy_is_named(scheme: str, server: Server) -> None:
    port = free_port()
    async with trio_h2ws.open_client(
        ssl_context=trusting(server), proxy=f"{scheme}://127.0.0.1:{port}", base_url=server.url
    ) as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match=f"proxy {scheme}://127.0.0.1:{port}"):
            await client.get("/")


async def test_an_unreachable_host_names_the_proxy(proxy: str, server: Server) -> None:
    async with trio_h2ws.open_client(ssl_context=trusting(server), proxy=proxy) as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match=r"proxy .*127\.0\.0\.1"):
            await client.get(f"https://127.0.0.1:{free_port()}/")


async def test_an_untrusted_https_proxy_is_named(server: Server, tinyproxy: int) -> None:
    async with inside_tls(tinyproxy) as port:
        async with trio_h2ws.open_client(
            ssl_context=server.ssl_context, proxy=f"https://localhost:{port}", base_url=server.url
        ) as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match=f"proxy https://localhost:{port}.*certificate"):
                await client.get("/")


async def test_a_proxy_may_stop_and_come_back(server: Server, tmp_path: pathlib.Path) -> None:
    """Calls under way are lost, and the next call connects again."""
    program, port = need("tinyproxy", "tinyproxy"), free_port()
    (tmp_path / "config").write_text(f"Port {port}\nListen 127.0.0.1\nTimeout 600\nAllow 127.0.0.1\n")
    command = [program, "-d", "-c", str(tmp_path / "config")]
    async with trio_h2ws.open_client(
        ssl_context=server.ssl_context, proxy=f"http://127.0.0.1:{port}", base_url=server.url
    ) as client:
        with running(command, port):
            ws = await client.connect_websocket("/ws/echo")
        with pytest.raises((trio_h2ws.ConnectionLost, trio_h2ws.WebSocketClosed)):
            await ws.receive()
        await until(lambda: not client.connections)
        with pytest.raises(trio_h2ws.ConnectFailed):
            await client.get("/")
        with running(command, port):
            assert (await client.get("/")).status == 200
