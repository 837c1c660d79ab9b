"""A server that answers in the middle of an upload: the caller gets the answer, whatever the server does next.

The kind: 401 or 413 while the body is being sent. The server may then read on, stop reading, or close, and a write
that fails must not hide what has arrived.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.early import SERVERS, Ports, early_server
from servers.http1 import Peer, open_http1
from servers.listener import client_context, until

TIMES = 6
SIZE = 8_000_000
PART = b"x" * 50_000


class Upload:
    """A body of SIZE bytes. Whether its generator was closed is seen afterwards."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.running = False

    async def over(self) -> None:
        """Until its generator is closed."""
        await until(lambda: not self.running)

    def parts(self) -> Iterator[bytes]:
        self.running = True
        try:
            for _ in range(SIZE // len(PART)):
                yield PART
        finally:
            self.running = False

    async def async_parts(self) -> AsyncIterator[bytes]:
        self.running = True
        try:
            for _ in range(SIZE // len(PART)):
                await trio.lowlevel.checkpoint()
                yield PART
        finally:
            self.running = False

    async def slow_parts(self) -> AsyncIterator[bytes]:
        self.running = True
        try:
            for _ in range(SIZE // len(PART)):
                await trio.sleep(0.001)
                yield PART
        finally:
            self.running = False

    def options(self) -> dict[str, Any]:
        make: dict[str, Callable[[], Any]] = {
            "bytes": lambda: PART * (SIZE // len(PART)),
            "iterable": self.parts,
            "async": self.async_parts,
            "slow": self.slow_parts,
        }
        name, _, length = self.kind.partition(", ")
        return {"content": make[name](), "headers": {"content-length": str(SIZE)} if length else {}}


KINDS = ("bytes", "iterable", "iterable, length", "async", "async, length", "slow", "slow, length")


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Ports]:
    with early_server(request.param) as ports:
        yield ports


@pytest.fixture(params=["HTTP/2", "HTTP/1.1 over TLS", "HTTP/1.1 in clear"])
def base(request: pytest.FixtureRequest, server: Ports) -> dict[str, Any]:
    if request.param == "HTTP/1.1 in clear":
        return {"base_url": f"http://localhost:{server.clear}", "http2": "never"}
    version = "auto" if request.param == "HTTP/2" else "never"
    return {"base_url": f"https://localhost:{server.tls}", "ssl_context": client_context(), "http2": version}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("path", "status"), [("/limited", 413), ("/secret", 401)])
async def test_an_early_answer_of_a_real_server_arrives(
    kind: str, path: str, status: int, server: Ports, base: dict[str, Any]
) -> None:
    if path == "/limited" and server.name == "apache" and base["http2"] == "auto":
        pytest.skip("over HTTP/2, Apache's file handler ignores LimitRequestBody")
    async with trio_h2ws.open_client(**base) as client:
        for _ in range(TIMES):
            upload = Upload(kind)
            response = await client.post(path, **upload.options())
            assert response.status == status
            assert (await client.get("/")).text == "fine"
            await upload.over()
        for _ in range(TIMES):
            upload = Upload(kind)
            async with client.stream("POST", path, **upload.options()) as response:
                assert response.status == status
                await response.read()
            assert (await client.get("/")).text == "fine"
            await upload.over()


# A scripted server, over HTTP/1.1.


ANSWERS = {
    "length": b"HTTP/1.1 413 Too Large\r\ncontent-length: 7\r\n\r\ntoo big",
    "length, close": b"HTTP/1.1 413 Too Large\r\nconnection: close\r\ncontent-length: 7\r\n\r\ntoo big",
    "chunks": b"HTTP/1.1 413 Too Large\r\ntransfer-encoding: chunked\r\n\r\n7\r\ntoo big\r\n0\r\n\r\n",
    "to the end": b"HTTP/1.1 413 Too Large\r\nconnection: close\r\n\r\ntoo big",
}


async def read_on(peer: Peer) -> None:
    """Read more of the upload, and then close the connection."""
    with trio.move_on_after(0.1):
        await peer.gone()


async def stop_reading(peer: Peer) -> None:
    await trio.sleep(0.05)
    await reset(peer)


async def close(peer: Peer) -> None:
    """With bytes that were not read, closing a socket sends RST."""
    await peer.stream.aclose()


def socket_of(peer: Peer) -> trio.SocketStream:
    stream = peer.stream
    if isinstance(stream, trio.SSLStream):
        stream = stream.transport_stream.inner
    assert isinstance(stream, trio.SocketStream)
    return stream


async def reset(peer: Peer) -> None:
    stream = socket_of(peer)
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await stream.aclose()


async def half_close(peer: Peer) -> None:
    """End our half, read a little of the rest, and reset."""
    stream = socket_of(peer)
    await stream.send_eof()
    await stream.receive_some(100_000)
    await reset(peer)


async def answered_early(
    kind: str, read: int, answer: str, then: Callable[[Peer], Awaitable[None]], tls: bool
) -> None:
    async def serve(peer: Peer) -> None:
        while (request := await peer.head()) is not None:
            if request.target == "/":
                await peer.respond(200, b"fine")
                continue
            left = read
            while left > 0:
                left -= len(await peer.piece())
            await peer.send(ANSWERS[answer])
            await then(peer)
            return

    async with open_http1(serve, tls=tls) as server, server.open_client() as client:
        for turn in range(TIMES):
            upload = Upload(kind)
            if turn % 2:
                response = await client.post("/up", **upload.options())
            else:
                async with client.stream("POST", "/up", **upload.options()) as response:
                    await response.read()
            assert (response.status, response.content) == (413, b"too big")
            assert (await client.get("/")).text == "fine"
            await upload.over()


@pytest.mark.parametrize("kind", ["bytes", "async, length"])
@pytest.mark.parametrize("answer", ["chunks", "to the end"])
@pytest.mark.parametrize("tls", [True, False])
async def test_an_early_answer_survives_a_reset(kind: str, answer: str, tls: bool) -> None:
    await answered_early(kind, 300_000, answer, reset, tls)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bytes", "iterable", "async", "slow, length"])
@pytest.mark.parametrize("read", [0, 300_000])
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("then", [read_on, stop_reading, close, reset, half_close])
@pytest.mark.parametrize("tls", [True, False])
async def test_an_early_answer_arrives_whatever_follows(
    kind: str, read: int, answer: str, then: Callable[[Peer], Awaitable[None]], tls: bool
) -> None:
    await answered_early(kind, read, answer, then, tls)


@pytest.mark.parametrize("tls", [True, False])
async def test_an_answer_that_a_reset_ended_is_flagged(tls: bool) -> None:
    """Its end was not marked, so it may have been longer."""

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(ANSWERS["to the end"])
        await reset(peer)

    async with open_http1(serve, tls=tls) as server, server.open_client() as client:
        response = await client.post("/", **Upload("bytes").options())
        assert (response.status, response.content, response.may_be_truncated) == (413, b"too big", True)


@pytest.mark.parametrize("answer", ["length", "chunks"])
async def test_an_early_answer_that_is_cut_short_stays_an_error(answer: str) -> None:
    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(ANSWERS[answer][:-6])
        await trio.sleep(0.02)
        await reset(peer)

    async with open_http1(serve, tls=False) as server, server.open_client() as client:
        with pytest.raises((trio_h2ws.ConnectionLost, trio_h2ws.RemoteProtocolError)):
            await client.post("/", **Upload("bytes").options())


@pytest.mark.parametrize("tls", [True, False])
async def test_a_download_that_a_reset_ends_stays_an_error(tls: bool) -> None:
    """Without an upload, nothing explains the reset but a failure."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"half of it", length=False)
        await trio.sleep(0.02)
        await reset(peer)

    async with open_http1(serve, tls=tls) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.ConnectionLost):
            await client.get("/")


@pytest.mark.slow
async def test_a_long_answer_may_be_read_slowly_after_the_upload_broke() -> None:
    """What came before the write failed is kept for as long as the application needs."""
    body = b"x" * 50_000

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 50000\r\n\r\n" + body[:20_000])
        await read_so_far.wait()
        # The client reads no more for now. This waits in its socket, which has room for it: a reset would destroy
        # what is still in ours.
        await peer.send(body[20_000:])
        await reset(peer)

    read_so_far = trio.Event()
    limits = trio_h2ws.Limits(stream_window=10_000)
    async with open_http1(serve, tls=False) as server, server.open_client(limits=limits) as client:
        got = b""
        async with client.stream("POST", "/", **Upload("async").options()) as response:
            await until(lambda: response.connection.bytes_in > 10_000)
            read_so_far.set()
            await trio.sleep(2.5)
            async for piece in response:
                got += piece
                await trio.sleep(0.01)
        assert (response.status, got) == (413, body)
