"""A fault of one stream affects only that stream: it is reset, and its user gets a clear error.

RFC 9113, section 8.1.1: a malformed response is a stream error of type PROTOCOL_ERROR.
"""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, Request, assert_clean, bystanders, frames, scripted_peer

OK = [(":status", "200")]


MALFORMED: dict[str, Any] = {
    "no status": [("x-a", "1")],
    "an empty header list": [],
    "two statuses": [(":status", "200"), (":status", "200")],
    "a status after a field": [("x-a", "1"), (":status", "200")],
    "a request's pseudo-header": [*OK, (":path", "/")],
    "an unknown pseudo-header": [*OK, (":unknown", "1")],
    "an empty pseudo-header": [*OK, (":", "1")],
    "a status that is not a number": [(":status", "abc")],
    "a status of two digits": [(":status", "20")],
    "a status of four digits": [(":status", "2000")],
    "a status below 100": [(":status", "099")],
    "a status with a sign": [(":status", "+20")],
    "a status in other digits": [(":status", "\N{ARABIC-INDIC DIGIT TWO}00")],
    "an empty status": [(":status", "")],
    "101": [(":status", "101")],
    "an upper-case name": [*OK, ("X-Upper", "1")],
    "an empty name": [*OK, ("", "1")],
    "a name with a space": [*OK, ("x a", "1")],
    "a name with a line break": [*OK, ("x\r\na", "1")],
    "a name with a colon": [*OK, ("x:a", "1")],
    "a name beyond ASCII": [*OK, (b"x-\xff", b"1")],
    "a value with a line feed": [*OK, ("x-a", "1\n2")],
    "a value with a carriage return": [*OK, ("x-a", "1\r2")],
    "a value with a null": [*OK, ("x-a", "1\0002")],
    "a status that begins with a space": [(":status", " 200")],
    "a status that ends with a tab": [(":status", "200\t")],
    "a line feed among blanks": [*OK, ("x-a", " \n")],
    "a content-length of blanks": [*OK, ("content-length", " ")],
    "connection": [*OK, ("connection", "close")],
    "keep-alive": [*OK, ("keep-alive", "1")],
    "proxy-connection": [*OK, ("proxy-connection", "close")],
    "transfer-encoding": [*OK, ("transfer-encoding", "chunked")],
    "upgrade": [*OK, ("upgrade", "websocket")],
    "a content-length that is not a number": [*OK, ("content-length", "many")],
    "a negative content-length": [*OK, ("content-length", "-1")],
    "an empty content-length": [*OK, ("content-length", "")],
    "two content-lengths that differ": [*OK, ("content-length", "1"), ("content-length", "2")],
    "a list of content-lengths that differ": [*OK, ("content-length", "1, 2")],
}


async def fails(peer: Peer, client: trio_h2ws.Client, script: Any, code: int = frames.PROTOCOL_ERROR) -> Exception:
    """Make a request and a streamed request that the script answers wrongly, and check their errors."""

    async def stream() -> None:
        async with client.stream("GET", "/") as response:
            await response.read()

    error: Exception | None = None
    for function in (lambda: client.get("/"), stream):
        call = peer.call(function)
        request = await peer.expect_headers()
        await script(request)
        error = await call.error(trio_h2ws.RemoteProtocolError)
        assert error.error_code == code
        await peer.expect_rst(request, code)
    # The next request works, on the same connection.
    call = peer.call(client.get, "/next")
    request = await peer.expect_headers()
    await peer.respond(request, body=b"well")
    assert (await call.result()).content == b"well"
    assert peer.dials == 1
    assert error is not None
    return error


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_response_leaves_other_streams_alone(fields: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client) as beside:

        async def script(request: Request) -> None:
            await peer.headers(request, fields)

        await fails(peer, client, script)
        await beside.check()


@pytest.mark.parametrize("fields", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_handshake_answer_is_an_error(fields: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 2):
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        await peer.headers(request, fields)
        await opening.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(request, frames.PROTOCOL_ERROR)


async def test_a_malformed_response_leaves_fifty_websockets_open() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 50):

        async def script(request: Request) -> None:
            await peer.headers(request, [(":status", "abc")])

        await fails(peer, client, script)


TRAILERS: dict[str, Any] = {
    "a pseudo-header": [(":status", "200")],
    "an upper-case name": [("X-Upper", "1")],
    "a connection-specific field": [("connection", "close")],
    "a line break": [("x-a", "1\r\nx-b: 2")],
}


