"""A bad argument of a call on an open WebSocket is a TypeError or ValueError, and the WebSocket is as it was.

Arguments are checked before anything changes. Otherwise a slip (`1000.0` for 1000) leaves a socket that is half
closed.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from enum import IntEnum
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, PeerSocket, frames, open_websocket, scripted_peer

BAD = (TypeError, ValueError)
DEFLATE = [("sec-websocket-extensions", "permessage-deflate; server_no_context_takeover; client_no_context_takeover")]


def short(value: object) -> str:
    return repr(value)[:40]


@asynccontextmanager
async def untouched(
    settle: bool = True, compressed: bool = False
) -> AsyncIterator[tuple[trio_h2ws.WebSocket, Peer, PeerSocket]]:
    """A WebSocket that must be open after the block, on which nothing was sent, and which still works."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, headers=DEFLATE if compressed else ())
        yield ws, peer, theirs
        await peer.settle()
        assert not theirs.request.body
        assert ws.close_code is None
        await ws.send("still here")
        assert await theirs.expect_message() == "still here"
        await theirs.send("so am I")
        assert await ws.receive() == "so am I"
        closing = peer.call(ws.aclose, 1000, "well")
        await theirs.expect_close(1000)
        await theirs.close(1000)
        await closing.result()


class Code(IntEnum):
    """As applications name their codes."""

    GOING_AWAY = 1001
    MINE = 4001


BAD_CODES: list[Any] = [
    *(1000.0, "1000", b"1000", None, True, False, complex(1000), [1000]),
    *(-1, 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2999, 5000, 65536, 2**64, float("nan")),
]


@pytest.mark.parametrize("code", BAD_CODES, ids=short)
async def test_a_bad_close_code_changes_nothing(code: Any) -> None:
    async with untouched() as (ws, _, _):
        with pytest.raises(TypeError if type(code) is not int else ValueError, match="close code"):
            await ws.aclose(code)
        with pytest.raises(BAD):
            await ws.aclose(code=code, reason="a reason")


@pytest.mark.parametrize("reason", [None, b"bytes", bytearray(b"x"), 5, ["x"], True], ids=short)
async def test_a_close_reason_that_is_not_text_changes_nothing(reason: Any) -> None:
    async with untouched() as (ws, _, _):
        with pytest.raises(TypeError, match="reason must be str"):
            await ws.aclose(1000, reason)


@pytest.mark.parametrize("reason", ["x" * 124, "ä" * 62, "\U0001f600" * 31, "\ud800", "a\udfff"], ids=short)
async def test_a_close_reason_that_does_not_fit_changes_nothing(reason: str) -> None:
    async with untouched() as (ws, _, _):
        with pytest.raises(ValueError, match="reason"):
            await ws.aclose(1000, reason)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(1000, ""), (1003, "x" * 123), (1007, "ä" * 61), (1014, "ok"), (3000, ""), (4999, "\x00"), (Code.MINE, "mine")],
    ids=short,
)
async def test_a_good_code_and_reason_are_sent(code: int, reason: str) -> None:
    """So the tests above fail for the reason that they give."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        closing = peer.call(ws.aclose, code, reason)
        frame = await theirs.expect_close(int(code))
        assert frame.payload[2:] == reason.encode()
        await theirs.close(1000)
        await closing.result()


async def test_a_bad_close_of_a_closed_websocket_is_an_error_as_well() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, _ = await open_websocket(peer, client)
        ws.abort()
        with pytest.raises(TypeError):
            await ws.aclose(1000.0)  # type: ignore[arg-type]
        await ws.aclose()


BAD_MESSAGES: list[Any] = [
    *(None, 5, 5.0, True, object(), {"a": 1}, {}, print),
    "\ud800",
    "a" * 1000 + "\udfff",
    *(array("i", [1]), [5], [None], ["a", 5], ["a", b"b"], [b"a", "b"], ("a", None), [["a"]], ["a", "\ud800"]),
    range(3),
]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("data", BAD_MESSAGES, ids=short)
async def test_a_bad_message_changes_nothing(data: Any, compressed: bool) -> None:
    async with untouched(compressed=compressed) as (ws, _, _):
        with pytest.raises(BAD):
            await ws.send(data)


async def bad_async_parts() -> AsyncIterator[Any]:
    yield 5


def bad_parts() -> Iterator[Any]:
    yield "\ud800"


@pytest.mark.parametrize("make", [bad_async_parts, bad_parts, lambda: iter([None])])
async def test_a_bad_first_part_changes_nothing(make: Any) -> None:
    async with untouched() as (ws, _, _):
        with pytest.raises(BAD):
            await ws.send(make())


async def test_a_bad_later_part_of_a_generator_closes_the_message() -> None:
    """What a generator will give is not known before its first part is sent, and that can't be taken back."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        with pytest.raises(TypeError):
            await ws.send(part for part in ("a", 5))  # type: ignore[arg-type]
        assert (await theirs.expect_frame(frames.TEXT)).payload == b"a"
        await theirs.expect_close(1011)


