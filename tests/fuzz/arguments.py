"""Calls with odd arguments. What is refused is a ValueError or TypeError, and sends nothing; what is accepted leaves
as well-formed HTTP, and a WebSocket and a request beside it notice nothing."""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable
from typing import Any

import hyperframe.frame as hf
import trio

import trio_h2ws
from toolkit import Peer, open_websocket, scripted_peer

from .mutations import check_no_bug, run

REFUSED = (ValueError, TypeError)
TEXTS = (
    *(
        "",
        " ",
        "a",
        "A-b",
        "x\r\ny: z",
        "\0",
        "ä",
        "\ud800",
        "a" * 300,
        "a b",
        '"',
        "\t",
        ":path",
        "host",
        "a,b",
        "%zz",
    ),
    *(
        "http://other.test/",
        "//other.test",
        "?a#b",
        "../..",
        "ws://[::1]:99999/",
        "http://u:p@h/",
        "localhost:8000/x",
    ),
)
ODD: tuple[Any, ...] = (
    *(None, 0, 1, -1, 1.5, float("nan"), 10**30, True, b"", b"bytes", bytearray(b"x"), memoryview(b"xy"), object()),
    *([], (), {}, {"a": "b"}, [("a", "b")], [("a",)], [(1, 2)], {"a": 1}, [b"x"], ["x"], iter([b"x"]), {1, 2}),
)
NAME = re.compile(rb":?[!#$%&'*+\-.^_`|~0-9a-z]+")


def odd(chance: random.Random) -> Any:
    kind = chance.random()
    if kind < 0.5:
        return chance.choice(TEXTS)
    if kind < 0.9:
        return chance.choice(ODD)
    return {chance.choice(TEXTS): chance.choice(TEXTS) for _ in range(3)}


def odd_call(chance: random.Random, client: Any, ws: Any) -> Any:
    """A call that has not begun."""

    def options(*names: str) -> dict[str, Any]:
        return {name: odd(chance) for name in names if chance.random() < 0.4}

    def url() -> Any:
        return "/" if chance.random() < 0.5 else odd(chance)

    kind = chance.randrange(8)
    if kind == 0:
        return lambda: client.request(odd(chance), url(), **options("headers", "content", "json", "trailers"))
    if kind == 1:
        return lambda: client.get(url(), **options("headers", "http2", "trailers"))
    if kind == 2:
        return lambda: client.post(url(), **options("headers", "content", "json", "trailers"))
    if kind == 3:
        names = ("subprotocols", "headers", "origin", "compression", "ping_interval", "ping_timeout", "http2")
        return lambda: client.connect_websocket(url(), **options(*names))
    if kind == 4:
        return lambda: ws.send(odd(chance))
    if kind == 5:
        return lambda: ws.send_json(odd(chance))
    if kind == 6:

        async def close() -> None:
            await ws.aclose(chance.choice((*ODD, 999, 1004, 1005, 5000)), odd(chance))

        return close

    async def in_parts() -> None:
        async with ws.open_message(text=chance.choice((True, False, None, 1, "x"))) as message:
            await message.send(odd(chance))

    return in_parts


async def refusal(call: Callable[[], Awaitable[object]]) -> Exception | None:
    """The error of a call that was refused."""
    try:
        with trio.move_on_after(1):
            await call()
    except REFUSED as error:
        return error
    except (trio_h2ws.H2WSError, trio.ClosedResourceError) as error:
        check_no_bug(error)
    return None


def check_wire(peer: Peer) -> None:
    for request in peer.requests.values():
        for name, value in request.fields:
            assert NAME.fullmatch(name), (name, value)
            assert not re.search(rb"[\r\n\0]", value), (name, value)
        names = [name for name, _ in request.fields]
        pseudo = [name for name in names if name.startswith(b":")]
        assert names[: len(pseudo)] == pseudo, "a pseudo-header after a field"
        assert len(set(pseudo)) == len(pseudo)
        for required in (b":method", b":scheme", b":path", b":authority"):
            assert names.count(required) == 1
        assert not {b"connection", b"transfer-encoding", b"upgrade", b"host"} & set(names)
        assert names.count(b"content-length") <= 1


def case(seed: int) -> None:
    chance = random.Random(seed)

    async def once() -> None:
        async with scripted_peer() as peer, peer.open_client(http2="require") as client:
            beside, others = await open_websocket(peer, client)
            ws, _ = await open_websocket(peer, client)
            await peer.settle()
            for _ in range(4):
                await trio.sleep(10)  # what was closed before is over
                before = len(peer.frames)
                refused = await refusal(odd_call(chance, client, ws))
                await peer.settle()
                sent = [frame for frame in peer.frames[before:] if not isinstance(frame, hf.PingFrame)]
                if "a part of the content" in str(refused):
                    continue  # an iterable is known only when it is sent
                assert refused is None or not sent, f"{refused!r}, after this was sent: {sent}"
            await peer.settle()
            check_wire(peer)
            await others.send("still here")
            assert await beside.receive() == "still here"
            beside.abort()
            ws.abort()

    run(once)
