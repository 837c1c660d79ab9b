"""Responses: headers, trailers, 1xx, bodies that are bounded, and a whole response followed by the end of its
stream."""

from __future__ import annotations

import copy
import gzip
import os
import pickle
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import assert_clean, frames, scripted_peer


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


async def test_informational_responses_are_kept() -> None:
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


async def test_head_204_and_304_have_no_body() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for method, status in (("HEAD", 200), ("GET", 304), ("GET", 204)):
            call = peer.call(client.request, method, "/")
            await peer.respond(await peer.expect_headers(), status, {"content-length": "1234"})
            response = await call.result()
            assert (response.status, response.content) == (status, b"")
            assert response.headers["content-length"] == "1234"


async def test_headers_may_repeat_and_be_latin_1() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.respond(
            await peer.expect_headers(), headers=[("set-cookie", "a"), ("set-cookie", "b"), (b"x-latin", b"caf\xe9")]
        )
        response = await call.result()
        assert response.headers.get_all("Set-Cookie") == ["a", "b"]
        assert response.headers["x-latin"] == "café"


async def test_blanks_around_values_are_stripped() -> None:
    """What servers send against RFC 9113, section 8.2.1, and every other client takes: in a response, in a 1xx before
    it, in its trailers, and in the answer to the handshake of a WebSocket. A remembered block is the same."""
    given = [("x-a", " in side\t"), ("x-empty", " \t")]
    stripped = [(b"x-a", b"in side"), (b"x-empty", b"")]
    async with scripted_peer() as peer, peer.open_client() as client:
        for _ in range(2):
            call = peer.call(client.get, "/")
            request = await peer.expect_headers()
            await peer.respond(request, 103, given, end=False)
            await peer.respond(request, 200, [("content-length", "4 "), *given], body=b"body", trailers=given)
            response = await call.result()
            assert response.content == b"body"
            assert response.headers.raw == [(b"content-length", b"4"), *stripped]
            assert response.trailers.raw == stripped
            assert [fields.raw for _, fields in response.informational] == [stripped]
        opening = peer.call(client.connect_websocket, "/", subprotocols=["v1"])
        await peer.respond(await peer.expect_headers(), 200, [("sec-websocket-protocol", "\tv1 "), *given], end=False)
        ws = await opening.result()
        assert (ws.subprotocol, ws.response.headers["x-a"]) == ("v1", "in side")
        ws.abort()


@pytest.mark.parametrize(
    "content_type",
    ["text/plain; charset=hex", "; charset=", 'a; charset="', "text/x; charset=" + "a" * 9000, "\xe9;=\x01"],
)
async def test_text_never_fails(content_type: str) -> None:
    """A charset that is not one, that is not for text, or a Content-Type that is not one: the text is UTF-8."""
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        fields = [(b"content-type", content_type.encode("latin-1"))]
        await peer.respond(await peer.expect_headers(), headers=fields, body=b"\xe2\x82\xac\xff")
        response = await call.result()
        assert (response.encoding, response.text) == ("utf-8", "\N{EURO SIGN}\N{REPLACEMENT CHARACTER}")


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": partial(lambda protocol, given: pickle.loads(pickle.dumps(given, protocol)), protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("made", COPIES.values(), ids=COPIES)
async def test_a_response_and_its_error_can_be_copied(made: Callable[[Any], Any]) -> None:
    """A logger or a process pool takes an HTTPStatusError with its response, redirects and all."""
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/a")
        await peer.respond(await peer.expect_headers(), 302, {"location": "/b"})
        request = await peer.expect_headers()
        await peer.respond(request, 103, {"link": "x"}, end=False)
        await peer.respond(request, 503, {"retry-after": "7"}, body=b"busy", trailers={"x-sum": "1"})
        response = await call.result()
        with pytest.raises(trio_h2ws.HTTPStatusError) as caught:
            response.raise_for_status()
        caught.value.add_note("a note")
        error = made(caught.value)
        copied = error.response
        assert (str(error), error.status, error.__notes__) == (str(caught.value), 503, ["a note"])
        assert type(copied) is trio_h2ws.Response
        assert copied is not response or made is copy.copy
        for copied in (error.response, made(response), made(made(response))):
            assert repr(copied) == repr(response)
            assert (copied.content, copied.text, copied.retry_after) == (b"busy", "busy", 7.0)
            assert (copied.headers, copied.trailers) == (response.headers, response.trailers)
            assert (copied.informational, copied.stream_id) == (response.informational, 3)
            assert copied.connection == response.connection
            assert [(entry.status, entry.url) for entry in copied.history] == [(302, f"{peer.url}/a")]
            assert await copied.read() == b"busy"


@pytest.mark.parametrize("made", COPIES.values(), ids=COPIES)
async def test_a_copy_without_a_body_says_so(made: Callable[[Any], Any]) -> None:
    """Inside a stream block the copy is what is known by then, and the response itself can still be read."""
    async with scripted_peer() as peer, peer.open_client() as client:

        async def stream() -> None:
            async with client.stream("GET", "/") as response:
                copied = made(response)
                assert (copied.status, copied.headers) == (200, response.headers)
                with pytest.raises(RuntimeError, match="has not been read"):
                    _ = copied.content
                with pytest.raises(trio.ClosedResourceError, match="copy"):
                    await copied.read()
                assert await response.read() == b"body"

        call = peer.call(stream)
        await peer.respond(await peer.expect_headers(), headers={"content-encoding": "br"}, body=b"body")
        await call.result()


