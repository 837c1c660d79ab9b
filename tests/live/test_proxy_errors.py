"""Proxies that fail: the error names the proxy, never its credentials, and says what it was or what it waited for."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import RequestReceived
from h2.settings import SettingCodes, Settings

import trio_h2ws
from benchmarks.servers.process import free_port
from servers.http1 import Peer, open_http1
from servers.listener import Serve, client_context, listening

pytestmark = pytest.mark.usefixtures("no_proxies_of_this_machine")

SECONDS = 0.2


async def fails(proxy: str | None, url: str = "https://a.test/", **options: object) -> str:
    """What the error says, for a request and for a WebSocket."""
    settings = {"timeouts": trio_h2ws.Timeouts(connect=SECONDS), "ssl_context": client_context(), **options}
    async with trio_h2ws.open_client(proxy=proxy, **settings) as client:  # type: ignore[arg-type]
        with pytest.raises(trio_h2ws.ConnectFailed) as caught:
            await client.get(url)
        with pytest.raises(trio_h2ws.ConnectFailed):
            await client.connect_websocket(url.replace("http", "ws", 1))
    said = str(caught.value)
    assert "secret" not in said
    return said


@asynccontextmanager
async def proxy(serve: Serve, scheme: str = "http") -> AsyncIterator[tuple[str, str]]:
    """The proxy's URL with credentials, and how errors are to name it."""
    async with listening(serve, tls=scheme == "https", alpn=["http/1.1"]) as listener:
        place = f"localhost:{listener.port}"
        yield f"{scheme}://user:secret@{place}", f"{scheme}://{place}"


async def silent(stream: trio.abc.Stream, alpn: str | None) -> None:
    while await stream.receive_some(65536):
        pass


async def hang_up(stream: trio.abc.Stream, alpn: str | None) -> None:
    await stream.receive_some(65536)


def answering(answer: bytes, then: Callable[[trio.abc.Stream, str | None], Awaitable[None]] = silent) -> Serve:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(65536)
        await stream.send_all(answer)
        await then(stream, alpn)

    return serve


# A dial that takes too long says where it stood.


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_does_not_answer_is_named(scheme: str) -> None:
    async with proxy(silent, scheme) as (url, name):
        assert (await fails(url)).endswith(f"it waited for proxy {name} to answer CONNECT")


async def test_a_socks_proxy_that_does_not_answer_is_named() -> None:
    async with proxy(silent, "socks5") as (url, name):
        assert (await fails(url)).endswith(f"it waited for proxy {name} to connect to https://a.test")


async def test_an_https_proxy_that_does_not_shake_hands_is_named() -> None:
    async with proxy(silent) as (url, name):
        said = await fails(url.replace("http", "https"))
        assert said.endswith(f"it waited for the TLS handshake with proxy {name.replace('http', 'https')}")


async def test_a_proxy_that_can_not_be_reached_in_time_is_named() -> None:
    async with full_backlog() as port:
        for scheme in ("http", "https"):
            said = await fails(f"{scheme}://user:secret@127.0.0.1:{port}")
            assert said.endswith(f"it waited for a TCP connection to proxy {scheme}://127.0.0.1:{port}")


