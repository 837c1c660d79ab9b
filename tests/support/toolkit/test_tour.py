"""A tour of the toolkit: what a scripted peer can do, and how a test reads."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest
import trio

import trio_h2ws
from toolkit import bystanders, frames, scripted_peer


async def test_a_peer_answers_a_request() -> None:
    # The peer writes SETTINGS, acknowledges ours and answers our first PING by itself.
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/a?b=c", content=b"hello", headers={"x-mine": "yes"})
        request = await peer.expect_headers()
        assert request[":method"] == "POST"
        assert request[":path"] == "/a?b=c"
        assert request["x-mine"] == "yes"
        await peer.expect_end(request)
        assert request.body == b"hello"
        await peer.respond(request, 201, {"x-theirs": "too"}, body=b"world", trailers={"x-last": "1"})
        response = await call.result()
        assert (response.status, response.content) == (201, b"world")
        assert response.headers["x-theirs"] == "too"
        assert response.trailers["x-last"] == "1"
        assert peer.dials == 1
        # Everything that the client sent is kept.
        assert [type(frame) for frame in peer.frames[:2]] == [hf.SettingsFrame, hf.WindowUpdateFrame]
        assert peer.sent(hf.PingFrame)
    # The client has closed the connection gracefully.
    await peer.expect_goaway(0)
    await peer.expect_eof()


async def test_every_byte_can_be_written_by_hand() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        peer.auto_ack = peer.auto_pong = False
        call = peer.call(client.get, "/")
        preface = await peer.expect_preface()
        assert preface.settings[frames.ENABLE_PUSH] == 0
        await peer.settings({frames.MAX_CONCURRENT_STREAMS: 7})
        await peer.expect_settings_ack()
        await peer.settings(ack=True)
        await peer.ping(await peer.expect_ping(), ack=True)
        request = await peer.expect_headers()
        block = frames.literals([(":status", "200"), ("content-length", "2")])
        await peer.raw(frames.headers(request.stream, block[:3], end_headers=False))
        await peer.raw(frames.continuation(request.stream, block[3:], end_headers=True))
        await peer.raw(frames.data(request.stream, b"ok", end=True, pad=3))
        assert (await call.result()).content == b"ok"


async def test_an_error_arrives_bare() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.rst(await peer.expect_headers(), frames.INTERNAL_ERROR)
        error = await call.error(trio_h2ws.StreamReset)
        assert error.error_code == frames.INTERNAL_ERROR


async def test_a_call_can_be_cancelled() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        call.cancel()
        await peer.expect_rst(request, frames.CANCEL)
        await call.over()
        assert call.cancelled


async def test_a_peer_accepts_a_websocket() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/feed")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await ws.send("hello")
        assert await theirs.expect_message() == "hello"
        await theirs.send(b"\1\2")
        assert await ws.receive() == b"\1\2"
        await theirs.frame(frames.PING, b"p")
        assert (await theirs.expect_frame(frames.PONG)).payload == b"p"
        closing = peer.call(ws.aclose, 3001, "enough")
        assert (await theirs.expect_close(3001)).payload[2:] == b"enough"
        await theirs.close(3001)
        await closing.result()
        await theirs.expect_rst()


async def test_another_peer_takes_the_next_dial() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        first = peer.call(client.get, "/1")
        request = await peer.expect_headers()
        await peer.goaway(request)
        second = peer.call(client.get, "/2")
        other = peer.another()
        await other.respond(await other.expect_headers(), body=b"from the other")
        assert (await second.result()).content == b"from the other"
        await peer.respond(request, body=b"from the first")
        assert (await first.result()).content == b"from the first"
        assert peer.dials == 2


async def test_a_peer_can_serve_by_itself() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()
        assert (await client.put("/name", content=b"=body")).content == b"/name=body"
        async with client.websocket("/echo") as ws:
            await ws.send("again")
            assert await ws.receive() == "again"


async def test_bystanders_notice_nothing() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        call = peer.call(client.get, "/fault")
        await peer.rst(await peer.expect_headers())
        await call.error(trio_h2ws.StreamReset)


@pytest.mark.parametrize("transport", ["memory", "lockstep", "socket", "tls"])
async def test_a_peer_works_on_every_transport(transport: str) -> None:
    async with scripted_peer(transport=transport) as peer, peer.open_client() as client:  # type: ignore[arg-type]
        peer.serve()
        assert (await client.get("/x")).content == b"/x"
    await peer.expect_goaway(0)


async def test_a_peer_can_stop_reading() -> None:
    async with scripted_peer(transport="lockstep") as peer, peer.open_client() as client:
        peer.serve()
        await client.get("/x")
        peer.pause()
        with trio.move_on_after(0.05) as scope:
            await client.get("/y")
        assert scope.cancelled_caught
        peer.resume()
        assert (await client.get("/z")).content == b"/z"


async def test_a_failed_expectation_shows_what_came() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.call(client.get, "/")
        await peer.expect_headers()
        with pytest.raises(AssertionError, match="GoAwayFrame"):
            await peer.expect(hf.GoAwayFrame, within=0.01)