async def test_a_body_can_be_read_again_once_it_is_whole() -> None:
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


async def test_a_body_over_the_bound_is_an_error() -> None:
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


@pytest.mark.parametrize("encoding", [None, "gzip"])
async def test_reading_on_after_a_cancelled_read_is_an_error(encoding: str | None) -> None:
    """What it had is lost. The rest alone would look like the whole body."""
    body = gzip.compress(os.urandom(50_000)) if encoding else b"x" * 50_000
    async with scripted_peer() as peer, peer.open_client() as client:

        async def read() -> None:
            async with client.stream("GET", "/") as response:
                with trio.CancelScope() as scope:
                    half_read.append(scope)
                    await response.read()
                assert scope.cancelled_caught
                for again in (response.read, response.__anext__):
                    with pytest.raises(trio.ClosedResourceError, match="was cancelled"):
                        await again()
                with pytest.raises(RuntimeError):
                    _ = response.content

        half_read: list[trio.CancelScope] = []
        call = peer.call(read)
        request = await peer.expect_headers()
        await peer.respond(request, headers={"content-encoding": encoding} if encoding else {}, end=False)
        await peer.data(request.stream, body[: len(body) // 2])
        await peer.settle()
        half_read[0].cancel()
        await call.result()
        await peer.settle()
        assert_clean(client, peer)


async def test_a_read_that_was_cancelled_before_it_had_anything_may_be_repeated() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def read() -> bytes:
            async with client.stream("GET", "/") as response:
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await response.read()
                return await response.read()

        call = peer.call(read)
        await peer.respond(await peer.expect_headers(), body=b"whole")
        assert await call.result() == b"whole"


async def test_a_body_that_cannot_be_decoded_is_over() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def read() -> None:
            async with client.stream("GET", "/") as response:
                with pytest.raises(trio_h2ws.RemoteProtocolError, match="not valid gzip"):
                    await response.read()
                with pytest.raises(trio.ClosedResourceError):
                    await response.read()

        call = peer.call(read)
        request = await peer.expect_headers()
        await peer.respond(request, headers={"content-encoding": "gzip"}, end=False)
        await peer.data(request.stream, b"not gzip at all")
        await peer.expect_rst(request)
        await call.result()


# A whole response, and in the same read the end of its stream or connection: the server answers while the request's
# body is still being sent, and does not want the rest. The task that waits has not run yet. It must get the response
# and not the error, and a request that was answered must not be sent again.


ENDS = {
    "NO_ERROR": lambda stream: frames.rst(stream, frames.NO_ERROR),
    "CANCEL": lambda stream: frames.rst(stream, frames.CANCEL),
    "REFUSED_STREAM": lambda stream: frames.rst(stream, frames.REFUSED_STREAM),
    "GOAWAY": lambda stream: frames.goaway(0),
    "a connection error": lambda stream: frames.ping(b"short"),
}


async def half_of_a_body() -> AsyncIterator[bytes]:
    yield b"half"
    await trio.sleep_forever()


@pytest.mark.parametrize("content", ["whole", "parts"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("end", ENDS)
async def test_a_whole_response_survives_the_end_after_it(
    end: str, streamed: bool, content: str, autojump_clock: MockClock
) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False

        async def post() -> bytes:
            body = half_of_a_body() if content == "parts" else b"x" * 100_000
            if not streamed:
                return (await client.post("/", content=body)).content
            async with client.stream("POST", "/", content=body) as response:
                return await response.read()

        call = peer.call(post)
        request = await peer.expect_headers()
        await peer.expect_data(request)
        answer = frames.headers(request.stream, frames.encode(peer.encoder, {":status": "413"}))
        answer += frames.data(request.stream, b"too much", end=True)
        await peer.raw(answer + ENDS[end](request.stream))
        assert await call.result() == b"too much"
        assert len(peer.sent(hf.HeadersFrame)) == 1
        assert peer.dials == 1


@pytest.mark.parametrize("length", ["content-length: 8\r\n", "connection: close\r\n"])
@pytest.mark.parametrize("content", ["whole", "parts"])
async def test_a_whole_http1_response_survives_the_end_after_it(
    content: str, length: str, autojump_clock: MockClock
) -> None:
    ours, theirs = trio.testing.memory_stream_pair()

    async def open_stream(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return ours

    async def answer_and_close() -> None:
        await theirs.receive_some()
        await theirs.send_all(f"HTTP/1.1 413 Too Much\r\n{length}\r\ntoo much".encode())
        await theirs.aclose()

    async with trio_h2ws.open_client(open_stream=open_stream) as client, trio.open_nursery() as nursery:
        nursery.start_soon(answer_and_close)
        body = half_of_a_body() if content == "parts" else b"x" * 1_000_000
        response = await client.post("http://peer.test/", content=body)
        assert (response.status, response.content) == (413, b"too much")


async def test_refused_stream_after_headers_is_not_retried(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"begun", end=False)
        await peer.rst(request, frames.REFUSED_STREAM)
        assert (await call.error(trio_h2ws.StreamReset)).error_code == frames.REFUSED_STREAM