async def test_an_origin_behind_a_proxy_that_does_not_shake_hands() -> None:
    async with proxy(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as (url, name):
        said = await fails(url)
        assert said.endswith(f"it waited for the TLS handshake with https://a.test through proxy {name}")


async def test_an_origin_behind_a_proxy_without_settings() -> None:
    async with proxy(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as (url, name):
        said = await fails(url, "http://a.test", http2="require")
        assert said.endswith(f"it waited for the first SETTINGS of http://a.test through proxy {name}")


async def test_an_origin_that_is_silent_in_clear_or_in_tls() -> None:
    async with listening(silent, tls=False) as server:
        assert (await fails(None, server.url, http2="require")).endswith(f"the first SETTINGS of {server.url}")
        secure = server.url.replace("http", "https")
        assert (await fails(None, secure)).endswith(f"it waited for the TLS handshake with {secure}")


async def test_an_origin_whose_address_does_not_answer() -> None:
    async with full_backlog() as port:
        assert (await fails(None, f"https://127.0.0.1:{port}")).endswith(
            f"a TCP connection to https://127.0.0.1:{port}"
        )


async def test_a_name_that_is_not_found_in_time() -> None:
    class Slow(trio.abc.HostnameResolver):
        async def getaddrinfo(self, *_: object, **__: object) -> list[object]:  # type: ignore[override]
            await trio.sleep_forever()
            raise AssertionError

        async def getnameinfo(self, *_: object) -> tuple[str, str]:  # type: ignore[override]
            raise AssertionError

    trio.socket.set_custom_hostname_resolver(Slow())
    said = await fails(None)
    assert said.endswith("it waited for a TCP connection to https://a.test, or the lookup of its name")
    said = await fails("http://user:secret@p.test:1")
    assert said.endswith("it waited for a TCP connection to proxy http://p.test:1, or the lookup of its name")


async def test_an_open_stream_that_takes_too_long() -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    assert (await fails(None, open_stream=open_stream)).endswith("it waited for open_stream")


@asynccontextmanager
async def full_backlog() -> AsyncIterator[int]:
    """A port where nobody accepts, and the queue is full: Linux then lets a SYN wait without an answer."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        waiting = []
        try:
            for _ in range(4):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex(address)
                waiting.append(client)
            await trio.sleep(0.05)
            yield address[1]
        finally:
            for client in waiting:
                client.close()


# What fails says why.


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
@pytest.mark.parametrize("url", ["https://a.test", "http://a.test"])
async def test_nobody_listens_at_the_proxy_and_the_reason_is_said(scheme: str, url: str) -> None:
    name = f"{scheme}://127.0.0.1:{free_port()}"
    said = await fails(name.replace("//", "//user:secret@"), url)
    assert said.startswith(f"proxy {name}: could not connect: ")
    assert "refused" in said
    assert "all attempts" not in said


async def test_a_proxy_with_a_name_that_does_not_exist() -> None:
    said = await fails("http://user:secret@does-not-exist.invalid:1", timeouts=trio_h2ws.Timeouts())
    assert said.startswith("proxy http://does-not-exist.invalid:1: could not connect: ")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_closes_without_an_answer(scheme: str) -> None:
    async with proxy(hang_up, scheme) as (url, name):
        assert await fails(url) == f"proxy {name} closed the connection before it answered CONNECT"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nx: y\r\n", b"HTTP/1.1 100 Go on\r\n\r\n"])
async def test_a_proxy_that_closes_in_its_answer(answer: bytes) -> None:
    async with proxy(answering(answer, hang_up_at_once)) as (url, name):
        assert await fails(url) == f"proxy {name} closed the connection before it answered CONNECT"


async def hang_up_at_once(stream: trio.abc.Stream, alpn: str | None) -> None:
    await trio.lowlevel.checkpoint()


async def test_a_proxy_that_closes_after_its_answer_is_named() -> None:
    async with proxy(answering(b"HTTP/1.1 200 OK\r\n\r\n", hang_up_at_once)) as (url, name):
        assert (await fails(url)).startswith(f"https://a.test through proxy {name}: TLS handshake failed: ")


async def test_an_https_proxy_whose_certificate_is_not_accepted() -> None:
    async with listening(silent, names=["other.test"], alpn=["http/1.1"]) as listener:
        said = await fails(f"https://user:secret@localhost:{listener.port}")
    assert said.startswith(f"proxy https://localhost:{listener.port}: its certificate was not accepted: ")


async def test_1xx_without_end_before_the_tunnel() -> None:
    """They are bounded in number: without that a proxy keeps us reading until the deadline."""

    async def endless(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(65536)
        while True:
            await stream.send_all(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10)

    limits = trio_h2ws.Limits(max_informational=3)
    async with proxy(endless) as (url, name):
        said = await fails(url, limits=limits, timeouts=trio_h2ws.Timeouts(connect=None))
    assert said == f"proxy {name} sent too many 1xx responses to CONNECT (Limits.max_informational = 3)"


async def test_as_many_1xx_as_are_allowed() -> None:
    async with proxy(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + b"HTTP/1.1 403 No\r\n\r\n")) as (url, _):
        said = await fails(url, limits=trio_h2ws.Limits(max_informational=3))
    assert said.endswith("with status 403")


# What comes with the proxy's answer.


async def test_a_server_of_http2_may_speak_before_its_client() -> None:
    """Its SETTINGS may come in one piece with the proxy's 200 (RFC 9113, section 3.4)."""
    for scheme in ("http", "https"):
        async with proxy(http2_at_once, scheme) as (url, _):
            async with trio_h2ws.open_client(
                proxy=url, http2="require", ssl_context=client_context(), timeouts=trio_h2ws.Timeouts(connect=2)
            ) as client:
                for _ in range(2):
                    assert (await client.get("http://a.test/")).text == "hello"
                assert client.connections[0].settings["MAX_CONCURRENT_STREAMS"] == 7


async def http2_at_once(stream: trio.abc.Stream, alpn: str | None) -> None:
    h2 = H2Connection(H2Configuration(client_side=False))
    h2.local_settings = Settings(client=False, initial_values={SettingCodes.MAX_CONCURRENT_STREAMS: 7})
    h2.initiate_connection()
    await stream.receive_some(65536)
    await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n" + h2.data_to_send())
    while data := await stream.receive_some(65536):
        for event in h2.receive_data(bytes(data)):
            if isinstance(event, RequestReceived):
                h2.send_headers(event.stream_id, [(":status", "200")])
                h2.send_data(event.stream_id, b"hello", end_stream=True)
        await stream.send_all(h2.data_to_send())


@pytest.mark.parametrize("url", ["https://a.test", "http://a.test"])
async def test_nobody_else_may(url: str) -> None:
    async with proxy(answering(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")) as (proxy_url, name):
        async with trio_h2ws.open_client(proxy=proxy_url, ssl_context=client_context()) as client:
            message = f"proxy {name} sent unexpected bytes after its answer to CONNECT"
            with pytest.raises(trio_h2ws.ConnectFailed, match=message):
                await client.connect_websocket(url.replace("http", "ws", 1))


# Where a request in absolute form goes.


async def test_a_host_header_does_not_send_a_request_elsewhere() -> None:
    """The proxy asks whom the target names (RFC 9112, section 3.2.2); the Host is for the origin."""
    seen = []

    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append((request.target, request.headers["host"]))
            await peer.respond(200)

    async with open_http1(serve, tls=False) as listener:
        async with trio_h2ws.open_client(proxy=f"http://127.0.0.1:{listener.port}") as client:
            await client.get("http://10.0.0.5/x", headers={"Host": "app.example"})
            await client.get("http://10.0.0.5/y")
            await client.get("http://[::1]:81/z?a=b", headers={"host": "app.example"})
            await client.get("http://b.test:80/")
    assert seen == [
        ("http://10.0.0.5/x", "app.example"),
        ("http://10.0.0.5/y", "10.0.0.5"),
        ("http://[::1]:81/z?a=b", "app.example"),
        ("http://b.test/", "b.test"),
    ]
