"""Which proxy a call uses, and what the proxy is asked for. These proxies are scripted."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, Request, open_http1
from servers.listener import Listener, listening

pytestmark = pytest.mark.usefixtures("no_proxies_of_this_machine")


SHORT = trio_h2ws.Timeouts(connect=0.3)  # no proxy is asked: where the name or address leads does not matter


class Proxy:
    """Records what it is asked for, and refuses it."""

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
    """Make a call that the proxy refuses, or that nothing answers."""
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
        ("HTTP_PROXY", "https://a.test:1/", []),
        ("HTTPS_PROXY", "http://a.test:1/", []),
        ("HTTPS_PROXY", "https://[2001:db8::1]:8443/", ["CONNECT [2001:db8::1]:8443"]),
        # What is on this machine is reached directly.
        ("ALL_PROXY", "http://localhost:1/", []),
        ("HTTPS_PROXY", "https://a.localhost.:1/", []),
        ("HTTPS_PROXY", "wss://127.1.2.3:1/", []),
        ("HTTPS_PROXY", "https://[::1]:1/", []),
        ("HTTPS_PROXY", "https://[::ffff:127.0.0.1]:1/", []),
        ("HTTPS_PROXY", "https://localhost.test/", ["CONNECT localhost.test:443"]),
        ("HTTPS_PROXY", "https://126.255.255.255/", ["CONNECT 126.255.255.255:443"]),
    ],
)
async def test_environment_variables_name_the_proxy(
    name: str, url: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_proxy() as proxy, trio_h2ws.open_client(timeouts=SHORT) as client:
        monkeypatch.setenv(name, proxy.url)
        await try_(client, url)
        assert proxy.targets == asked


@pytest.mark.parametrize(
    ("no_proxy", "url", "through"),
    [
        ("a.test", "https://a.test:1/", False),
        ("192.0.2.1", "https://192.0.2.1:1/", False),
        ("a.test:1", "https://a.test:1/", False),
        ("a.test:2", "https://a.test:1/", True),
        (" other.test , a.test", "https://a.test:1/", False),
        ("*", "https://a.test:1/", False),
        ("a.test", "wss://a.test:1/", False),
        ("test", "https://a.test/", False),
        (".test", "https://a.b.test/", False),
        ("a.test", "https://b.a.test/", False),
        ("a.test", "https://aa.test/", True),
        ("A.TEST", "https://a.test/", False),
        ("", "https://a.test:1/", True),
    ],
)
async def test_no_proxy_names_hosts_to_reach_directly(
    no_proxy: str, url: str, through: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_proxy() as proxy, trio_h2ws.open_client(timeouts=SHORT) as client:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", no_proxy)
        await try_(client, url)
        assert bool(proxy.asked) is through


@pytest.mark.parametrize("url", ["https://localhost:1/", "http://127.0.0.1:1/"])
async def test_a_given_proxy_applies_to_this_machine_as_well(url: str) -> None:
    async with open_proxy() as proxy, trio_h2ws.open_client(proxy=proxy.url) as client:
        await try_(client, url)
        assert len(proxy.asked) == 1


async def test_connect_names_the_client_and_keeps_the_connection() -> None:
    async with open_proxy() as proxy, trio_h2ws.open_client(proxy=proxy.url) as client:
        await try_(client, "https://a.test/")
        assert proxy.asked[0].headers["user-agent"].startswith("trio_h2ws/")
        assert proxy.asked[0].headers["proxy-connection"] == "keep-alive"


async def test_trust_env_false_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_proxy() as proxy, trio_h2ws.open_client(trust_env=False) as client:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        await try_(client, "https://a.test:1/")
        assert not proxy.asked


async def test_a_given_proxy_precedes_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_proxy() as proxy, open_proxy() as other, trio_h2ws.open_client(proxy=proxy.url) as client:
        monkeypatch.setenv("HTTPS_PROXY", other.url)
        monkeypatch.setenv("NO_PROXY", "*")
        await try_(client, "https://a.test/")
        assert (proxy.targets, other.targets) == (["CONNECT a.test:443"], [])


async def test_an_error_quotes_a_bad_url_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://proxy.test:21")
    async with trio_h2ws.open_client() as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match=r"ftp://proxy\.test:21"):
            await client.get("https://a.test/")


# What a proxy is asked for.


async def test_names_are_resolved_by_the_proxy() -> None:
    """Some names can be resolved only by the proxy."""
    async with open_proxy() as proxy, trio_h2ws.open_client(proxy=proxy.url) as client:
        await try_(client, "https://only.inside.invalid/")
        assert proxy.targets == ["CONNECT only.inside.invalid:443"]


async def test_credentials_are_decoded_and_sent_only_to_the_proxy() -> None:
    async with open_proxy() as proxy:
        url = proxy.url.replace("://", "://us%20er:p%3A%40ss@")
        async with trio_h2ws.open_client(proxy=url) as client:
            await try_(client, "https://a.test/")
            await try_(client, "http://a.test/")
        expected = "Basic " + base64.b64encode(b"us er:p:@ss").decode()
        assert [request.headers["proxy-authorization"] for request in proxy.asked] == [expected] * 2
        assert "authorization" not in proxy.asked[0].headers


async def test_plain_requests_keep_their_connection_to_the_proxy() -> None:
    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            await peer.respond(200, request.target.encode())

    async with open_http1(serve, tls=False) as listener:
        async with trio_h2ws.open_client(proxy=f"http://127.0.0.1:{listener.port}") as client:
            for path in ("/1", "/2", "/3"):
                assert (await client.get(f"http://a.test{path}")).text == f"http://a.test{path}"
        assert listener.accepted == 1


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://[fe80::1%25lo]/", b"GET http://[fe80::1]/ HTTP/1.1"),
        ("https://[fe80::1%25lo]/", b"CONNECT [fe80::1]:443 HTTP/1.1"),
    ],
)
async def test_a_zone_is_not_sent_to_the_proxy(url: str, sent: bytes) -> None:
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
    assert heard == [sent]


async def test_a_host_header_does_not_change_the_target() -> None:
    """The proxy connects to the host of the target (RFC 9112, section 3.2.2); the Host header is for the origin."""
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
