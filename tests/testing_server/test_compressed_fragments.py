"""Control frames between the fragments of a compressed message (RFC 6455, section 5.4; RFC 7692, section 6.1).

wsproto 1.3 takes the rest of such a message for uncompressed after a Ping. `trio_h2ws.testing` must not: a client
that sends keepalive Pings would fail against it, and against no other server.
"""

from __future__ import annotations

import zlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from wsproto.events import BytesMessage, Event, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

import trio_h2ws
from toolkit import frames, open_websocket, scripted_peer
from toolkit.plain_client import open_plain_client
from toolkit.plain_http1 import open_plain_http1
from trio_h2ws.testing import open_server

OFFERS = [
    "permessage-deflate",
    "permessage-deflate; client_no_context_takeover",
    "permessage-deflate; client_no_context_takeover; server_no_context_takeover; client_max_window_bits=9",
]
WORDS = ["one " * 50, "two " * 50, "", "öä" * 30, "x"]
CONTROL: dict[str, list[Event]] = {
    "ping": [Ping(payload=b"p")],
    "pong": [Pong(payload=b"unasked")],
    "empty": [Ping()],
    "several": [Ping(payload=bytes(125)), Pong(), Ping(payload=b"q")],
}

Say = Callable[[Event], Awaitable[None]]


async def check(say: Say, take: Callable[[], Awaitable[Event]], control: list[Event], text: bool) -> None:
    """Three messages in fragments, with control frames before, between and after them, come back as they were."""
    for number in range(3):
        pings = 0
        for index, word in enumerate(WORDS):
            for event in control:
                await say(event)
                pings += isinstance(event, Ping)
            last = index == len(WORDS) - 1
            word += str(number)
            if text:
                await say(TextMessage(data=word, message_finished=last))
            else:
                await say(BytesMessage(data=word.encode(), message_finished=last))
        answer: list[str | bytes] = []
        pongs = 0
        while True:
            event = await take()
            if isinstance(event, Pong):
                pongs += 1
                continue
            assert isinstance(event, TextMessage if text else BytesMessage), event
            answer.append(event.data if text else bytes(event.data))
            if event.message_finished:
                break
        whole = "".join(f"{word}{number}" for word in WORDS)
        assert type(answer[0])().join(answer) == (whole if text else whole.encode())  # type: ignore[arg-type]
        assert pongs == pings


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("control", CONTROL.values(), ids=CONTROL)
@pytest.mark.parametrize("offer", OFFERS)
async def test_control_frames_between_fragments_over_http1(offer: str, control: list[Event], text: bool) -> None:
    async with open_server(memory=True, tls=False) as server, open_plain_http1(server) as http1:
        ws = await http1.accepted("/ws/echo", [PerMessageDeflate()], sec_websocket_extensions=offer)
        await check(ws.say, ws.event, control, text)


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("control", CONTROL.values(), ids=CONTROL)
@pytest.mark.parametrize("offer", OFFERS)
async def test_control_frames_between_fragments_over_http2(offer: str, control: list[Event], text: bool) -> None:
    async with open_server(memory=True, tls=False) as server, open_plain_client(server) as client:
        ws = await client.websocket("/ws/echo", {"sec-websocket-extensions": offer}, [PerMessageDeflate()])
        await check(ws.say, ws.event, control, text)


@pytest.mark.parametrize("http2", ["require", "never"])
async def test_the_client_pings_inside_its_compressed_messages(http2: Any) -> None:
    async with open_server(memory=True, tls=False) as server:
        async with trio_h2ws.open_client(open_stream=server.open_stream, http2=http2) as client:
            async with client.websocket(f"{server.ws_url}/ws/echo", compression=trio_h2ws.DeflateOptions()) as ws:
                for text in (True, False):
                    async with ws.open_message(text=text) as message:
                        for word in WORDS:
                            await message.send(word if text else word.encode())
                            assert await ws.ping() >= 0
                    whole = "".join(WORDS)
                    assert await ws.receive() == (whole if text else whole.encode())


async def test_a_compressed_control_frame_is_an_error() -> None:
    """RFC 7692, section 6: RSV1 belongs to data frames."""
    async with open_server(memory=True, tls=False) as server, open_plain_http1(server) as http1:
        ws = await http1.accepted("/ws/echo", [PerMessageDeflate()], sec_websocket_extensions="permessage-deflate")
        await http1.transport.send_all(b"\xc9\x80\0\0\0\0")
        assert (await ws.closing()).code == 1002


# The other direction: the client's receiver shares no code with the server's.


def fragments(words: list[str], between: bytes) -> bytes:
    """A compressed message, a fragment a word, with control frames before, between and after."""
    deflate = zlib.compressobj(wbits=-15)
    data = bytearray(between)
    for index, word in enumerate(words):
        last = index == len(words) - 1
        piece = deflate.compress(word.encode()) + deflate.flush(zlib.Z_SYNC_FLUSH)
        opcode = frames.CONT if index else frames.TEXT
        data += frames.ws(opcode, piece[:-4] if last else piece, fin=last, rsv=0 if index else 4) + between
    return bytes(data)


@pytest.mark.parametrize("size", [1, 7, 10_000], ids=["byte by byte", "in pieces", "whole"])
@pytest.mark.parametrize("how", ["whole", "parts"])
async def test_the_client_reads_control_frames_between_fragments(how: str, size: int) -> None:
    accepted = [("sec-websocket-extensions", "permessage-deflate; server_no_context_takeover")]
    between = frames.ws(frames.PING, b"p") + frames.ws(frames.PONG, b"x") + frames.ws(frames.PING, b"")
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, headers=accepted)
        data = fragments(WORDS, between) * 2
        for at in range(0, len(data), size):
            await theirs.raw(data[at : at + size])
        for _ in range(2):
            if how == "whole":
                assert await ws.receive() == "".join(WORDS)
            else:
                assert "".join([str(part) async for part in ws.receive_parts()]) == "".join(WORDS)
        pongs = [(await theirs.expect_frame(frames.PONG)).payload for _ in range(4 * (len(WORDS) + 1))]
        assert set(pongs) == {b"p", b""}
        await trio.lowlevel.checkpoint()
        ws.abort()
