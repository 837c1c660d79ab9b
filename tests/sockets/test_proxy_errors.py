"""Proxies that fail: the error names the proxy, never its credentials, and says what happened or what was awaited."""

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
from servers.http1 import Peer, open_http1
from servers.listener import Serve, client_context, listening, until
from servers.process import free_port

pytestmark = pytest.mark.usefixtures("no_proxies_of_this_machine")


SECONDS = 0.2


async def fails(proxy: str | None, url: str = "https://a.test/", **options: object) -> str:
    """What the error says, for a request and for a WebSocket."""
    settings = {"timeouts": trio_h2ws.Timeouts(connect=SECONDS), "ssl_context": client_context(), **options}
    async with trio_h2ws.open_client(proxy=proxy, **settings) as client:  # type: ignore[arg-type]
        # A request is sent before the SETTINGS, which a WebSocket waits for.
        with pytest.raises((trio_h2ws.ConnectFailed, trio_h2ws.ConnectionTimedOut)) as of_request:
            await client.get(url)
        with pytest.raises(trio_h2ws.ConnectFailed) as of_websocket:
            await client.connect_websocket(url.replace("http", "ws", 1))
    if isinstance(of_request.value, trio_h2ws.ConnectionTimedOut):
        assert "no SETTINGS came" in str(of_request.value)
        of_request = of_websocket
    said = str(of_request.value)
    assert "secret" not in said + str(of_websocket.value)
    return said


@asynccontextmanager
async def proxy(serve: Serve, scheme: str = "http") -> AsyncIterator[tuple[str, str]]:
    """The proxy's URL with credentials, and the name that errors must give it."""
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


# A dial that takes too long says what it waited for.


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_silent_proxy_is_named(scheme: str) -> None:
    async with proxy(silent, scheme) as (url, name):
        assert (await fails(url)).endswith(f"it waited for proxy {name} to answer CONNECT")


async def test_a_silent_socks_proxy_is_named() -> None:
    async with proxy(silent, "socks5") as (url, name):
        assert (await fails(url)).endswith(f"it waited for proxy {name} to connect to https://a.test")


async def test_an_https_proxy_silent_in_tls_is_named() -> None:
    async with proxy(silent) as (url, name):
        said = await fails(url.replace("http", "https"))
        assert said.endswith(f"it waited for the TLS handshake with proxy {name.replace('http', 'https')}")


@pytest.mark.slow
async def test_a_proxy_that_does_not_accept_is_named() -> None:
    async with full_backlog() as port:
        for scheme in ("http", "https"):
            said = await fails(f"{scheme}://user:secret@127.0.0.1:{port}")
            assert said.endswith(f"it waited for a TCP connection to proxy {scheme}://127.0.0.1:{port}")


async def test_an_origin_silent_in_tls_through_a_proxy_is_named() -> None:
    async with proxy(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as (url, name):
        said = await fails(url)
        assert said.endswith(f"it waited for the TLS handshake with https://a.test through proxy {name}")


async def test_an_origin_without_settings_through_a_proxy_is_named() -> None:
    async with proxy(answering(b"HTTP/1.1 200 OK\r\n\r\n")) as (url, name):
        said = await fails(url, "http://a.test", http2="require")
        assert said.endswith(f"it waited for the first SETTINGS of http://a.test through proxy {name}")


@pytest.mark.slow
async def test_a_silent_origin_is_named() -> None:
    async with listening(silent, tls=False) as server:
        assert (await fails(None, server.url, http2="require")).endswith(f"the first SETTINGS of {server.url}")
        secure = server.url.replace("http", "https")
        assert (await fails(None, secure)).endswith(f"it waited for the TLS handshake with {secure}")


async def test_an_origin_that_does_not_accept_is_named() -> None:
    async with full_backlog() as port:
        assert (await fails(None, f"https://127.0.0.1:{port}")).endswith(
            f"a TCP connection to https://127.0.0.1:{port}"
        )


@pytest.mark.slow
async def test_a_slow_lookup_is_named() -> None:
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


async def test_a_slow_open_stream_is_named() -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    assert (await fails(None, open_stream=open_stream)).endswith("it waited for open_stream")


@asynccontextmanager
async def full_backlog() -> AsyncIterator[int]:
    """A port where nothing accepts and the queue is full: Linux then leaves a SYN unanswered."""
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


# A dial that fails says why.


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
@pytest.mark.parametrize("url", ["https://a.test", "http://a.test"])
async def test_a_refused_connection_to_the_proxy_is_reported(scheme: str, url: str) -> None:
    name = f"{scheme}://127.0.0.1:{free_port()}"
    said = await fails(name.replace("//", "//user:secret@"), url)
    assert said.startswith(f"proxy {name}: could not connect: ")
    assert "refused" in said
    assert "all attempts" not in said


async def test_an_unknown_name_of_a_proxy_is_reported() -> None:
    said = await fails("http://user:secret@does-not-exist.invalid:1", timeouts=trio_h2ws.Timeouts())
    assert said.startswith("proxy http://does-not-exist.invalid:1: could not connect: ")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_proxy_that_closes_without_an_answer_is_named(scheme: str) -> None:
    async with proxy(hang_up, scheme) as (url, name):
        assert await fails(url) == f"proxy {name} closed the connection before it answered CONNECT"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nx: y\r\n", b"HTTP/1.1 100 Go on\r\n\r\n"])
async def test_a_proxy_that_closes_in_its_answer_is_named(answer: bytes) -> None:
    async with proxy(answering(answer, hang_up_at_once)) as (url, name):
        assert await fails(url) == f"proxy {name} closed the connection before it answered CONNECT"


async def hang_up_at_once(stream: trio.abc.Stream, alpn: str | None) -> None:
    await trio.lowlevel.checkpoint()


async def test_a_proxy_that_closes_after_its_answer_is_named() -> None:
    async with proxy(answering(b"HTTP/1.1 200 OK\r\n\r\n", hang_up_at_once)) as (url, name):
        assert (await fails(url)).startswith(f"https://a.test through proxy {name}: TLS handshake failed: ")


async def test_an_untrusted_certificate_of_a_proxy_is_reported() -> None:
    async with listening(silent, names=["other.test"], alpn=["http/1.1"]) as listener:
        said = await fails(f"https://user:secret@localhost:{listener.port}")
    assert said.startswith(f"proxy https://localhost:{listener.port}: its certificate was not accepted: ")


async def test_endless_1xx_before_the_tunnel_meet_their_bound() -> None:
    """Without a bound on their number a proxy could keep us reading until the deadline."""

    async def endless(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(65536)
        while True:
            await stream.send_all(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10)

    limits = trio_h2ws.Limits(max_informational=3)
    async with proxy(endless) as (url, name):
        said = await fails(url, limits=limits, timeouts=trio_h2ws.Timeouts(connect=None))
    assert said == f"proxy {name} sent too many 1xx responses to CONNECT (Limits.max_informational = 3)"


async def test_as_many_1xx_as_allowed_are_skipped() -> None:
    async with proxy(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 3 + b"HTTP/1.1 403 No\r\n\r\n")) as (url, _):
        said = await fails(url, limits=trio_h2ws.Limits(max_informational=3))
    assert said.endswith("with status 403")


async def test_1xx_before_the_tunnel_are_skipped() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\n")

    async with open_http1(serve, tls=False) as listener:
        async with trio_h2ws.open_client(proxy=f"http://127.0.0.1:{listener.port}") as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match="403"):
                await client.get("https://a.test/")


