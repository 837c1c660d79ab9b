"""The user's own SSLContext: what becomes of it, and what it allows that HTTP/2 does not."""

from __future__ import annotations

import socket
import ssl
import warnings
from typing import Any

import pytest
import trio
import trio.testing

import trio_h2ws
from servers.http2 import Both, open_both
from servers.listener import Listener, client_context, listening, server_context, until
from trio_h2ws._network.tls import TLSTransport
from trio_h2ws._network.transport import transport_for


async def offered_by_the_standard_library(context: ssl.SSLContext, server: Listener) -> tuple[list[str], str | None]:
    """What a blocking library that shares the context offers by ALPN, and what the server then chooses."""

    def shake_hands() -> str | None:
        with (
            socket.create_connection(("127.0.0.1", server.port)) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as tls,
        ):
            return tls.selected_alpn_protocol()

    before = len(server.offers)
    chosen = await trio.to_thread.run_sync(shake_hands)
    await until(lambda: len(server.offers) > before)
    return server.offers[-1], chosen


async def test_who_shares_the_context_is_not_handed_h2() -> None:
    async with open_both() as server:
        context = server.listener.ssl_context
        assert await offered_by_the_standard_library(context, server.listener) == ([], None)
        for http2 in ("auto", "require", "never"):
            async with server.listener.open_client(http2=http2) as client:
                offered = ["http/1.1"] if http2 == "never" else ["h2", "http/1.1"]
                assert (await client.get("/")).status == 200
                assert server.listener.offers[-1] == offered
                # While the client is open, and after it.
                assert await offered_by_the_standard_library(context, server.listener) == ([], None)
        assert await offered_by_the_standard_library(context, server.listener) == ([], None)


async def test_a_handshake_that_can_not_begin_leaves_nothing_behind() -> None:
    async with open_both() as server:
        context = server.listener.ssl_context
        with pytest.raises(ValueError, match=r"label|host"):
            TLSTransport(transport_for(trio.testing.memory_stream_pair()[0]), context, "a" * 70 + ".test", ["h2"])
        assert await offered_by_the_standard_library(context, server.listener) == ([], None)


async def test_through_an_https_proxy_too() -> None:
    async def refuse(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"HTTP/1.1 403 No\r\n\r\n")

    async with listening(refuse, alpn=["h2", "http/1.1"]) as proxy:
        async with proxy.open_client(proxy=proxy.url) as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match="403"):
                await client.get("https://a.test/")
        assert proxy.offers == [["http/1.1"]]


# TLS that is too old for HTTP/2 (RFC 9113, section 9.2).


def until_tls11(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        if context.protocol is ssl.PROTOCOL_TLS_SERVER:
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def old_server(**options: Any) -> Any:
    return open_both(context=until_tls11(server_context(["localhost"], ["h2", "http/1.1"])), **options)


async def asks(server: Both, http2: str) -> trio_h2ws.Response:
    context = until_tls11(client_context())
    async with server.listener.open_client(ssl_context=context, http2=http2) as client:
        response = await client.get("/")
        async with client.websocket("/") as ws:
            await ws.send("x")
            assert (await ws.receive(), ws.http_version) == ("x", "HTTP/1.1")
        return response


async def test_http2_does_not_go_over_tls_11() -> None:
    """The server chooses h2; HTTP/1.1 is what may go over such a TLS."""
    async with old_server() as server:
        assert (await asks(server, "auto")).http_version == "HTTP/1.1"
        assert server.listener.offers[:2] == [["h2", "http/1.1"], ["http/1.1"]]
        assert (await asks(server, "never")).http_version == "HTTP/1.1"


async def test_http2_over_tls_11_is_an_error_where_it_is_required() -> None:
    async with old_server() as server:
        with pytest.raises(trio_h2ws.HTTP2NotAvailable) as caught:
            await asks(server, "require")
        assert caught.value.reason == "alpn"


async def test_a_server_that_has_h2_alone_over_tls_11() -> None:
    async with old_server(http1=False) as server:
        context = until_tls11(client_context())
        async with server.listener.open_client(ssl_context=context) as client:
            with pytest.raises((trio_h2ws.ConnectFailed, trio_h2ws.ConnectionLost)):
                await client.get("/")


async def test_a_context_that_allows_tls_11_still_gets_http2_over_newer_tls() -> None:
    async with open_both() as server:
        async with server.listener.open_client(ssl_context=until_tls11(client_context())) as client:
            assert (await client.get("/")).http_version == "HTTP/2"
        assert server.listener.accepted == 1
