"""A server that says no to a WebSocket and hangs up in the same moment has still said no."""

from __future__ import annotations

from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, Request
from servers.http2 import HangUp, open_both

HEADS = [
    b"HTTP/1.1 401 Unauthorized\r\n\r\n",  # its body ends with the connection
    b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\nwho",
    b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 100\r\n\r\nwho",
    b"HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n3\r\nwho\r\n",
]


@pytest.mark.parametrize("head", HEADS)
async def test_over_http1(head: bytes) -> None:
    async def refuse(peer: Peer, request: Request) -> None:
        await peer.send(head)
        inner = peer.stream.transport_stream if isinstance(peer.stream, trio.SSLStream) else peer.stream
        await inner.aclose()  # no close_notify

    async with (
        open_both(extended_connect=False, over_http1=refuse) as server,
        server.listener.open_client() as client,
    ):
        for _ in range(3):
            with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
                await client.connect_websocket("/")
            assert caught.value.status == 401
            assert caught.value.body in (b"", b"who")


def half(code: int) -> Any:
    def answer(h2: Any, stream: int) -> None:
        h2.send_headers(stream, [(":status", str(code)), ("content-length", "100")])
        h2.send_data(stream, b"half of it")
        raise HangUp

    return answer


async def test_over_http2() -> None:
    async with open_both(half(403)) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert (caught.value.status, caught.value.body) == (403, b"half of it")
        assert (server.connects, server.upgrades) == (1, 0)


async def test_over_http2_with_a_status_that_leads_to_http1() -> None:
    async with open_both(half(501)) as server, server.listener.open_client() as client:
        assert (await client.connect_websocket("/")).http_version == "HTTP/1.1"
        assert (server.connects, server.upgrades) == (1, 1)
