"""Which proxy a call goes through, and proxies that misbehave. These are scripted."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, Request, open_http1
from servers.listener import Listener, listening, until

pytestmark = pytest.mark.usefixtures("no_proxies_of_this_machine")


class Proxy:
    """Notes what it is asked for and refuses it: enough to see that it was asked."""

    def __init__(self, listener: Listener) -> None:
        self.url = f"http://127.0.0.1:{listener.port}"
        self.asked: list[Request] = []

    @property
    def targets(self) -> list[str]:
        targets = [f"{request.method} {request.target}" for request in self.asked]
        self.asked.clear()
        return targets


@asynccontextmanager
async def open_proxy() -> AsyncIterator[Proxy]:
    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            proxy.asked.append(request)
            await peer.respond(403)

    async with open_http1(serve, tls=False) as listener:
        proxy = Proxy(listener)
        yield proxy


async def try_(client: trio_h2ws.Client, url: str) -> None:
    """The proxy refuses, and nobody else is there."""
    try:
        if url.startswith("ws"):
            await client.connect_websocket(url)
        else:
            await client.get(url)
    except (trio_h2ws.ConnectFailed, trio_h2ws.WebSocketRejected):
        pass


# The environment.


@pytest.mark.parametrize(
    ("name", "url", "asked"),
    [
        ("HTTPS_PROXY", "https://a.test/", ["CONNECT a.test:443"]),
        ("https_proxy", "https://a.test:8443/", ["CONNECT a.test:8443"]),
        ("HTTPS_PROXY", "wss://a.test/", ["CONNECT a.test:443"]),
        ("ALL_PROXY", "https://a.test/", ["CONNECT a.test:443"]),
        ("all_proxy", "https://a.test/", ["CONNECT a.test:443"]),
        ("http_proxy", "http://a.test/b?c", ["GET http://a.test/b?c"]),
        ("HTTP_PROXY", "http://a.test:81/", ["GET http://a.test:81/"]),
        ("HTTP_PROXY", "ws://a.test/", ["CONNECT a.test:80"]),
        ("ALL_PROXY", "http://a.test/", ["GET http://a.test/"]),
        ("HTTP_PROXY", "https://localhost:1/", []),
        ("HTTPS_PROXY", "http://localhost:1/", []),
        ("HTTPS_PROXY", "https://[::1]:8443/", ["CONNECT [::1]:8443"]),
    ],
)
async def test_the_environment(name: str, url: str, asked: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_proxy() as proxy, trio_h2ws.open_client() as client:
        monkeypatch.setenv(name, proxy.url)
        await try_(client, url)
        assert proxy.targets == asked


@pytest.mark.parametrize(
    ("no_proxy", "url", "through"),
    [
        ("localhost", "https://localhost:1/", False),
        ("127.0.0.1", "https://127.0.0.1:1/", False),
        ("localhost:1", "https://localhost:1/", False),
        ("localhost:2", "https://localhost:1/", True),
        (" other.test , localhost", "https://localhost:1/", False),
        ("*", "https://localhost:1/", False),
        ("localhost", "wss://localhost:1/", False),
        ("test", "https://a.test/", False),
        (".test", "https://a.b.test/", False),
        ("a.test", "https://b.a.test/", False),
        ("a.test", "https://aa.test/", True),
        ("A.TEST", "https://a.test/", False),
        ("", "https://localhost:1/", True),
    ],
)
async def test_no_proxy(no_proxy: str, url: str, through: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_proxy() as proxy, trio_h2ws.open_client() as client:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        await try_(client, url)
        assert bool(proxy.asked) is through


async def test_trust_env_false_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_proxy() as proxy, trio_h2ws.open_client(trust_env=False) as client:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        await try_(client, "https://localhost:1/")
        assert not proxy.asked


async def test_the_given_one_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_proxy() as proxy, open_proxy() as other, trio_h2ws.open_client(proxy=proxy.url) as client:
        monkeypatch.setenv("HTTPS_PROXY", other.url)
        monkeypatch.setenv("NO_PROXY", "*")
        await try_(client, "https://a.test/")
        assert (proxy.targets, other.targets) == (["CONNECT a.test:443"], [])


async def test_a_bad_url_in_the_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://proxy.test:21")
    async with trio_h2ws.open_client() as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match=r"ftp://proxy\.test:21"):
            await client.get("https://a.test/")


async def test_nothing_is_resolved_here() -> None:
    """The name is the proxy's business: some exist only there."""
    async with open_proxy() as proxy, trio_h2ws.open_client(proxy=proxy.url) as client:
        await try_(client, "https://only.inside.invalid/")
        assert proxy.targets == ["CONNECT only.inside.invalid:443"]