class Text(str):
    __slots__ = ()


class Blob(bytes):
    pass


VIEW = memoryview(b"0123456789")
GOOD_MESSAGES: list[tuple[Any, str | bytes]] = [
    (Text("text"), "text"),
    (Blob(b"blob"), b"blob"),
    (bytearray(b"array"), b"array"),
    (VIEW[2:4], b"23"),
    (VIEW[::2], b"02468"),
    (VIEW[::-1], b"9876543210"),
    (memoryview(array("H", [0x4141, 0x4242])), b"AABB"),
    (memoryview(array("H", [0x4141, 0x4242]))[::-1], b"BBAA"),
    (memoryview(b"abcd").cast("B", (2, 2)), b"abcd"),
    ("", ""),
    (b"", b""),
]


@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(("data", "wanted"), GOOD_MESSAGES, ids=short)
async def test_every_kind_of_bytes_and_text_is_sent_whole(
    data: Any, wanted: str | bytes, compressed: bool, parts: bool
) -> None:
    """A memoryview counts items, not bytes."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client, headers=DEFLATE if compressed else ())
        if not parts:
            await ws.send(data)
            assert await theirs.expect_message() == wanted
        else:
            async with ws.open_message(text=isinstance(wanted, str)) as message:
                await message.send(data)
            frame = await theirs.expect_frame()
            assert frame.opcode == (frames.TEXT if isinstance(wanted, str) else frames.BINARY)
            if not compressed:
                assert frame.payload == (wanted.encode() if isinstance(wanted, str) else wanted)
        ws.abort()


async def test_a_released_memoryview_changes_nothing() -> None:
    view = memoryview(b"gone")
    view.release()
    async with untouched() as (ws, _, _):
        with pytest.raises(ValueError):  # noqa: PT011 - Python's own words
            await ws.send(view)


@pytest.mark.parametrize("text", [None, 1, 0, "text", "", b"x", []], ids=short)
async def test_a_message_is_text_or_binary_and_nothing_else(text: Any) -> None:
    async with untouched() as (ws, _, _):
        with pytest.raises(TypeError, match="text must be True or False"):
            ws.open_message(text=text)


@pytest.mark.parametrize("part", [None, 5, b"bytes", ["x"], {"a": 1}, "\ud800"], ids=short)
async def test_a_bad_part_may_be_followed_by_a_good_one(part: Any) -> None:
    """Inside the block the message is as it was."""
    async with scripted_peer() as peer, peer.open_client() as client:
        ws, theirs = await open_websocket(peer, client)
        async with ws.open_message(text=True) as message:
            with pytest.raises(BAD):
                await message.send(part)
            await message.send("a")
            with pytest.raises(BAD):
                await message.send(part)
            await message.send("b")
        pieces = [await theirs.expect_frame() for _ in range(3)]
        assert [(piece.opcode, piece.payload) for piece in pieces] == [
            (frames.TEXT, b"a"),
            (frames.CONT, b"b"),
            (frames.CONT, b""),
        ]
        ws.abort()


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, float("nan"), float("inf"), "\ud800", b"x", {(1,): 2}], ids=short
)
async def test_a_value_that_json_lacks_changes_nothing(value: Any) -> None:
    async with untouched() as (ws, _, _):
        with pytest.raises(BAD):
            await ws.send_json(value)


async def test_a_bad_message_is_an_error_at_once_when_there_is_no_room(autojump_clock: MockClock) -> None:
    limits = trio_h2ws.Limits(max_send_buffer=1)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        ws, theirs = await open_websocket(peer, client)
        peer.auto_credit = False
        await ws.send(bytes(70_000))
        for data in (5, ["a", 5], None):
            with trio.fail_after(1), pytest.raises(TypeError):
                await ws.send(data)  # type: ignore[arg-type]
        assert theirs.request.reset is None
        ws.abort()


# Before a WebSocket is open.


async def never(host: str, port: int) -> trio.abc.Stream:
    raise AssertionError(f"{host}:{port} was dialled")


async def handler(ws: trio_h2ws.WebSocket) -> None:
    pass


BAD_SECONDS: list[Any] = [0, -1, -0.5, True, "5", b"5", float("nan"), float("inf"), -float("inf"), 10**400, [1], 1j]
BAD_OPTIONS: list[dict[str, Any]] = [
    *({"ping_interval": seconds} for seconds in BAD_SECONDS),
    *({"ping_interval": 1.0, "ping_timeout": seconds} for seconds in BAD_SECONDS),
    *({"ping_timeout": seconds} for seconds in BAD_SECONDS),
    *({"subprotocols": names} for names in ("v1", b"v1", None, 5, [5], [b"v1"], [None], ["a", "a"], ["a b"], ["é"])),
    *({"headers": headers} for headers in (["ab"], [b"ab"], [{"a", "b"}], [{"a": 1, "b": 2}], {"a": ["b"]}, "ab")),
    *({"origin": origin} for origin in (5, ["https://a.test"], "a\nb", "\ud800")),
    *({"compression": value} for value in (True, False, {}, "deflate", 15)),
    *({"http2": value} for value in (True, "maybe", [], b"auto")),
    {"nonsense": 1},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=short)
async def test_a_bad_option_is_an_error_before_anything_is_dialled(options: dict[str, Any]) -> None:
    """For each of the calls that open WebSockets."""
    async with trio_h2ws.open_client(open_stream=never, base_url="https://a.test") as client:
        with pytest.raises(BAD):
            await client.connect_websocket("/", **options)
        with pytest.raises(BAD):
            async with client.websocket("/", **options):
                pass
        with pytest.raises(BAD):
            await client.run_websocket("/", handler, **options)
        with pytest.raises(BAD):
            async with client.open_websocket_group(["/"], **options):
                pass
        with pytest.raises(BAD):
            await client.reconnecting_websocket("/", **options).__anext__()


@pytest.mark.parametrize("urls", ["/", b"/", None, 5, ["/", 5], ["/", "ftp://b.test"], [None], [b"/"]], ids=short)
async def test_one_bad_url_of_a_group_dials_none(urls: Any) -> None:
    async with trio_h2ws.open_client(open_stream=never, base_url="https://a.test") as client:
        with pytest.raises(BAD):
            client.open_websocket_group(urls)


@pytest.mark.parametrize("value", [None, 5, "handler", [handler]], ids=short)
async def test_a_handler_that_is_not_a_function_dials_nothing(value: Any) -> None:
    async with trio_h2ws.open_client(open_stream=never, base_url="https://a.test") as client:
        with pytest.raises(TypeError, match="handler"):
            await client.run_websocket("/", value)


@pytest.mark.parametrize("seconds", [*BAD_SECONDS, None], ids=short)
async def test_a_bad_pause_is_an_error_at_once(seconds: Any) -> None:
    async with trio_h2ws.open_client(open_stream=never, base_url="https://a.test") as client:
        with pytest.raises(BAD):
            client.reconnecting_websocket("/", first_backoff=seconds)
        with pytest.raises(BAD):
            client.reconnecting_websocket("/", max_backoff=seconds)
        with pytest.raises(ValueError, match="backoff"):
            client.reconnecting_websocket("/", first_backoff=2, max_backoff=1)
