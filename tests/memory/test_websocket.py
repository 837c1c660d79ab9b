"""WebSockets over HTTP/2 (RFC 8441): the handshake, messages, the closing."""

from __future__ import annotations

import zlib
from typing import Any

import hyperframe.frame as hf
import pytest
import trio

import trio_h2ws
from toolkit import Peer, PeerSocket, assert_clean, frames, scripted_peer


async def open_socket(
    peer: Peer, client: trio_h2ws.Client, *, headers: Any = (), **options: Any
) -> tuple[trio_h2ws.WebSocket, PeerSocket]:
    opening = peer.call(client.connect_websocket, "/", **options)
    theirs = await peer.accept_websocket(headers)
    return await opening.result(), theirs


# The handshake.


async def test_the_extended_connect() -> None:
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
async def test_every_2xx_is_a_yes(status: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket(status=status)
        (await opening.result()).abort()


@pytest.mark.parametrize("length", ["0", "5"])
async def test_a_content_length_in_the_yes_is_ignored(length: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client, headers={"content-length": length})
        await theirs.send("more than five bytes")
        assert await ws.receive() == "more than five bytes"
        ws.abort()


async def test_fields_of_the_other_handshake_are_ignored() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client, headers={"sec-websocket-accept": "whatever"})
        await theirs.send("x")
        assert await ws.receive() == "x"
        ws.abort()


async def test_messages_that_came_with_the_yes() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        yes = frames.headers(request.stream, frames.encode(peer.encoder, [(":status", "200")]))
        hello = frames.ws(frames.TEXT, "hello") + frames.ws_close(1000)
        await peer.raw(yes + frames.data(request.stream, hello, end=True))
        ws = await opening.result()
        assert [message async for message in ws] == ["hello"]
        assert (ws.close_code, ws.close_reason) == (1000, "")


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


async def test_a_refusal_that_is_cut_with_a_reset_keeps_what_came() -> None:
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


