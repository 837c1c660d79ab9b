"""HTTP/2: what a server sends on one connection with several calls on it, whole or mutated, cut in three ways.

However TCP cuts the bytes, each call ends, and ends the same.
"""

from __future__ import annotations

import random
from typing import Any

import trio_h2ws
from toolkit import frames

from .mutations import cuts, mutated, run
from .outcomes import Server, get, outcomes, read_stream, websocket

MAX = 2**31 - 1


def conversation(chance: random.Random, kinds: list[Any]) -> bytes:
    """A whole one: the answers to all calls, interleaved, with other frames between."""
    answers = [_answer(chance, 2 * index + 1, kind is websocket) for index, kind in enumerate(kinds)]
    out = []
    while any(answers):
        queue = chance.choice([answer for answer in answers if answer])
        out.append(queue.pop(0))
        if chance.random() < 0.2:
            out.append(_control(chance, len(kinds)))
    return b"".join(out)


def _answer(chance: random.Random, stream: int, is_websocket: bool) -> list[bytes]:
    if chance.random() < 0.1:
        return [frames.rst(stream, chance.choice((0, 2, 7, 8, 11, 13)))]
    fields = [(":status", "200")]
    if chance.random() < 0.3:
        fields.append(("x-a", "b" * chance.randrange(60)))
    out = []
    if chance.random() < 0.1 and not is_websocket:
        out.append(frames.headers(stream, frames.literals([(":status", "103")])))
    if is_websocket:
        body = b"".join(_message(chance) for _ in range(chance.randrange(5)))
        if chance.random() < 0.7:
            body += frames.ws(frames.CLOSE, (1000).to_bytes(2, "big") + b"bye")
    else:
        body = chance.randbytes(chance.choice((0, 1, 10, 700)))
        if chance.random() < 0.5:
            fields.append(("content-length", str(len(body))))
    block = frames.literals(fields)
    if chance.random() < 0.2:
        at = chance.randrange(len(block))
        out.append(frames.headers(stream, block[:at], end_headers=False))
        out[-1] += frames.continuation(stream, block[at:], end_headers=True)
    else:
        out.append(frames.headers(stream, block))
    while body:
        size = chance.choice((1, 2, 5, 50, 1000))
        pad = chance.randrange(20) if chance.random() < 0.2 else None
        out.append(frames.data(stream, body[:size], pad=pad))
        body = body[size:]
    end = chance.random()
    if end < 0.6 or not is_websocket:
        out.append(frames.data(stream, b"", end=True))
    return out


def _message(chance: random.Random) -> bytes:
    kind = chance.choice((frames.TEXT, frames.BINARY, frames.PING, frames.PONG))
    return frames.ws(kind, b"a" * chance.choice((0, 1, 20, 125)))


def _control(chance: random.Random, calls: int) -> bytes:
    stream = 2 * chance.randrange(calls + 1) + 1
    return chance.choice(
        (
            lambda: frames.ping(chance.randbytes(8)),
            lambda: frames.settings({chance.choice((3, 4, 6, 99)): chance.choice((100, 1000, 65_535))}),
            lambda: frames.window_update(0, 1000),
            lambda: frames.window_update(min(stream, 2 * calls - 1), 1000),
            lambda: frames.priority(1, 0),
            lambda: frames.raw(chance.randrange(10, 256), chance.randrange(256), 0, chance.randbytes(5)),
            lambda: frames.goaway(chance.choice((MAX, stream)), chance.choice((0, 11))),
        )
    )()


def case(seed: int) -> None:
    chance = random.Random(seed)
    kinds = [chance.choice((get, get, read_stream, websocket)) for _ in range(chance.randrange(1, 5))]
    data = conversation(chance, kinds)
    if chance.random() < 0.8:
        data = mutated(chance, data)
    greeting = frames.settings({frames.ENABLE_CONNECT_PROTOCOL: 1}) + frames.settings(ack=True)
    limits = trio_h2ws.Limits(max_retries=0, stream_window=chance.choice((1000, 65_535)))
    results = []
    for pieces in cuts(chance, data):
        server = Server(pieces, greeting, lambda received: _headers_in(received) >= len(kinds))

        async def once(server: Server = server) -> None:
            results.append(await outcomes(server, kinds, http2="require", limits=limits))

        run(once)
    assert results[0] == results[1] == results[2], f"the cuts change the outcome: {results}"


def _headers_in(received: bytes) -> int:
    """How many requests have come."""
    at, count = len(frames.PREFACE), 0
    while at + 9 <= len(received):
        count += received[at + 3] == 1
        at += 9 + int.from_bytes(received[at : at + 3], "big")
    return count