@pytest.mark.parametrize("fields", TRAILERS.values(), ids=TRAILERS)
async def test_malformed_trailers_reset_the_stream(fields: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.respond(request, body=b"body", end=False)
            await peer.headers(request, fields, end=True)

        await fails(peer, client, script)


async def test_trailers_must_end_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.respond(request, body=b"body", end=False)
            await peer.headers(request, {"x-trailer": "1"})

        await fails(peer, client, script)


async def test_a_second_response_is_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.respond(request, end=False)
            await peer.respond(request, end=False)

        await fails(peer, client, script)


async def test_an_informational_response_must_not_end_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.respond(request, 103)

        await fails(peer, client, script)


async def test_no_informational_response_may_follow_the_final_one() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.respond(request, end=False)
            await peer.respond(request, 103, end=False)

        await fails(peer, client, script)


@pytest.mark.parametrize(("length", "body"), [("5", b"1234"), ("5", b"123456"), ("5", b""), ("0", b"1")], ids=repr)
async def test_content_length_must_match_the_data(length: str, body: bytes) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.respond(request, headers={"content-length": length}, body=body)

        await fails(peer, client, script)


async def test_content_length_must_match_before_trailers() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.respond(request, headers={"content-length": "5"}, body=b"1234", trailers={"x": "1"})

        await fails(peer, client, script)


async def test_a_response_to_head_must_not_have_a_body() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        call = peer.call(client.head, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"body", end=False)
        await call.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(request, frames.PROTOCOL_ERROR)


async def test_data_before_the_response_is_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.data(request, b"early")

        await fails(peer, client, script)


async def test_data_before_the_final_response_is_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.respond(request, 103, end=False)
            await peer.data(request, b"early")

        await fails(peer, client, script)


@pytest.mark.parametrize("late", ["data", "headers"])
async def test_frames_after_a_complete_response_reset_the_stream(late: str) -> None:
    # Both sides had ended the stream, so only the peer is informed.
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 5):
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"all")
        assert (await call.result()).content == b"all"
        if late == "data":
            await peer.data(request, b"late")
        else:
            await peer.headers(request, {"x-late": "1"}, end=True)
        await peer.expect_rst(request, frames.STREAM_CLOSED)


@pytest.mark.parametrize("late", ["data", "headers"])
async def test_frames_after_the_end_reset_a_stream_that_still_sends(late: str) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        peer.auto_credit = False

        async def upload() -> bytes:
            async with client.stream("POST", "/", content=b"x" * 100_000) as response:
                body = await response.read()
                await peer.settle()
                return body

        call = peer.call(upload)
        request = await peer.expect_headers()
        await peer.expect_data(request)
        await peer.respond(request, body=b"all")
        if late == "data":
            await peer.data(request, b"late")
        else:
            await peer.headers(request, {"x-late": "1"}, end=True)
        await peer.expect_rst(request, frames.STREAM_CLOSED)
        assert await call.result() == b"all"
        peer.auto_credit = True
        await peer.window_update(0, 65_535)


async def test_a_window_update_of_zero_resets_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.window_update(request, 0)

        await fails(peer, client, script)


async def test_a_window_that_overflows_resets_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.window_update(request, 2**31 - 1)

        await fails(peer, client, script, frames.FLOW_CONTROL_ERROR)


async def test_data_beyond_the_stream_window_resets_the_stream() -> None:
    limits = trio_h2ws.Limits(stream_window=1000, max_stream_window=1000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client, bystanders(peer, client):

        async def never_read() -> None:
            async with client.stream("GET", "/") as response:
                await peer.settle()
                await response.read()

        call = peer.call(never_read)
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await peer.raw(frames.data(request.stream, b"x" * 1001))
        peer.may_send -= 1001
        error = await call.error(trio_h2ws.RemoteProtocolError)
        assert error.error_code == frames.FLOW_CONTROL_ERROR
        await peer.expect_rst(request, frames.FLOW_CONTROL_ERROR)


async def test_a_priority_frame_of_wrong_length_resets_the_stream() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):

        async def script(request: Request) -> None:
            await peer.raw(frames.raw(2, 0, request.stream, b"\0" * 4))

        await fails(peer, client, script, frames.FRAME_SIZE_ERROR)


async def test_a_stream_that_depends_on_itself_is_ignored() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.raw(frames.priority(request.stream, request.stream))
        await peer.respond(request)
        await call.result()


@pytest.mark.parametrize("code", [0, 2, 8, 11, 0xFF, 2**32 - 1])
async def test_a_reset_in_a_response_gives_its_code(code: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 2):
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"half", end=False)
        await peer.rst(request, code)
        assert (await call.error(trio_h2ws.StreamReset)).error_code == code
        await peer.settle()
        for connection in client.connections:
            assert connection.streams_in_use == 2


