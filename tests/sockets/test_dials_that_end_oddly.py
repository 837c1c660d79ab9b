"""What a dial says when the server ends it in its own way."""

from __future__ import annotations

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import listening
from trio_h2ws.testing import open_server


async def test_prior_knowledge_and_a_server_that_answers_in_http1() -> None:
    async def serve(peer: Peer) -> None:
        await peer.send(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")

    async with open_http1(serve, tls=False) as server, server.open_client(http2="require") as client:
        with pytest.raises(trio_h2ws.HTTP2NotAvailable, match=r"answered in HTTP/1\.1") as caught:
            await client.get("/")
        assert caught.value.reason == "refused"


async def test_a_server_of_http2_alone_in_clear_and_how_to_speak_with_it() -> None:
    async with open_server(tls=False) as server:

        async def serve(peer: Peer) -> None:
            await peer.send(b"\0\0\0\4\0\0\0\0\0")  # an empty SETTINGS
            await peer.gone()

        async with open_http1(serve, tls=False) as listener, listener.open_client() as client:
            with pytest.raises(trio_h2ws.RemoteProtocolError, match='http2="require"'):
                await client.get("/")
        async with trio_h2ws.open_client(http2="require") as client:
            assert (await client.get(f"{server.url}/bytes/1")).http_version == "HTTP/2"


async def test_a_server_that_hangs_up_after_the_tls_handshake_is_not_our_doing() -> None:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        inner = stream.transport_stream if isinstance(stream, trio.SSLStream) else stream
        await inner.aclose()

    async with listening(serve) as server, server.open_client() as client:
        for _ in range(15):
            with pytest.raises(trio_h2ws.ConnectFailed) as caught:
                await client.get("/")
            assert "the client was closed" not in str(caught.value)
            assert "server" in str(caught.value)
