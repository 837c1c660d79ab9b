"""What RFC 9113 calls a connection error ends the connection: GOAWAY with its code, and an error for every call at
once."""

from __future__ import annotations

import pytest

import trio_h2ws
from toolkit import frames, scripted_peer

OPEN = 1  # the stream of the request under way


ERRORS: dict[str, tuple[bytes, int]] = {
    "DATA on stream 0": (frames.raw(0, 0, 0, b"x"), frames.PROTOCOL_ERROR),
    "DATA on an idle stream": (frames.data(99, b"x"), frames.PROTOCOL_ERROR),
    "DATA on a server's stream": (frames.data(2, b"x"), frames.PROTOCOL_ERROR),
    "DATA with more padding than frame": (frames.raw(0, 8, OPEN, b"\x05abc"), frames.PROTOCOL_ERROR),
    "DATA with padding and no length": (frames.raw(0, 8, OPEN, b""), frames.PROTOCOL_ERROR),
    "HEADERS on stream 0": (frames.raw(1, 4, 0, b"\x88"), frames.PROTOCOL_ERROR),
    "HEADERS on an idle stream": (frames.headers(99, b"\x88"), frames.PROTOCOL_ERROR),
    "HEADERS on a server's stream": (frames.headers(2, b"\x88"), frames.PROTOCOL_ERROR),
    "HEADERS with more padding than frame": (frames.raw(1, 12, OPEN, b"\x05\x88"), frames.PROTOCOL_ERROR),
    "HEADERS too short for their priority": (frames.raw(1, 0x24, OPEN, b"\0\0"), frames.FRAME_SIZE_ERROR),
    "a frame inside a header block": (
        frames.headers(OPEN, b"\x88", end_headers=False) + frames.ping(),
        frames.PROTOCOL_ERROR,
    ),
    "an unknown frame inside a header block": (
        frames.headers(OPEN, b"\x88", end_headers=False) + frames.raw(0xBE, 0, 0, b""),
        frames.PROTOCOL_ERROR,
    ),
    "CONTINUATION of another stream": (
        frames.headers(OPEN, b"\x88", end_headers=False) + frames.continuation(3),
        frames.PROTOCOL_ERROR,
    ),
    "CONTINUATION of nothing": (frames.continuation(OPEN, end_headers=True), frames.PROTOCOL_ERROR),
    "CONTINUATION after END_HEADERS": (
        frames.headers(OPEN, b"\x88") + frames.continuation(OPEN, b"\x88", end_headers=True),
        frames.PROTOCOL_ERROR,
    ),
    "PRIORITY on stream 0": (frames.raw(2, 0, 0, b"\0" * 5), frames.PROTOCOL_ERROR),
    "RST_STREAM on stream 0": (frames.raw(3, 0, 0, b"\0" * 4), frames.PROTOCOL_ERROR),
    "RST_STREAM on an idle stream": (frames.rst(99), frames.PROTOCOL_ERROR),
    "RST_STREAM of 3 bytes": (frames.raw(3, 0, OPEN, b"\0" * 3), frames.FRAME_SIZE_ERROR),
    "SETTINGS on a stream": (frames.raw(4, 0, OPEN), frames.PROTOCOL_ERROR),
    "SETTINGS of 5 bytes": (frames.raw(4, 0, 0, b"\0" * 5), frames.FRAME_SIZE_ERROR),
    "SETTINGS that acknowledge with a payload": (frames.raw(4, 1, 0, b"\0" * 6), frames.FRAME_SIZE_ERROR),
    "ENABLE_PUSH of a server": (frames.settings({frames.ENABLE_PUSH: 1}), frames.PROTOCOL_ERROR),
    "ENABLE_PUSH = 2": (frames.settings({frames.ENABLE_PUSH: 2}), frames.PROTOCOL_ERROR),
    "INITIAL_WINDOW_SIZE over 2**31 - 1": (
        frames.settings({frames.INITIAL_WINDOW_SIZE: 2**31}),
        frames.FLOW_CONTROL_ERROR,
    ),
    "MAX_FRAME_SIZE = 0": (frames.settings({frames.MAX_FRAME_SIZE: 0}), frames.PROTOCOL_ERROR),
    "MAX_FRAME_SIZE below 16384": (frames.settings({frames.MAX_FRAME_SIZE: 16383}), frames.PROTOCOL_ERROR),
    "MAX_FRAME_SIZE over 2**24 - 1": (frames.settings({frames.MAX_FRAME_SIZE: 2**24}), frames.PROTOCOL_ERROR),
    "ENABLE_CONNECT_PROTOCOL = 2": (frames.settings({frames.ENABLE_CONNECT_PROTOCOL: 2}), frames.PROTOCOL_ERROR),
    "ENABLE_CONNECT_PROTOCOL = 1, then 0": (
        frames.settings({frames.ENABLE_CONNECT_PROTOCOL: 0}),
        frames.PROTOCOL_ERROR,
    ),
    "PUSH_PROMISE": (frames.push_promise(OPEN, 2, b"\x88"), frames.PROTOCOL_ERROR),
    "PING on a stream": (frames.raw(6, 0, OPEN, b"\0" * 8), frames.PROTOCOL_ERROR),
    "PING of 7 bytes": (frames.raw(6, 0, 0, b"\0" * 7), frames.FRAME_SIZE_ERROR),
    "GOAWAY on a stream": (frames.raw(7, 0, OPEN, b"\0" * 8), frames.PROTOCOL_ERROR),
    "GOAWAY of 7 bytes": (frames.raw(7, 0, 0, b"\0" * 7), frames.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of 3 bytes": (frames.raw(8, 0, 0, b"\0" * 3), frames.FRAME_SIZE_ERROR),
    "WINDOW_UPDATE of 0 on the connection": (frames.window_update(0, 0), frames.PROTOCOL_ERROR),
    "WINDOW_UPDATE on an idle stream": (frames.window_update(99, 1), frames.PROTOCOL_ERROR),
    "a connection window that overflows": (frames.window_update(0, 2**31 - 1), frames.FLOW_CONTROL_ERROR),
    "a frame that is too long": (frames.raw(0, 0, OPEN, length=16385), frames.FRAME_SIZE_ERROR),
    "an unknown frame that is too long": (frames.raw(0xBE, 0, 0, length=2**24 - 1), frames.FRAME_SIZE_ERROR),
    "a header block that is not HPACK": (frames.headers(OPEN, b"\xff\xff\xff\xff\xff\xff"), frames.COMPRESSION_ERROR),
    "a reference to a missing table entry": (frames.headers(OPEN, frames.indexed(200)), frames.COMPRESSION_ERROR),
    "a reference to entry 0": (frames.headers(OPEN, b"\x80"), frames.COMPRESSION_ERROR),
    "a table size over what we allow": (frames.headers(OPEN, frames.table_size(5000)), frames.COMPRESSION_ERROR),
    "a table size in the middle of a block": (
        frames.headers(OPEN, b"\x88" + frames.table_size(0)),
        frames.COMPRESSION_ERROR,
    ),
    "a header block that is cut": (frames.headers(OPEN, b"\x40\x05abc"), frames.COMPRESSION_ERROR),
    "a bad Huffman code": (frames.headers(OPEN, b"\x00\x81\xff\x81\xff"), frames.COMPRESSION_ERROR),
}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize(("bad", "code"), ERRORS.values(), ids=ERRORS)
@pytest.mark.slow
async def test_a_connection_error_ends_the_connection(bad: bytes, code: int, split: bool) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.expect_headers()
        opening = peer.call(client.connect_websocket, "/")
        await peer.accept_websocket()
        ws = await opening.result()
        receiving = peer.call(ws.receive)
        await peer.settle()
        for piece in [bytes((byte,)) for byte in bad] if split else [bad]:
            await peer.raw(piece)
        goaway = await peer.expect_goaway(code)
        assert goaway.last_stream_id == 0
        await peer.expect_eof()
        errors = [await each.error(trio_h2ws.RemoteProtocolError) for each in (call, receiving)]
        assert errors[0] is not errors[1]
        assert {error.error_code for error in errors} == {code}
        # The next call dials.
        again = peer.call(client.get, "/again")
        other = peer.another()
        await other.respond(await other.expect_headers())
        await again.result()


@pytest.mark.parametrize("transport", ["socket", "tls"])
async def test_goaway_is_sent_on_real_transports(transport: str) -> None:
    async with scripted_peer(transport=transport) as peer, peer.open_client() as client:  # type: ignore[arg-type]
        call = peer.call(client.get, "/")
        await peer.expect_headers()
        await peer.raw(frames.raw(6, 0, 0, b"short"))
        await peer.expect_goaway(frames.FRAME_SIZE_ERROR)
        await peer.expect_eof()
        await call.error(trio_h2ws.RemoteProtocolError)


async def test_frames_before_the_fault_are_processed() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        good = frames.headers(request.stream, b"\x88") + frames.data(request.stream, b"whole", end=True)
        await peer.raw(good + frames.raw(6, 0, 0, b"short"))
        assert (await call.result()).content == b"whole"
        await peer.expect_goaway(frames.FRAME_SIZE_ERROR)


async def test_nothing_is_answered_after_our_goaway() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.settle()
        count = len(peer.frames)
        await peer.raw(
            frames.raw(6, 0, 0, b"short")
            + frames.ping()
            + frames.settings({})
            + frames.headers(request.stream, b"\x88", end=True)
        )
        await call.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_eof()
        assert [type(frame).__name__ for frame in peer.frames[count:]] == ["GoAwayFrame"]


# The first frames.


@pytest.mark.parametrize(
    "first",
    [
        frames.ping(),
        frames.settings(ack=True),
        frames.window_update(0, 1000),
        frames.raw(0xBE, 0, 0, b"x"),
        frames.goaway(),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"HTTP/1.0 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n",
    ],
    ids=["PING", "ACK", "WINDOW_UPDATE", "unknown", "GOAWAY", "HTTP/1.1", "HTTP/1.0", "SSH"],
)
async def test_a_first_frame_other_than_settings_fails_the_dial(first: bytes) -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        sent = peer.call(client.get, "/")
        waiting = peer.call(client.connect_websocket, "/")
        await peer.expect_headers()
        await peer.raw(first)
        speaks_http1 = first.startswith(b"HTTP/1.")
        error = await sent.error(trio_h2ws.HTTP2NotAvailable if speaks_http1 else trio_h2ws.RemoteProtocolError)
        assert error.may_have_been_processed == (first[0] < 0x20 or first[0] >= 0x80)  # frames, and no other protocol
        # The WebSocket was not sent, so for that it is a failed dial: a retry is safe.
        error = await waiting.error(trio_h2ws.HTTP2NotAvailable if speaks_http1 else trio_h2ws.ConnectFailed)
        assert not error.may_have_been_processed
        await peer.expect_goaway()
        await peer.expect_eof()


async def test_the_last_of_two_equal_settings_counts() -> None:
    # RFC 9113, section 6.5.3: they are applied in order, so the last one counts.
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        await peer.expect_preface()
        await peer.raw(
            frames.settings(
                [(frames.MAX_CONCURRENT_STREAMS, 0), (frames.MAX_CONCURRENT_STREAMS, 7), (0xABCD, 5), (0xABCD, 6)]
            )
        )
        await peer.respond(await peer.expect_headers())
        await call.result()
        assert client.connections[0].streams_allowed == 7


async def test_frames_of_unknown_types_are_ignored() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.raw(frames.raw(0xBE, 0xFF, request.stream, b"whatever"))
        await peer.raw(frames.raw(10, 0, 0, b"\0"))  # ALTSVC, and a malformed one
        await peer.raw(frames.raw(12, 0, 0, b"\0\x05https"))  # ORIGIN
        await peer.raw(frames.ping(b"reserved"))
        await peer.respond(request, body=b"well")
        assert (await call.result()).content == b"well"
        assert await peer.expect_pong() == b"reserved"


async def test_the_reserved_bit_of_a_stream_id_is_ignored() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.raw(frames.raw(1, 5, request.stream | 1 << 31, b"\x88"))
        assert (await call.result()).status == 200


async def test_padding_and_priority_of_headers_are_ignored() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.raw(frames.raw(1, 0x2D, request.stream, b"\x03" + b"\0\0\0\0\x10" + b"\x88" + b"\0\0\0"))
        assert (await call.result()).status == 200
