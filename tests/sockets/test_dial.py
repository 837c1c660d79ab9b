"""Errors of dials: nothing listens, the name is unknown, or the server answers in another way than expected."""

from __future__ import annotations

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import listening
from trio_h2ws.testing import open_server


async def hello(peer: Peer) -> None:
    while await peer.request() is not None:
        await peer.respond(200, b"hello")


async def get_fails(client: trio_h2ws.Client, url: str) -> trio_h2ws.ConnectFailed:
    with pytest.raises(trio_h2ws.ConnectFailed) as caught:
        await client.get(url)
    with pytest.raises(trio_h2ws.ConnectFailed):
        await client.connect_websocket(url.replace("http", "ws", 1))
    assert caught.value.__cause__ is not None
    return caught.value


async def test_localhost_reaches_a_server_on_ipv4_alone() -> None:
    """`localhost` has an IPv6 address on most machines, but the server listens only on IPv4."""
    async with open_http1(hello, tls=False) as server, trio_h2ws.open_client() as client:
        with trio.fail_after(2):
            assert (await client.get(f"http://localhost:{server.port}/")).status == 200


async def test_a_closed_port_fails_the_dial() -> None:
    async with open_http1(hello) as server:
        url = server.url
    async with trio_h2ws.open_client() as client:
        assert "could not connect" in str(await get_fails(client, url))


async def test_an_unknown_name_fails_the_dial() -> None:
    async with trio_h2ws.open_client(trust_env=False) as client:
        error = await get_fails(client, "https://does-not-exist.invalid/")
        assert "does-not-exist.invalid" in str(error)


async def test_an_http1_answer_to_prior_knowledge_is_not_available() -> None:
    async def serve(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    async with open_http1(serve, tls=False) as server, server.open_client(http2="require") as client:
        with pytest.raises(trio_h2ws.HTTP2NotAvailable, match=r"answered in HTTP/1\.1") as caught:
            await client.get("/")
        assert caught.value.reason == "refused"


async def test_an_h2c_server_needs_http2_require() -> None:
    async with open_server(tls=False) as server:

        async def serve(peer: Peer) -> None:
            await peer.send(b"\0\0\0\4\0\0\0\0\0")  # an empty SETTINGS
            await peer.gone()

        async with open_http1(serve, tls=False) as listener, listener.open_client() as client:
            with pytest.raises(trio_h2ws.RemoteProtocolError, match='http2="require"'):
                await client.get("/")
        async with trio_h2ws.open_client(http2="require") as client:
            assert (await client.get(f"{server.url}/bytes/1")).http_version == "HTTP/2"


async def test_a_hang_up_after_tls_names_the_server() -> None:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        inner = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        await inner.aclose()

    async with listening(serve) as server, server.open_client() as client:
        for _ in range(15):
            # It depends on which of the two comes first: the request, or the server's end.
            with pytest.raises((trio_h2ws.ConnectFailed, trio_h2ws.ConnectionLost)) as caught:
                await client.get("/")
            assert "the client was closed" not in str(caught.value)
            assert "server" in str(caught.value)


async def test_an_h2_choice_answered_in_http1_falls_back() -> None:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        peer = Peer(stream, alpn)
        if alpn == "h2":
            await peer.send(b"HT")
            await peer.send(b"TP/1.1 400 Bad Request\r\n\r\n")
        elif (await peer.request()) is not None:
            await peer.respond(200, b"over HTTP/1.1")

    async with listening(serve, alpn=["h2", "http/1.1"]) as server, server.open_client() as client:
        assert (await client.get("/")).text == "over HTTP/1.1"
        with pytest.raises(trio_h2ws.HTTP2NotAvailable, match=r"answered in HTTP/1\.1"):
            await client.get("/", http2="require")