# Bytes that arrive with the proxy's answer.


async def test_an_http2_server_may_send_settings_with_the_200() -> None:
    """Its SETTINGS may arrive together with the proxy's 200 (RFC 9113, section 3.4)."""
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
async def test_no_other_bytes_may_come_with_the_200(url: str) -> None:
    async with proxy(answering(b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n")) as (proxy_url, name):
        async with trio_h2ws.open_client(proxy=proxy_url, ssl_context=client_context()) as client:
            message = f"proxy {name} sent unexpected bytes after its answer to CONNECT"
            with pytest.raises(trio_h2ws.ConnectFailed, match=message):
                await client.connect_websocket(url.replace("http", "ws", 1))


# Wrong answers.


async def refuse(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!")


async def garbage(peer: Peer) -> None:
    await peer.send(b"SSH-2.0-OpenSSH\r\n\r\n")


async def say_nothing_and_leave(peer: Peer) -> None:
    await trio.lowlevel.checkpoint()


async def say_nothing(peer: Peer) -> None:
    await peer.gone()


async def talkative(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 Connected\r\n\r\nbefore the origin could say it")


async def endless(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 Connected\r\n")
    while True:
        await peer.send(b"x-more: %b\r\n" % (b"y" * 1000))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refuse, r"proxy http://127\.0\.0\.1:\d+ refused a tunnel to https://a\.test with status 403"),
        (garbage, r"proxy http://127\.0\.0\.1:\d+"),
        (say_nothing_and_leave, r"proxy http://127\.0\.0\.1:\d+"),
        (say_nothing, r"a\.test.*0\.3 s"),
        (talkative, r"proxy http://127\.0\.0\.1:\d+"),
        (endless, r"proxy http://127\.0\.0\.1:\d+"),
    ],
)
async def test_a_wrong_answer_to_connect_is_a_clear_error(
    answer: Callable[[Peer], Awaitable[None]], message: str
) -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None
        assert request.headers["host"] == request.target == "a.test:443"
        await answer(peer)

    timeouts = trio_h2ws.Timeouts(connect=0.3)
    async with open_http1(serve, tls=False) as listener:
        url = f"http://127.0.0.1:{listener.port}"
        async with trio_h2ws.open_client(proxy=url, timeouts=timeouts) as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match=message):
                await client.get("https://a.test/")
            with pytest.raises(trio_h2ws.ConnectFailed, match=message):
                await client.connect_websocket("wss://a.test/")


async def socks_garbage(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")


async def socks_hang_up(stream: trio.abc.Stream) -> None:
    await trio.lowlevel.checkpoint()


async def socks_silent(stream: trio.abc.Stream) -> None:
    while await stream.receive_some(1000):
        pass


async def socks_refuse(stream: trio.abc.Stream) -> None:
    await stream.send_all(b"\x05\x00")
    await stream.receive_some(1000)
    await stream.send_all(b"\x05\x02\x00\x01\x00\x00\x00\x00\x00\x00")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (socks_garbage, r"proxy socks5://127\.0\.0\.1:\d+"),
        (socks_hang_up, r"proxy socks5://127\.0\.0\.1:\d+"),
        (socks_silent, r"a\.test.*0\.3 s"),
        (socks_refuse, r"proxy socks5://127\.0\.0\.1:\d+ could not connect to https://a\.test"),
    ],
)
async def test_a_wrong_answer_of_socks_is_a_clear_error(
    answer: Callable[[trio.abc.Stream], Awaitable[None]], message: str
) -> None:

    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(1000)
        await answer(stream)

    timeouts = trio_h2ws.Timeouts(connect=0.3)
    async with listening(serve, tls=False) as listener:
        url = f"socks5://127.0.0.1:{listener.port}"
        async with trio_h2ws.open_client(proxy=url, timeouts=timeouts) as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match=message):
                await client.get("https://a.test/")
        await until(lambda: not listener.alive)
