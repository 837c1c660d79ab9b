"""The opening handshake of a WebSocket over HTTP/2 (RFC 8441), and what it offers."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, assert_clean, frames, open_websocket, scripted_peer

# Accepted.


async def test_a_websocket_opens_with_an_extended_connect() -> None:
    async with scripted_peer() as peer, peer.open_client(headers={"x-all": "1"}) as client:
        opening = peer.call(
            client.connect_websocket,
            "/feed?a=b",
            subprotocols=["v2", "v1"],
            origin="https://page.test",
            headers={"x-own": "2"},
        )
        theirs = await peer.accept_websocket({"sec-websocket-protocol": "v1"})
        ws = await opening.result()
        request = theirs.request
        pseudo = [(name, value) for name, value in request.fields if name.startswith(b":")]
        assert dict(pseudo) == {
            b":method": b"CONNECT",
            b":protocol": b"websocket",
            b":scheme": b"http",
            b":authority": b"peer.test",
            b":path": b"/feed?a=b",
        }
        assert request.fields[: len(pseudo)] == pseudo  # before all others
        assert request["sec-websocket-version"] == "13"
        assert request["sec-websocket-protocol"] == "v2, v1"
        assert request["origin"] == "https://page.test"
        assert (request["x-all"], request["x-own"]) == ("1", "2")
        for absent in ("sec-websocket-key", "upgrade", "connection", "host", "content-length"):
            assert request.get(absent) is None
        assert not request.ended
        assert ws.subprotocol == "v1"
        assert (ws.http_version, ws.stream_id, ws.response.status) == ("HTTP/2", 1, 200)
        ws.abort()


@pytest.mark.parametrize("status", [200, 201, 299])
async def test_every_2xx_accepts(autojump_clock: MockClock, status: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket(status=status)
        (await opening.result()).abort()


@pytest.mark.parametrize("length", ["0", "5"])
async def test_a_content_length_of_an_accepting_answer_is_ignored(length: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, headers={"content-length": length})
        await theirs.send("more than five bytes")
        assert await ws.receive() == "more than five bytes"
        ws.abort()


async def test_fields_of_the_http1_handshake_are_ignored() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, headers={"sec-websocket-accept": "whatever"})
        await theirs.send("x")
        assert await ws.receive() == "x"
        ws.abort()


async def test_messages_may_arrive_with_the_acceptance() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        yes = frames.headers(request.stream, frames.encode(peer.encoder, [(":status", "200")]))
        hello = frames.ws(frames.TEXT, "hello") + frames.ws_close(1000)
        await peer.raw(yes + frames.data(request.stream, hello, end=True))
        ws = await opening.result()
        assert [message async for message in ws] == ["hello"]
        assert (ws.close_code, ws.close_reason) == (1000, "")


DEFLATE = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"


def compressed(text: str) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(text.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return frames.ws(frames.TEXT, data[:-4], rsv=4)


async def answer_at_once(peer: Peer, headers: dict[str, str], body: bytes) -> None:
    request = await peer.expect_headers()
    block = frames.encode(peer.encoder, {":status": "200", **headers})
    await peer.raw(frames.headers(request.stream, block) + frames.data(request.stream, body, end=True))


async def test_a_compressed_message_at_once_is_not_taken_for_a_page(autojump_clock: MockClock) -> None:
    """The 200, a message, the Close and END_STREAM may arrive before the application runs. So may the page of an HTTP
    handler that knows nothing of WebSockets. The first byte distinguishes the two, whether or not it has the RSV1 bit
    of a compressed message."""
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await answer_at_once(
            peer, {"sec-websocket-extensions": DEFLATE}, compressed("bye") + frames.ws_close(1000, "served")
        )
        ws = await opening.result()
        assert await ws.receive() == "bye"
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.clean) == (1000, True)
        await ws.aclose()


ENDS = {
    "NO_ERROR": lambda stream: frames.rst(stream, frames.NO_ERROR),
    "CANCEL": lambda stream: frames.rst(stream, frames.CANCEL),
    "REFUSED_STREAM": lambda stream: frames.rst(stream, frames.REFUSED_STREAM),
    "GOAWAY": lambda stream: frames.goaway(0),
    "a connection error": lambda stream: frames.ping(b"short"),
}


@pytest.mark.parametrize("end", ["REFUSED_STREAM", "GOAWAY"])
async def test_an_accepted_websocket_never_counts_as_unprocessed(end: str, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await theirs.send("begun")
        await peer.raw(ENDS[end](theirs.stream))
        assert await ws.receive() == "begun"
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.clean) == (1006, False)
        assert caught.value.__cause__ is not None
        await ws.aclose()


# Refused.


@pytest.mark.parametrize("status", [301, 401, 404, 500])
async def test_a_refusal_has_status_headers_and_body(status: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        await peer.respond(request, status, {"x-why": "because"}, body=b"go away")
        error = await opening.error(trio_h2ws.WebSocketRejected)
        assert (error.status, error.headers["x-why"], error.body) == (status, "because", b"go away")
        await peer.expect_rst(request)
        await peer.settle()
        assert_clean(client, peer)


async def test_the_body_of_a_refusal_is_bounded() -> None:
    limits = trio_h2ws.Limits(max_rejection_body=1000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        await peer.respond(request, 403, body=b"x" * 5000, end=False)
        error = await opening.error(trio_h2ws.WebSocketRejected)
        assert error.body == b"x" * 1000
        await peer.expect_rst(request)


async def test_a_refusal_cut_by_a_reset_keeps_its_status_and_body() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        await peer.raw(
            frames.headers(request.stream, frames.encode(peer.encoder, [(":status", "403")]))
            + frames.data(request.stream, b"forbidden")
            + frames.rst(request.stream, frames.CANCEL)
        )
        error = await opening.error(trio_h2ws.WebSocketRejected)
        assert (error.status, error.body) == (403, b"forbidden")


async def test_a_refusal_with_an_endless_body_is_bounded_in_time(autojump_clock: trio.testing.MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        await peer.respond(request, 403, body=b"slow", end=False)
        error = await opening.error(trio_h2ws.WebSocketRejected, within=100)
        assert (error.status, error.body) == (403, b"slow")
        await peer.expect_rst(request)


async def test_a_page_instead_of_a_websocket_is_a_refusal() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for body in (b"", b"<html>hello</html>"):
            opening = peer.call(client.connect_websocket, "/")
            request = await peer.expect_headers()
            page = frames.headers(request.stream, frames.encode(peer.encoder, [(":status", "200")]), end=not body)
            if body:
                page += frames.data(request.stream, body, end=True)
            await peer.raw(page)
            error = await opening.error(trio_h2ws.WebSocketRejected)
            assert error.status == 200


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}, {"sec-websocket-extensions": DEFLATE}])
@pytest.mark.parametrize("end", ["HEADERS", "DATA", "RST_STREAM", "END_STREAM and RST_STREAM"])
@pytest.mark.parametrize("status", [200, 201, 202, 204, 205, 206, 299])
@pytest.mark.slow
async def test_a_2xx_with_its_end_is_a_refusal(status: int, end: str, headers: dict[str, str]) -> None:
    """Never an open WebSocket that then fails with 1006."""
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        number = (await peer.expect_headers()).stream
        block = frames.encode(peer.encoder, {":status": str(status), **headers})
        ends = {
            "HEADERS": b"",
            "DATA": frames.data(number, end=True),
            "RST_STREAM": frames.rst(number, frames.CANCEL),
            "END_STREAM and RST_STREAM": frames.data(number, end=True) + frames.rst(number, frames.NO_ERROR),
        }
        await peer.raw(frames.headers(number, block, end=end == "HEADERS") + ends[end])
        rejected = await opening.error(trio_h2ws.WebSocketRejected)
        assert (rejected.status, rejected.body) == (status, b"")
        assert "ordinary request" in str(rejected)
        await peer.settle()
        assert_clean(client)


@pytest.mark.parametrize("status", [201, 202, 206, 299])
async def test_the_end_of_an_unusual_2xx_may_come_later(autojump_clock: MockClock, status: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        await peer.respond(request, status, end=False)
        await trio.sleep(0.1)
        await peer.data(request, end=True)
        rejected = await opening.error(trio_h2ws.WebSocketRejected)
        assert rejected.status == status


@pytest.mark.parametrize("status", [204, 205])
async def test_a_2xx_without_content_is_a_refusal(autojump_clock: MockClock, status: int) -> None:
    """No byte may follow it (RFC 9110, sections 15.3.5 and 15.3.6), so no message can, even on an open stream."""
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        start = trio.current_time()
        await peer.respond(request, status, end=False)
        rejected = await opening.error(trio_h2ws.WebSocketRejected)
        assert (rejected.status, rejected.body) == (status, b"")
        assert trio.current_time() - start < 0.05
        await peer.expect_rst(request, frames.CANCEL)
        assert_clean(client, peer)


async def test_a_websocket_closed_in_the_same_read_was_open() -> None:
    """A server may accept, say why it closes, and reset: the user gets the code."""
    async with scripted_peer() as peer, peer.open_client() as client:
        for end in ("RST_STREAM", "DATA"):
            opening = peer.call(client.connect_websocket, "/")
            number = (await peer.expect_headers()).stream
            close = frames.data(number, frames.ws_close(1008, "no"), end=end == "DATA")
            rst = frames.rst(number, frames.NO_ERROR) if end == "RST_STREAM" else b""
            await peer.raw(frames.headers(number, frames.encode(peer.encoder, {":status": "200"})) + close + rst)
            ws = await opening.result()
            with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
                await ws.receive()
            assert (caught.value.code, caught.value.reason) == (1008, "no")


async def test_a_connection_that_ends_with_the_acceptance_is_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        number = (await peer.expect_headers()).stream
        block = frames.encode(peer.encoder, {":status": "200"})
        await peer.raw(frames.headers(number, block) + frames.ping(b"short"))
        await opening.error(trio_h2ws.RemoteProtocolError)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-websocket-protocol": "v3"},
        {"sec-websocket-protocol": "v1, v2"},
        [("sec-websocket-protocol", "v1"), ("sec-websocket-protocol", "v2")],
        {"sec-websocket-extensions": "permessage-deflate"},
        {"sec-websocket-extensions": "x-unknown"},
    ],
)
async def test_a_server_cannot_choose_what_was_not_offered(headers: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/", subprotocols=["v1", "v2"], compression=None)
        theirs = await peer.accept_websocket(headers)
        await opening.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(theirs)
        assert_clean(client, peer)


async def test_a_plain_text_page_is_a_refusal(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await answer_at_once(peer, {"content-type": "text/plain"}, b"Hello")
        rejected = await opening.error(trio_h2ws.WebSocketRejected)
        assert (rejected.status, rejected.body) == (200, b"Hello")


async def test_a_handshake_without_an_answer_fails_in_time(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(handshake=2)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        call = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        start = trio.current_time()
        error = await call.error(trio_h2ws.WebSocketError, within=100)
        assert trio.current_time() - start == pytest.approx(2)
        assert "Timeouts.handshake" in str(error)
        await peer.expect_rst(request, frames.CANCEL)
        assert_clean(client, peer)


# Compression.


KEEP = trio_h2ws.DeflateOptions(server_context_takeover=True, client_context_takeover=True)


async def test_compression_is_offered_by_default() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        assert theirs.request["sec-websocket-extensions"].startswith("permessage-deflate")
        await ws.send("x" * 10_000)  # the server did not take the offer
        assert await theirs.expect_message() == "x" * 10_000
        ws.abort()
        ws, theirs = await open_websocket(peer, client, compression=None)
        assert theirs.request.get("sec-websocket-extensions") is None
        ws.abort()


@pytest.mark.parametrize(
    "answer",
    [
        "permessage-deflate",
        "permessage-deflate;client_max_window_bits=12;server_max_window_bits=12",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        'permessage-deflate; client_max_window_bits="9"',
    ],
)
async def test_every_valid_answer_to_the_offer_is_accepted(answer: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(
            peer, client, headers={"sec-websocket-extensions": answer}, compression=KEEP
        )
        assert theirs.request["sec-websocket-extensions"].startswith("permessage-deflate")
        message = "all the same " * 100
        theirs_keeps = "server_no" not in answer
        deflate = zlib.compressobj(wbits=-12)
        inflate = zlib.decompressobj(-15)
        for _ in range(3):
            packed = deflate.compress(message.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
            if not theirs_keeps:
                deflate = zlib.compressobj(wbits=-12)
            await theirs.frame(frames.TEXT, packed[:-4], rsv=4)
            assert await ws.receive() == message
            await ws.send(message)
            frame = await theirs.expect_frame(frames.TEXT)
            assert frame.rsv == 4
            assert len(frame.payload) < 200
            if "client_no" in answer:
                inflate = zlib.decompressobj(-15)
            assert inflate.decompress(frame.payload + b"\0\0\xff\xff") == message.encode()
        ws.abort()


@pytest.mark.parametrize(
    "answer",
    [
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; unknown=1",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate, permessage-deflate",
    ],
)
async def test_an_invalid_answer_to_the_offer_is_an_error(answer: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/", compression=KEEP)
        theirs = await peer.accept_websocket({"sec-websocket-extensions": answer})
        await opening.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(theirs)
