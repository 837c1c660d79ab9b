"""TLS over any transport: reading, writing, its end, and the errors of its handshake."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trustme
from trio.testing import memory_stream_pair

import trio_h2ws
from trio_h2ws._network.tls import TLSTransport
from trio_h2ws._network.transport import StreamTransport
from trio_h2ws.testing import open_server

CA = trustme.CA()


def contexts(alpn: list[str] | None = None) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CA.issue_cert("localhost").configure_cert(server)
    if alpn is not None:
        server.set_alpn_protocols(alpn)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    CA.configure_trust(client)
    return server, client


@asynccontextmanager
async def handshaken() -> AsyncIterator[tuple[TLSTransport, trio.SSLStream[trio.abc.Stream], trio.abc.Stream]]:
    """Our side, the server's side, and the stream below the server's side."""
    server_context, client_context = contexts(["h2"])
    ours, theirs = memory_stream_pair()
    server = trio.SSLStream(theirs, server_context, server_side=True)
    client = TLSTransport(StreamTransport(ours), client_context, "localhost", ["h2"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.do_handshake)
        await client.handshake()
    # The server's session tickets precede its first bytes.
    await server.send_all(b"ready")
    assert await client.receive() == b"ready"
    yield client, server, theirs
    await client.aclose()
    await trio.aclose_forcefully(theirs)


async def test_one_read_takes_every_record_that_has_arrived() -> None:
    async with handshaken() as (client, server, _):
        for n in range(200):
            await server.send_all(f"{n},".encode())  # a record each
        assert await client.receive() == "".join(f"{n}," for n in range(200)).encode()


async def test_half_a_record_waits_for_its_rest() -> None:
    async with handshaken() as (client, server, below):
        wire: list[bytes] = []
        sending = below.send_stream.send_all  # type: ignore[attr-defined]
        kept, other = memory_stream_pair()
        server.transport_stream = kept
        await server.send_all(b"x" * 1000)
        server.transport_stream = below
        wire.append(bytes(await other.receive_some()))
        (record,) = wire
        for byte in record[:-1]:
            await sending(bytes((byte,)))
        with trio.move_on_after(0.01) as scope:
            await client.receive()
        assert scope.cancelled_caught  # and the cancelled receive loses nothing
        await sending(record[-1:])
        assert await client.receive() == b"x" * 1000
        await trio.aclose_forcefully(kept)
        await trio.aclose_forcefully(other)


async def test_writing_never_waits_and_large_writes_arrive() -> None:
    async with handshaken() as (client, server, _):
        data = bytes(range(256)) * 1000
        client.write(data[:100_000])
        assert client.blocked
        await client.drain()
        client.write(data[100_000:])
        await client.drain()
        received = b""
        while len(received) < len(data):
            received += await server.receive_some()
        assert received == data


async def test_an_end_without_close_notify_is_truncated() -> None:
    async with handshaken() as (client, server, _):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose)
            assert await client.receive() == b""
            assert not client.truncated
            assert await client.receive() == b""
            await client.aclose()
    async with handshaken() as (client, server, below):
        await below.aclose()
        assert await client.receive() == b""
        assert client.truncated


async def test_data_before_a_broken_record_is_delivered() -> None:
    async with handshaken() as (client, server, below):
        await server.send_all(b"good")
        await below.send_all(b"\x17\x03\x03\x00\x20" + b"\0" * 32)
        assert await client.receive() == b"good"
        with pytest.raises(ssl.SSLError):
            await client.receive()


async def test_close_notify_is_sent() -> None:
    async with handshaken() as (client, server, _):
        client.send_close_notify()
        await client.drain()
        assert await server.receive_some() == b""


# Failures of the handshake are failures of the dial: nothing was sent.


async def dial(alpn: list[str] | None, trusted: bool = True, host: str = "localhost") -> BaseException:
    server_context, client_context = contexts(alpn)
    if not trusted:
        client_context = ssl.create_default_context()

    async def open_stream(_: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        ours, theirs = memory_stream_pair()
        nursery.start_soon(serve, trio.SSLStream(theirs, server_context, server_side=True))
        return ours

    async def serve(stream: trio.SSLStream[trio.abc.Stream]) -> None:
        try:
            await stream.do_handshake()
            await stream.receive_some()
        except trio.BrokenResourceError:
            pass
        await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        async with trio_h2ws.open_client(
            ssl_context=client_context, open_stream=open_stream, http2="require"
        ) as client:
            with pytest.raises(trio_h2ws.ConnectFailed) as caught:
                await client.get(f"https://{host}/")
        nursery.cancel_scope.cancel()
    return caught.value


async def test_an_untrusted_certificate_fails_the_dial() -> None:
    error = await dial(["h2"], trusted=False)
    assert "certificate" in str(error)
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


async def test_a_certificate_of_another_name_fails_the_dial() -> None:
    error = await dial(["h2"], host="other.test")
    assert isinstance(error.__cause__, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("alpn", [None, ["http/1.1"]])
async def test_a_server_without_h2_is_not_available(alpn: list[str] | None) -> None:
    error = await dial(alpn)
    assert isinstance(error, trio_h2ws.HTTP2NotAvailable)
    assert error.reason == "alpn"


async def test_a_server_without_tls_fails_the_dial() -> None:
    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        ours, theirs = memory_stream_pair()
        await theirs.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await theirs.aclose()
        return ours

    async with trio_h2ws.open_client(open_stream=open_stream) as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match="TLS"):
            await client.get("https://localhost/")


async def test_the_users_context_is_used_unchanged() -> None:
    async with open_server(memory=True) as server:
        context = server.ssl_context
        assert context is not None
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        async with trio_h2ws.open_client(
            base_url=server.url, ssl_context=context, open_stream=server.open_stream
        ) as client:
            assert (await client.get("/")).http_version == "HTTP/2"
        assert context.minimum_version == ssl.TLSVersion.TLSv1_3
