"""Bodies of requests: bytes, iterables, trailers; the user's own exceptions; servers that answer early."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, assert_clean, connection_of, frames, scripted_peer
from trio_h2ws.testing import Server


async def sent_body(peer: Peer, client: trio_h2ws.Client, **options: Any) -> Any:
    call = peer.call(client.post, "/", **options)
    request = await peer.expect_headers()
    await peer.expect_end(request)
    await peer.respond(request)
    await call.result()
    return request


async def agen(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        await trio.lowlevel.checkpoint()
        yield part


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"bytes", b"bytes"),
        (bytearray(b"array"), b"array"),
        (memoryview(b"view"), b"view"),
        (memoryview(b"0123456789")[::2], b"02468"),
        ("text \N{EURO SIGN}", "text \N{EURO SIGN}".encode()),
        ([b"a", b"", b"b"], b"ab"),
        (iter([b"i", b"j"]), b"ij"),
        (b"", b""),
        ([], b""),
        (None, b""),
    ],
)
async def test_every_kind_of_content_is_sent(content: Any, expected: bytes) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent_body(peer, client, content=content)
        assert request.body == expected
        if not hasattr(content, "__next__"):
            assert request.get("content-length") == str(len(expected))


async def test_an_async_iterable_is_sent_without_a_length() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent_body(peer, client, content=agen(b"one ", b"two"))
        assert request.body == b"one two"
        assert request.get("content-length") is None


async def test_json_is_sent_with_its_content_type() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent_body(peer, client, json={"a": ["\N{EURO SIGN}", None]})
        assert request.body == '{"a":["\N{EURO SIGN}",null]}'.encode()
        assert request["content-type"] == "application/json"


async def test_a_large_body_arrives_whole() -> None:
    body = bytes(range(256)) * 20_000
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent_body(peer, client, content=body)
        assert request.body == body
        await peer.settle()
        assert_clean(client, peer)


@pytest.mark.parametrize("content", [None, b"body", [b"bo", b"dy"]])
async def test_trailers_are_sent(content: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent_body(peer, client, content=content, trailers={"x-sum": "1"})
        assert request.trailers == [(b"x-sum", b"1")]
        assert request.body == (b"body" if content else b"")


@pytest.mark.parametrize(("length", "words"), [("2", "longer"), ("20", "shorter")])
async def test_a_wrong_content_length_leaves_the_connection_alone(
    h2ws_memory_server: Server, length: str, words: str
) -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"three"

    async with trio_h2ws.open_client(
        base_url=h2ws_memory_server.url,
        ssl_context=h2ws_memory_server.ssl_context,
        open_stream=h2ws_memory_server.open_stream,
    ) as client:
        with pytest.raises(trio_h2ws.LocalProtocolError, match=words):
            await client.post("/echo", content=parts(), headers={"content-length": length})
        with pytest.raises(ValueError, match="content-length"):
            await client.post("/echo", content=b"three", headers={"content-length": length})
        with pytest.raises(ValueError, match="te"):
            await client.post("/echo", headers={"te": "gzip"})
        first = await client.get("/")
        assert first.connection == (await client.get("/")).connection


PARTS = [b"first, ", b"second, ", b"third"]


def plain() -> Iterator[bytes]:
    yield from PARTS


async def asynchronous() -> AsyncIterator[bytes]:
    for part in PARTS:
        yield part


@pytest.mark.parametrize("parts", [plain, asynchronous])
async def test_a_retry_sends_the_first_part_again(parts: Any, autojump_clock: MockClock) -> None:
    """The server refuses the stream at once, when the upload has started but not run. It must not take the first part
    of the iterable for the refused stream, since the second try would send only the rest."""
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()
        await client.get("/warm")
        connection = connection_of(client)
        opening = connection.open

        def open_and_refuse(*args: Any, **options: Any) -> Any:
            # The reader runs in the same pass of the scheduler, after the call and before the upload.
            connection.open = opening
            stream = opening(*args, **options)
            connection.engine.receive(frames.rst(stream.id, frames.REFUSED_STREAM))
            return stream

        connection.open = open_and_refuse
        response = await client.post("/upload", content=parts())
        assert response.content == b"/upload" + b"".join(PARTS)


# The response comes before the end of the request.


async def test_the_response_can_be_read_while_the_body_is_sent() -> None:
    more = trio.Event()

    async def parts() -> AsyncIterator[bytes]:
        yield b"first"
        await more.wait()
        yield b"second"

    async with scripted_peer() as peer, peer.open_client() as client:

        async def talk() -> list[bytes]:
            async with client.stream("POST", "/", content=parts()) as response:
                chunks = []
                async for chunk in response:
                    chunks.append(chunk)
                    more.set()
                return chunks

        call = peer.call(talk)
        request = await peer.expect_headers()
        await peer.expect_data(request, 5)
        await peer.respond(request, body=b"got it", end=False)
        await peer.expect_end(request)
        await peer.data(request, b"thanks", end=True)
        assert b"".join(await call.result()) == b"got itthanks"


async def test_an_early_response_ends_the_upload() -> None:
    closed = trio.Event()

    async def parts() -> AsyncIterator[bytes]:
        try:
            yield b"first"
            await trio.sleep_forever()
        finally:
            closed.set()

    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=parts())
        request = await peer.expect_headers()
        await peer.expect_data(request)
        await peer.respond(request, 413, body=b"too large")
        response = await call.result()
        assert (response.status, response.content) == (413, b"too large")
        await peer.expect_rst(request)
        await peer.settle()
        assert closed.is_set()
        assert_clean(client, peer)


async def test_no_error_after_a_whole_response_is_not_a_failure() -> None:
    # RFC 9113, section 8.1: the server has answered, and does not want the rest of the request.
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False

        async def parts() -> AsyncIterator[bytes]:
            while True:
                yield b"x" * 10_000

        for content in (b"x" * 500_000, parts()):
            call = peer.call(client.post, "/", content=content)
            request = await peer.expect_headers()
            await peer.expect_data(request)
            await peer.raw(
                frames.headers(request.stream, frames.encode(peer.encoder, [(":status", "200")]))
                + frames.data(request.stream, b"early", end=True)
                + frames.rst(request.stream, frames.NO_ERROR)
            )
            assert (await call.result()).content == b"early"
            await peer.window_update(0, 65_535)
        assert peer.sent(hf.RstStreamFrame) == []


async def test_a_reset_upload_fails_with_the_servers_code() -> None:
    closed = trio.Event()

    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
        finally:
            closed.set()

    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=parts())
        request = await peer.expect_headers()
        await peer.expect_data(request, 65_535)
        await peer.rst(request, frames.INTERNAL_ERROR)
        assert (await call.error(trio_h2ws.StreamReset)).error_code == frames.INTERNAL_ERROR
        await peer.settle()
        assert closed.is_set()


# The user's own exceptions.


async def broken_agen() -> AsyncIterator[bytes]:
    yield b"part"
    raise LookupError("mine")


def broken_gen() -> Iterator[bytes]:
    yield b"part"
    raise LookupError("mine")


async def breaks_while_closing() -> AsyncIterator[bytes]:
    try:
        yield b"part"
        await trio.sleep_forever()
    finally:
        raise LookupError("mine")


@pytest.mark.parametrize("parts", [broken_agen, broken_gen])
async def test_an_error_of_the_iterable_arrives_bare(parts: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=parts())
        request = await peer.expect_headers()
        error = await call.error(LookupError)
        assert error.args == ("mine",)
        await peer.expect_rst(request, frames.CANCEL)
        assert not request.ended
        await peer.settle()
        assert_clean(client, peer)


@pytest.mark.parametrize("parts", [broken_agen, broken_gen])
async def test_an_error_of_the_iterable_reaches_the_reader(parts: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        gate = trio.Event()

        async def gated() -> AsyncIterator[bytes]:
            await gate.wait()
            if parts is broken_agen:
                async for part in broken_agen():
                    yield part
            else:
                for part in broken_gen():
                    yield part

        async def read() -> bytes:
            async with client.stream("POST", "/", content=gated()) as response:
                gate.set()
                return await response.read()

        call = peer.call(read)
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await call.error(LookupError)
        await peer.expect_rst(request, frames.CANCEL)


async def test_an_error_while_an_iterable_closes_is_harmless() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=breaks_while_closing())
        request = await peer.expect_headers()
        await peer.expect_data(request)
        await peer.respond(request, body=b"early")
        assert (await call.result()).content == b"early"
        again = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await again.result()


async def test_a_part_that_is_not_bytes_is_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with pytest.raises(TypeError, match="not int"):
            await client.post("/", content=[b"x", 7])
        call = peer.call(client.post, "/", content=iter([b"x", 7]))
        request = await peer.expect_headers()
        await call.error(TypeError)
        await peer.expect_rst(request, frames.CANCEL)
