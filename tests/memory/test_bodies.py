"""Bodies in both directions: bytes, iterables, trailers, 1xx, content-encodings."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hyperframe.frame as hf
import pytest
import trio

import trio_h2ws
from toolkit import Peer, assert_clean, frames, scripted_peer


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
async def test_content(content: Any, expected: bytes) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent_body(peer, client, content=content)
        assert request.body == expected
        if not isinstance(content, list) and not hasattr(content, "__next__"):
            assert request.get("content-length") == str(len(expected))


async def test_an_async_iterable() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        request = await sent_body(peer, client, content=agen(b"one ", b"two"))
        assert request.body == b"one two"
        assert request.get("content-length") is None


async def test_json() -> None:
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


async def test_trailers_are_received() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(), body=b"x", trailers=[("x-a", "1"), ("x-a", "2")])
        assert (await call.result()).trailers.get_all("x-a") == ["1", "2"]

        async def stream() -> trio_h2ws.Headers:
            async with client.stream("GET", "/") as response:
                assert len(response.trailers) == 0
                await response.read()
                return response.trailers

        again = peer.call(stream)
        await peer.respond(await peer.expect_headers(), trailers={"x-b": "3"})
        assert (await again.result())["x-b"] == "3"


async def test_informational_responses_are_passed_over_and_kept() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, 100, end=False)
        await peer.respond(request, 103, {"link": "</style.css>"}, end=False)
        await peer.settle()
        assert not call.done
        await peer.respond(request, 200, body=b"final")
        response = await call.result()
        assert (response.status, response.content) == (200, b"final")
        assert [(status, dict(fields.items())) for status, fields in response.informational] == [
            (100, {}),
            (103, {"link": "</style.css>"}),
        ]


async def test_head_and_statuses_without_a_body() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for method, status in (("HEAD", 200), ("GET", 304), ("GET", 204)):
            call = peer.call(client.request, method, "/")
            await peer.respond(await peer.expect_headers(), status, {"content-length": "1234"})
            response = await call.result()
            assert (response.status, response.content) == (status, b"")
            assert response.headers["content-length"] == "1234"


async def test_repeated_headers_and_bytes_that_are_not_utf8() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(
            await peer.expect_headers(), headers=[("set-cookie", "a"), ("set-cookie", "b"), (b"x-latin", b"caf\xe9")]
        )
        response = await call.result()
        assert response.headers.get_all("Set-Cookie") == ["a", "b"]
        assert response.headers["x-latin"] == "café"


# The response before the end of the request.


async def test_the_response_is_read_while_the_body_is_still_being_sent() -> None:
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


async def test_a_whole_response_before_the_end_of_the_body_ends_the_upload() -> None:
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


async def test_rst_with_no_error_after_a_whole_response_is_no_error() -> None:
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


async def test_an_upload_that_the_server_resets_fails_with_its_code() -> None:
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
async def test_an_exception_in_an_iterable_arrives_bare_and_resets_the_stream(parts: Any) -> None:
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
async def test_an_exception_in_an_iterable_reaches_who_reads_the_response(parts: Any) -> None:
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


async def test_an_iterable_that_breaks_while_it_is_closed_harms_nobody() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=breaks_while_closing())
        request = await peer.expect_headers()
        await peer.expect_data(request)
        await peer.respond(request, body=b"early")
        assert (await call.result()).content == b"early"
        again = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await again.result()


async def test_a_part_that_is_no_bytes() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=[b"x", 7])
        request = await peer.expect_headers()
        await call.error(TypeError)
        await peer.expect_rst(request, frames.CANCEL)


@pytest.mark.parametrize(
    "options",
    [
        {"content": 7},
        {"content": {"a": "dict"}},
        {"content": b"", "json": 1},
        {"json": float("nan")},
        {"json": {1, 2}},
        {"headers": {"connection": "close"}},
        {"headers": {"x-a": "line\r\nbreak"}},
        {"headers": {"x a": "b"}},
        {"headers": {":path": "/"}},
        {"trailers": {"x": "\0"}},
    ],
)
async def test_a_bad_call_fails_before_anything_is_dialled(options: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with pytest.raises((ValueError, TypeError)):
            await client.post("/", **options)
        assert peer.dials == 0


# Content-encoding.


@pytest.mark.parametrize(
    ("encoding", "encode"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("gzip, deflate", lambda data: zlib.compress(gzip.compress(data))),
        ("identity", bytes),
        ("br", bytes),
    ],
)
async def test_content_encodings_are_undone(encoding: str, encode: Any) -> None:
    body = b"to be compressed " * 50
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        assert "gzip" in request["accept-encoding"]
        await peer.respond(request, headers={"content-encoding": encoding}, body=encode(body))
        assert (await call.result()).content == body

        async def stream() -> bytes:
            async with client.stream("GET", "/") as response:
                return b"".join([chunk async for chunk in response])

        again = peer.call(stream)
        request = await peer.expect_headers()
        await peer.respond(request, headers={"content-encoding": encoding}, end=False)
        for byte in encode(body):
            await peer.data(request, bytes((byte,)))
        await peer.data(request, end=True)
        assert await again.result() == body


async def test_a_body_that_is_not_what_its_encoding_says() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers(), headers={"content-encoding": "gzip"}, body=b"plain")
        await call.error(trio_h2ws.RemoteProtocolError)
        await peer.settle()
        assert_clean(client, peer)


async def test_a_chain_of_encodings_is_refused_and_leaves_no_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def stream() -> None:
            async with client.stream("GET", "/"):
                pass

        for function in (stream, lambda: client.get("/")):
            call = peer.call(function)
            request = await peer.expect_headers()
            await peer.respond(request, headers={"content-encoding": "gzip, gzip, gzip"}, body=b"x", end=False)
            await peer.settle()
            if not call.done:
                await peer.data(request, b"x", end=True)
            await call.error(trio_h2ws.RemoteProtocolError)
        await peer.settle()
        assert_clean(client, peer)


async def test_a_body_that_is_read_twice() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def stream() -> None:
            async with client.stream("GET", "/") as response:
                with pytest.raises(RuntimeError):
                    _ = response.content
                assert await response.read() == b"body"
                assert await response.read() == response.content == b"body"
                assert response.text == "body"
                with pytest.raises(RuntimeError):
                    await response.__anext__()

        call = peer.call(stream)
        await peer.respond(await peer.expect_headers(), body=b"body")
        await call.result()


async def test_a_body_over_the_bound() -> None:
    limits = trio_h2ws.Limits(max_body_size=1000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:

        async def read() -> bytes:
            async with client.stream("GET", "/") as response:
                return await response.read()

        for function in (lambda: client.get("/"), read):
            call = peer.call(function)
            request = await peer.expect_headers()
            await peer.respond(request, body=b"x" * 1000)
            await call.result()
            call = peer.call(function)
            request = await peer.expect_headers()
            await peer.respond(request, body=b"x" * 1001, end=False)
            error = await call.error(trio_h2ws.LimitExceeded)
            assert error.bound == "max_body_size"
            await peer.expect_rst(request)
        await peer.settle()
        assert_clean(client, peer)