async def test_data_before_a_reset_is_delivered() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        got = []

        async def read() -> None:
            async with client.stream("GET", "/") as response:
                await peer.settle()
                async for chunk in response:
                    got.append(chunk)  # noqa: PERF401  # kept when the loop raises

        call = peer.call(read)
        request = await peer.expect_headers()
        await peer.respond(request, body=b"half", end=False)
        await peer.rst(request)
        await call.error(trio_h2ws.StreamReset)
        assert got == [b"half"]


async def test_a_connection_that_ends_in_a_response_is_lost() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, body=b"half", end=False)
        await peer.close()
        await call.error(trio_h2ws.ConnectionLost)
        assert_clean(client)


async def test_informational_responses_are_bounded() -> None:
    limits = trio_h2ws.Limits(max_informational=5)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client, bystanders(peer, client):
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        for _ in range(6):
            await peer.respond(request, 103, end=False)
        assert (await call.error(trio_h2ws.LimitExceeded)).bound == "max_informational"
        await peer.expect_rst(request, frames.ENHANCE_YOUR_CALM)


# WebSockets.


BAD_FRAMES: dict[str, tuple[bytes, int]] = {
    "a masked frame": (frames.ws(frames.TEXT, "x", mask=b"abcd"), 1002),
    "a reserved opcode": (frames.ws(3, "x"), 1002),
    "a reserved control opcode": (frames.ws(11, "x"), 1002),
    "RSV1 without an agreement": (frames.ws(frames.TEXT, "x", rsv=4), 1002),
    "RSV2": (frames.ws(frames.TEXT, "x", rsv=2), 1002),
    "RSV3": (frames.ws(frames.TEXT, "x", rsv=1), 1002),
    "a control frame in fragments": (frames.ws(frames.PING, "x", fin=False), 1002),
    "a control frame of 126 bytes": (frames.ws(frames.PING, "x" * 126), 1002),
    "a continuation of nothing": (frames.ws(frames.CONT, "x"), 1002),
    "a message inside a message": (frames.ws(frames.TEXT, "x", fin=False) + frames.ws(frames.TEXT, "y"), 1002),
    "a length in 16 bits that fits 7": (frames.ws(frames.TEXT, "x", width=16), 1002),
    "a length in 64 bits that fits 16": (frames.ws(frames.TEXT, "x" * 200, width=64), 1002),
    "a length with its highest bit set": (b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff", 1009),
    "text that is not UTF-8": (frames.ws(frames.TEXT, b"\xff"), 1007),
    "text that ends in the middle of a character": (frames.ws(frames.TEXT, b"\xe2\x82"), 1007),
    "fragmented text that is not UTF-8": (
        frames.ws(frames.TEXT, b"\xe2", fin=False) + frames.ws(frames.CONT, b"\x28\xa1"),
        1007,
    ),
    "a Close of one byte": (frames.ws(frames.CLOSE, b"\x03"), 1002),
    "a Close with 1005": (frames.ws_close(1005), 1002),
    "a Close with 1006": (frames.ws_close(1006), 1002),
    "a Close with 999": (frames.ws_close(999), 1002),
    "a Close with a reason that is not UTF-8": (frames.ws(frames.CLOSE, b"\x03\xe8\xff"), 1007),
    "a length over the bound": (frames.ws(frames.BINARY, b"", length=2**40), 1009),
    "a length of 63 bits": (frames.ws(frames.BINARY, b"", length=2**63 - 1), 1009),
}


@pytest.mark.parametrize("split", [False, True], ids=["whole", "split"])
@pytest.mark.parametrize(("bad", "code"), BAD_FRAMES.values(), ids=BAD_FRAMES)
async def test_a_bad_frame_ends_only_its_websocket(
    bad: bytes, code: int, split: bool, autojump_clock: MockClock
) -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client, 3):
        opening = peer.call(client.connect_websocket, "/", compression=None)
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await theirs.send("good")
        for piece in [bytes((byte,)) for byte in bad] if split else [bad]:
            await peer.data(theirs, piece)
        await peer.settle()
        # The message before it is delivered.
        assert await ws.receive() == "good"
        with pytest.raises(trio_h2ws.WebSocketClosed) as caught:
            await ws.receive()
        assert (caught.value.code, caught.value.initiator) == (code, "local")
        await theirs.expect_close(code)
        await theirs.expect_rst(frames.CANCEL)
        assert ws.close_code == code


async def test_data_before_the_handshake_answer_is_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        opening = peer.call(client.connect_websocket, "/")
        request = await peer.expect_headers()
        await peer.data(request, frames.ws(frames.TEXT, "early"))
        await opening.error(trio_h2ws.RemoteProtocolError)
        await peer.expect_rst(request, frames.PROTOCOL_ERROR)