async def test_credentials_are_percent_decoded_and_go_to_the_proxy_alone() -> None:
    async with open_proxy() as proxy:
        url = proxy.url.replace("://", "://us%20er:p%3A%40ss@")
        async with trio_h2ws.open_client(proxy=url) as client:
            await try_(client, "https://a.test/")
            await try_(client, "http://a.test/")
        expected = "Basic " + base64.b64encode(b"us er:p:@ss").decode()
        assert [request.headers["proxy-authorization"] for request in proxy.asked] == [expected] * 2
        assert "authorization" not in proxy.asked[0].headers


# Proxies that misbehave.


async def refuse(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 3\r\n\r\nno!")


async def garbage(peer: Peer) -> None:
    await peer.send(b"SSH-2.0-OpenSSH\r\n\r\n")


async def hang_up(peer: Peer) -> None:
    await trio.lowlevel.checkpoint()


async def silent(peer: Peer) -> None:
    await peer.gone()


async def talkative(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 Connected\r\n\r\nbefore the origin could say it")


async def endless(peer: Peer) -> None:
    await peer.send(b"HTTP/1.1 200 Connected\r\n")
    while True:
        await peer.send(b"x-more: %b\r\n" % (b"y" * 1000))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (refuse, r"proxy http://127\.0\.0\.1:\d+ refused a tunnel to https://a\.test with status 403"),
        (garbage, r"proxy http://127\.0\.0\.1:\d+"),
        (hang_up, r"proxy http://127\.0\.0\.1:\d+"),
        (silent, r"a\.test.*0\.3 s"),
        (talkative, r"proxy http://127\.0\.0\.1:\d+"),
        (endless, r"proxy http://127\.0\.0\.1:\d+"),
    ],
)
async def test_misbehaviour_is_a_clear_error(answer: Callable[[Peer], Awaitable[None]], message: str) -> None:
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


async def test_1xx_before_the_tunnel_is_passed_over() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 No\r\n\r\n")

    async with open_http1(serve, tls=False) as listener:
        async with trio_h2ws.open_client(proxy=f"http://127.0.0.1:{listener.port}") as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match="403"):
                await client.get("https://a.test/")


async def test_plain_requests_keep_their_connection_to_the_proxy() -> None:
    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            await peer.respond(200, request.target.encode())

    async with open_http1(serve, tls=False) as listener:
        async with trio_h2ws.open_client(proxy=f"http://127.0.0.1:{listener.port}") as client:
            for path in ("/1", "/2", "/3"):
                assert (await client.get(f"http://a.test{path}")).text == f"http://a.test{path}"
        assert listener.accepted == 1


# SOCKS proxies that misbehave.


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
async def test_a_socks_proxy_that_misbehaves(
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


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://[fe80::1%25lo]/", b"GET http://[fe80::1]/ HTTP/1.1"),
        ("https://[fe80::1%25lo]/", b"CONNECT [fe80::1]:443 HTTP/1.1"),
    ],
)
async def test_a_zone_is_no_business_of_the_proxys(url: str, told: bytes) -> None:
    heard = []

    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        heard.append(bytes(await stream.receive_some(65536)).partition(b"\r\n")[0])
        await stream.send_all(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    async with listening(serve, tls=False) as listener:
        async with trio_h2ws.open_client(proxy=f"http://127.0.0.1:{listener.port}") as client:
            try:
                await client.get(url)
            except trio_h2ws.ConnectFailed:
                assert url.startswith("https")
    assert heard == [told]