async def test_a_refusal_whose_body_never_ends_is_bounded_in_time(autojump_clock: trio.testing.MockClock) -> None:
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
async def test_what_nobody_offered_can_not_be_chosen(headers: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/", subprotocols=["v1", "v2"], compression=None)
        theirs = await peer.accept_websocket(headers)
        await opening.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(theirs)
        assert_clean(client, peer)


# Compression.

KEEP = trio_h2ws.DeflateOptions(server_context_takeover=True, client_context_takeover=True)


async def test_compression_is_offered_by_default_and_can_be_left_out() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        assert theirs.request["sec-websocket-extensions"].startswith("permessage-deflate")
        await ws.send("x" * 10_000)  # the server did not take the offer
        assert await theirs.expect_message() == "x" * 10_000
        ws.abort()
        ws, theirs = await open_socket(peer, client, compression=None)
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
async def test_answers_to_our_offer_that_servers_give(answer: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client, headers={"sec-websocket-extensions": answer}, compression=KEEP)
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
async def test_answers_to_our_offer_that_are_wrong(answer: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/", compression=KEEP)
        theirs = await peer.accept_websocket({"sec-websocket-extensions": answer})
        await opening.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(theirs)


# Messages.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
async def test_messages_of_every_size_and_kind(size: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        for message in ("x" * size, b"\xff" * size):
            await ws.send(message)
            assert await theirs.expect_message() == message
            peer.start_soon(theirs.send, message)
            assert await ws.receive() == message
        ws.abort()


async def test_a_fragmented_message_with_pings_between() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        text = "\N{EURO SIGN}uro".encode()
        await theirs.frame(frames.TEXT, text[:1], fin=False)
        await theirs.frame(frames.PING, b"between")
        await theirs.frame(frames.CONT, b"", fin=False)
        await theirs.frame(frames.CONT, text[1:2], fin=False)
        await theirs.frame(frames.CONT, text[2:])
        assert await ws.receive() == "\N{EURO SIGN}uro"
        assert (await theirs.expect_frame(frames.PONG)).payload == b"between"
        ws.abort()


async def test_frames_split_over_many_data_frames() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        for byte in frames.ws(frames.TEXT, "x" * 300) + frames.ws(frames.BINARY, b"y"):
            await theirs.raw(bytes((byte,)))
        assert await ws.receive() == "x" * 300
        assert await ws.receive() == b"y"
        ws.abort()


async def test_several_messages_in_one_data_frame_with_padding() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        await peer.data(theirs, b"".join(frames.ws(frames.TEXT, f"{n}") for n in range(10)), pad=100)
        assert [await ws.receive() for _ in range(10)] == [f"{n}" for n in range(10)]
        ws.abort()


async def test_pings_of_the_application() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        first, second = peer.call(ws.ping), peer.call(ws.ping)
        await theirs.expect_frame(frames.PING)
        latest = await theirs.expect_frame(frames.PING)
        await theirs.frame(frames.PONG, b"nobody asked")
        await peer.settle()
        assert not first.done
        assert not second.done
        # A pong for the latest answers all before it.
        await theirs.frame(frames.PONG, latest.payload)
        assert await first.result() >= 0
        assert await second.result() >= 0
        third = peer.call(ws.ping)
        await theirs.expect_frame(frames.PING)
        await theirs.close(1000)
        await third.error(trio_h2ws.WebSocketClosed)


# The closing.


async def test_we_close() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        closing = peer.call(ws.aclose, 4000, "enough")
        frame = await theirs.expect_close(4000)
        assert frame.payload[2:] == b"enough"
        assert not theirs.request.ended  # END_STREAM makes some servers lose their own Close
        await theirs.send("on its way")
        await theirs.close(4000, "enough")
        await closing.result()
        assert (ws.close_code, ws.close_reason) == (4000, "enough")
        await theirs.expect_rst(frames.CANCEL)
        await peer.settle()
        assert_clean(client, peer)


async def test_we_close_and_the_server_ends_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        closing = peer.call(ws.aclose)
        await theirs.expect_close()
        await theirs.close(1000, end=True)
        await closing.result()
        await theirs.expect_rst(frames.CANCEL)
        assert ws.close_code == 1000


@pytest.mark.parametrize("code", [frames.NO_ERROR, frames.CANCEL, frames.CONNECT_ERROR])
async def test_after_the_peers_close_any_reset_is_a_clean_end(code: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        await theirs.send("last")
        await theirs.close(1000)
        await peer.rst(theirs, code)
        assert [message async for message in ws] == ["last"]
        assert ws.close_code == 1000
        assert not peer.sent(hf.RstStreamFrame)


@pytest.mark.parametrize(("code", "quiet"), [(1000, True), (1001, True), (1011, False), (4000, False), (None, False)])
async def test_iteration_ends_with_a_clean_close_and_raises_for_others(code: int | None, quiet: bool) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        await theirs.send("one")
        await theirs.close(code)

        async def iterate() -> list[str | bytes]:
            return [message async for message in ws]

        if quiet:
            assert await iterate() == ["one"]
        else:
            with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
                await iterate()
            assert caught.value.code == (code or 1005)
            assert caught.value.clean


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_an_end_without_a_close_is_1006(how: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        await theirs.send("one")
        if how == "end":
            await peer.data(theirs, end=True)
        else:
            await peer.rst(theirs, frames.INTERNAL_ERROR)
        # What came before the end in the same moment is delivered.
        assert await ws.receive() == "one"
        for call in (ws.receive, lambda: ws.send("x"), ws.ping):
            with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
                await call()
            assert (caught.value.code, caught.value.clean) == (1006, False)
        if how == "reset":
            assert isinstance(caught.value.__cause__, trio_h2ws.StreamReset)
        assert ws.close_code == 1006
        await ws.aclose()
        await peer.settle()
        assert_clean(client, peer)


async def test_a_block_that_ends_well_closes_with_1000() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def block() -> None:
            async with client.websocket("/"):
                pass

        call = peer.call(block)
        theirs = await peer.accept_websocket()
        await theirs.expect_close(1000)
        assert not call.done
        await theirs.close()
        await call.result()


async def test_a_block_that_raises_closes_with_1011_and_does_not_wait() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def block() -> None:
            async with client.websocket("/"):
                raise LookupError("mine")

        call = peer.call(block)
        theirs = await peer.accept_websocket()
        await call.error(LookupError)
        await theirs.expect_close(1011)
        await theirs.close(1011)
        await theirs.expect_rst(frames.CANCEL)
        await peer.settle()
        assert_clean(client, peer)


async def test_run_websocket_in_task_style() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        heard: list[object] = []
        two = trio.Event()

        async def handler(ws: trio_h2ws.WebSocket) -> None:
            async for message in ws:
                heard.append(message)
                if len(heard) == 2:
                    two.set()

        peer.serve()
        async with trio.open_nursery() as nursery:
            ws = await nursery.start(client.run_websocket, "/", handler)
            await ws.send("a")
            await ws.send("b")
            await two.wait()
            nursery.cancel_scope.cancel()
        assert heard == ["a", "b"]


async def test_closing_one_of_ten_leaves_nine() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        sockets = [await open_socket(peer, client) for _ in range(10)]
        ws, theirs = sockets.pop(4)
        closing = peer.call(ws.aclose)
        await theirs.close()
        await closing.result()
        for ws, theirs in sockets:
            await ws.send("still")
            assert await theirs.expect_message() == "still"
            await theirs.send("here")
            assert await ws.receive() == "here"
            ws.abort()


async def test_draining_tells_that_the_connection_is_going() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_socket(peer, client)
        assert not ws.draining.is_set()
        await peer.goaway()
        with trio.fail_after(5):
            await ws.draining.wait()
        assert client.connections[0].draining
        await theirs.send("still open")
        assert await ws.receive() == "still open"
        ws.abort()
        await peer.expect_eof()
