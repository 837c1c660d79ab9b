"""HTTP/1.1: one response, whole or mutated, cut in three ways.

However TCP cuts the bytes, the call ends, and ends the same.
"""

from __future__ import annotations

import random

import trio_h2ws

from .mutations import cuts, mutated, run
from .outcomes import Server, get, outcomes, read_stream

ODD = (
    b"x-a: \xff\xfe",
    b"X-Long: " + b"a" * 300,
    b"x-empty:",
    b"x-fold: a\r\n  b",
    b"no colon here",
    b"x-tab:\tb\t",
    b"Keep-Alive: timeout=5, max=3",
    b"Connection: close",
    b"Connection: keep-alive",
    b": nameless",
)


def response(chance: random.Random) -> tuple[bytes, bytes | None]:
    """A response, and its body if it is certain."""
    body = chance.randbytes(chance.choice((0, 1, 10, 500)))
    out = b"\r\n" * (chance.random() < 0.1)
    if chance.random() < 0.1:
        out += b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    lines = [chance.choice((b"HTTP/1.1 200 OK", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"HTTP/1.1 404 Not Found"))]
    http10 = lines[0].startswith(b"HTTP/1.0")
    kind = chance.choice(("length", "close") if http10 else ("length", "chunks", "close"))
    lines += chance.sample(ODD, chance.randrange(4))
    end = chance.choice((b"\r\n", b"\r\n", b"\r\n", b"\n"))
    if kind == "length":
        lines.append(b"Content-Length: %d" % len(body))
        rest = body
    elif kind == "chunks":
        lines.append(b"Transfer-Encoding: chunked")
        rest = b""
        left = body
        while left:
            size = chance.choice((1, 3, 100))
            rest += b"%x%s\r\n" % (len(left[:size]), chance.choice((b"", b";ext=1", b" "))) + left[:size] + b"\r\n"
            left = left[size:]
        rest += b"0\r\n" + chance.choice((b"", b"x-trailer: 1\r\n")) + b"\r\n"
    else:
        rest = body
    return out + end.join(lines) + end + end + rest, body


def case(seed: int) -> None:
    chance = random.Random(seed)
    data, body = response(chance)
    whole = chance.random() < 0.3
    if not whole:
        data = mutated(chance, data)
    call = chance.choice((get, read_stream))
    limits = trio_h2ws.Limits(max_retries=0, max_header_list_size=chance.choice((400, 128 * 1024)))
    results = []
    for pieces in cuts(chance, data):
        server = Server(pieces, b"", lambda received: b"\r\n\r\n" in received)

        async def once(server: Server = server) -> None:
            results.append(await outcomes(server, [call], http2="never", limits=limits))

        run(once)
    assert results[0] == results[1] == results[2], f"the cuts change the outcome: {results}"
    (outcome,) = results[0]
    if whole and outcome[0] == "gave":
        assert outcome[1][1] == body
    if whole and limits.max_header_list_size > 1000:
        assert outcome[0] == "gave", outcome
