"""Things that were left in the middle, or at the very end, and what came of them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

import trio_h2ws
from trio_h2ws import DeflateOptions, Limits
from trio_h2ws.testing import Server, open_server


@pytest.mark.parametrize("limits", [Limits(), Limits(max_queued_bytes=5000)])
@pytest.mark.parametrize("compression", [None, DeflateOptions()])
@pytest.mark.parametrize("then", ["receive", "parts", "parts, left again"])
async def test_a_loop_over_parts_that_was_left_hung_the_next_one(
    h2ws_server: Server, limits: Limits, compression: DeflateOptions | None, then: str
) -> None:
    async with trio_h2ws.open_client(ssl_context=h2ws_server.ssl_context, limits=limits) as client:
        async with client.websocket(f"{h2ws_server.ws_url}/ws/echo", compression=compression) as ws:
            for text in ("first" * 200_000, "second" * 1000, "third"):
                await ws.send(text)
            async for _ in ws.receive_parts():
                break
            if then == "receive":
                assert await ws.receive() == "second" * 1000
            elif then == "parts":
                assert (
                    "".join([part async for part in ws.receive_parts() if isinstance(part, str)]) == "second" * 1000
                )
            else:
                async for _ in ws.receive_parts():
                    break
            assert await ws.receive() == "third"


async def test_messages_sent_just_before_the_client_is_left_were_lost() -> None:
    async with open_server() as server:
        async with trio_h2ws.open_client(ssl_context=server.ssl_context) as client:
            ws = await client.connect_websocket(f"{server.ws_url}/ws/echo", compression=None)
            before = server.stats.bytes_in
            for _ in range(5):
                await ws.send("x" * 1000)
        with trio.fail_after(5):
            while server.stats.bytes_in - before < 5000:  # noqa: ASYNC110  # another thread of events: the server's
                await trio.sleep(0.01)


async def test_websockets_dialled_at_once_passed_their_bound() -> None:
    async with open_server(alpn=("http/1.1",)) as server:
        limits = Limits(max_http1_websockets=2)
        async with trio_h2ws.open_client(ssl_context=server.ssl_context, limits=limits, http2="never") as client:
            refused = 0

            async def open_one() -> None:
                nonlocal refused
                try:
                    await client.connect_websocket(f"{server.ws_url}/ws/echo")
                except trio_h2ws.LimitExceeded as error:
                    refused += error.bound == "max_http1_websockets"

            async with trio.open_nursery() as nursery:
                for _ in range(6):
                    nursery.start_soon(open_one)
            assert refused == 4


@pytest.mark.parametrize(("length", "words"), [("2", "longer"), ("20", "shorter")])
async def test_a_wrong_content_length_ended_the_whole_connection(
    h2ws_server: Server, length: str, words: str
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"three"

    async with trio_h2ws.open_client(ssl_context=h2ws_server.ssl_context) as client:
        url = f"{h2ws_server.url}/echo"
        with pytest.raises(trio_h2ws.LocalProtocolError, match=words):
            await client.post(url, content=parts(), headers={"content-length": length})
        with pytest.raises(ValueError, match="content-length"):
            await client.post(url, content=b"three", headers={"content-length": length})
        with pytest.raises(ValueError, match="te"):
            await client.post(url, headers={"te": "gzip"})
        first = await client.get(f"{h2ws_server.url}/")
        assert first.connection == (await client.get(f"{h2ws_server.url}/")).connection
