"""The calls that make requests. Each checks what it receives, to the byte."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import trio

import trio_h2ws

from ..support.toolkit import inside
from .worker import Caller

PATTERN = bytes(range(256)) * 12_000
SIZES = (0, 1, 100, 1000, 16384, 16385, 70_000, 300_000)


class CallerError(Exception):
    """The caller's own error, which must come back unchanged."""


@contextmanager
def count_runs(ran: dict[str, int]) -> Iterator[None]:
    """Add the route `/once/ID`, which returns how often it has run for this ID. One call must never run it twice."""

    def once(exchange: Any, name: str) -> None:
        sent = False

        def on_sent(count: int) -> None:
            nonlocal sent
            sent = True

        def on_gone() -> None:
            if not sent:
                ran[name] -= 1  # undone, since the server may now say that it did not process it

        exchange.on_sent, exchange.on_gone = on_sent, on_gone
        ran[name] = ran.get(name, 0) + 1
        exchange.respond(200, [(b"content-type", b"text/plain")], str(ran[name]).encode())

    routes = inside.routes_of_the_testing_server()
    routes["once"] = once
    try:
        yield
    finally:
        del routes["once"]


async def get(c: Caller) -> None:
    n = c.random.choice(SIZES)
    response = await c.client.get(c.url(f"/bytes/{n}"))
    c.check(response.status == 200, f"status {response.status}")
    c.compare(response.content, PATTERN[:n], f"/bytes/{n}")


async def small(c: Caller) -> None:
    start, epoch, calm = trio.current_time(), c.phase.epoch, c.phase.settled
    response = await c.client.get(c.url("/bytes/100"))
    c.compare(response.content, PATTERN[:100], "/bytes/100")
    if calm and epoch == c.phase.epoch:
        c.tally.calm.append(trio.current_time() - start)


async def headers(c: Caller) -> None:
    """New names and values each time: both HPACK tables must stay in step."""
    sent = [
        (f"x-soak-{c.random.randrange(30)}", "v" * c.random.randrange(40) + str(c.random.randrange(10**9)))
        for _ in range(c.random.randrange(1, 8))
    ]
    response = await c.client.get(c.url("/headers"), headers=sent)
    got = [(name, value) for name, value in response.json() if name.startswith("x-soak-")]
    c.check(got == sent, f"headers {sent} arrived as {got}")


async def once(c: Caller) -> None:
    """After GOAWAY and retries, no request that was answered may have run twice."""
    name = str(c.random.randrange(10**12))
    response = await c.client.post(c.url(f"/once/{name}"), content=b"x" * c.random.choice((0, 10, 50_000)))
    c.check(response.content == b"1", f"the request has run {response.text} times")


def _random_bytes(c: Caller, most: int) -> bytes:
    return c.random.randbytes(c.random.choice((0, 1, 1000, most // 3, most)))


async def _parts(c: Caller, data: bytes) -> AsyncIterator[bytes]:
    position = 0
    c.phase.open_bodies += 1
    try:
        while position < len(data):
            n = c.random.choice((1, 100, 5000, 40_000))
            yield data[position : position + n]
            position += n
            if c.random.random() < 0.1:
                await trio.sleep(c.random.uniform(0, 0.05))
    finally:
        c.phase.open_bodies -= 1


def _parts_now(c: Caller, data: bytes) -> Iterator[bytes]:
    n = c.random.choice((1000, 20_000, 100_000))
    for position in range(0, len(data), n):
        yield data[position : position + n]


async def upload(c: Caller) -> None:
    data = _random_bytes(c, 300_000)
    how = c.random.randrange(4)
    content = (data, memoryview(data), _parts_now(c, data), _parts(c, data))[how]
    response = await c.client.post(c.url("/upload"), content=content)
    wanted = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    c.check(response.json() == wanted, f"upload of {len(data)} bytes arrived as {response.json()}, kind {how}")
    c.tally.bytes_checked += len(data)


async def echo(c: Caller) -> None:
    """A body that comes back while it is being sent."""
    data = _random_bytes(c, 200_000)
    got = bytearray()
    async with c.client.stream("POST", c.url("/echo"), content=_parts(c, data)) as response:
        async for chunk in response:
            got += chunk
            c.check(data.startswith(chunk, len(got) - len(chunk)), f"wrong bytes before {len(got)} of an echo")
    c.compare(bytes(got), data, "echo")


async def left_early(c: Caller) -> None:
    async with c.client.stream("GET", c.url("/bytes/3000000")) as response:
        chunks = c.random.randrange(6)
        position = 0
        async for chunk in response:
            c.compare(chunk, PATTERN[position : position + len(chunk)], "the beginning of a body")
            position += len(chunk)
            chunks -= 1
            if chunks < 0:
                break


async def stalled(c: Caller) -> None:
    """A slow reader whose calls are cancelled now and then, and tried again: nothing may be lost."""
    n, naps = 400_000, c.random.randrange(5)
    got = bytearray()
    async with c.client.stream("GET", c.url(f"/bytes/{n}")) as response:
        while True:
            with trio.move_on_after(c.random.choice((0, 0.001, 1))) as scope:
                chunk = await anext(response, b"")
                if not chunk:
                    break
                got += chunk
            if not scope.cancelled_caught and naps and c.random.random() < 0.1:
                naps -= 1
                await trio.sleep(c.random.uniform(0, 0.5))
    c.compare(bytes(got), PATTERN[:n], "a body that was read slowly")


async def drip(c: Caller) -> None:
    count, size = 15, 200
    response = await c.client.get(c.url(f"/stream/{count}/{size}?delay=0.02"))
    c.compare(response.content, b"".join(bytes([i]) * size for i in range(count)), "a body that drips")


async def broken_off(c: Caller) -> None:
    """The server sends a part, then RST_STREAM: the part must be right, and the reset reported."""
    n = c.random.choice((0, 10, 100_000))
    got = bytearray()
    try:
        async with c.client.stream("GET", c.url(f"/partial/{n}/11")) as response:
            async for chunk in response:
                got += chunk
    except (trio_h2ws.StreamReset, trio_h2ws.ConnectionLost) as error:
        # HTTP/1.1 can't reset one exchange: there the connection ends.
        if error.error_code != 11 if isinstance(error, trio_h2ws.StreamReset) else c.http2 == "require":
            raise
        c.seen.add(error)
    else:
        c.check(False, "a body that was reset ended like a complete one")
    c.compare(bytes(got), PATTERN[: len(got)], "a part of a body")


async def oddities(c: Caller) -> None:
    # Not the last one over HTTP/1.1: there, closing while the client sends may destroy the answer.
    kind = c.random.randrange(6 if c.http2 == "require" else 5)
    if kind == 0:
        response = await c.client.get(c.url("/gzip"))
        c.check(response.content == b"hello, compressed\n" * 100, "/gzip")
    elif kind == 1:
        response = await c.client.get(c.url("/trailers"))
        c.check(response.content == b"abc" and response.trailers["x-count"] == "3", "/trailers")
    elif kind == 2:
        response = await c.client.get(c.url("/redirect/3"))
        c.check(response.status == 200 and len(response.history) == 4, f"/redirect/3: {len(response.history)}")
    elif kind == 3:
        response = await c.client.get(c.url("/informational/3"))
        c.check(len(response.informational) == 3, "/informational/3")
    elif kind == 4:
        response = await c.client.head(c.url("/bytes/1000"))
        c.check(response.content == b"" and response.headers["content-length"] == "1000", "HEAD")
    else:
        # The answer comes whole, and then RST_STREAM(NO_ERROR): "send no more" (RFC 9113, section 8.1).
        response = await c.client.post(c.url("/early/413"), content=PATTERN[:500_000])
        c.check((response.status, response.content) == (413, b"enough\n"), f"/early/413: {response!r}")


async def own_error(c: Caller) -> None:
    """The caller's own error, raised in a block or in a request body, must come out bare."""

    async def failing() -> AsyncIterator[bytes]:
        yield b"x" * c.random.choice((1, 100_000))
        raise CallerError

    try:
        if c.random.random() < 0.5:
            await c.client.post(c.url("/upload"), content=failing())
        else:
            async with c.client.stream("GET", c.url("/bytes/100000")):
                raise CallerError
    except CallerError:
        return
    c.check(False, "the caller's own error was lost")


async def separate_client(c: Caller) -> None:
    """Open a client, use it and leave it: idle, with work under way, or with an error."""
    jobs = (get, upload, echo, drip, stalled, headers)
    options = inside.options_of(c.client)
    how = c.random.randrange(4)
    start, passes, leaving = trio.current_time(), c.phase.passes, 0.0
    try:
        async with trio_h2ws.open_client(**options) as client:
            response = await client.get(c.url("/bytes/1000"))
            c.compare(response.content, PATTERN[:1000], "/bytes/1000")
            if how == 1:
                ws = await client.connect_websocket(c.ws("/ws/echo"), http2=c.http2)
                await ws.send("never read")
            if how == 3:
                twin = copy.copy(c)
                twin.client = client

                async def work() -> None:
                    try:
                        await c.random.choice(jobs)(twin)
                    except trio_h2ws.H2WSError as error:
                        c.judge(error, "own client")

                async with trio.open_nursery() as nursery:
                    for _ in range(5):
                        nursery.start_soon(work)
                    await trio.sleep(c.random.choice((0, 0.01, 0.2)))
                    nursery.cancel_scope.cancel()
            leaving = trio.current_time()
            if how == 2:
                raise CallerError
    except CallerError:
        pass
    finally:
        spent = trio.current_time() - leaving
        if leaving and spent > (options["timeouts"].close or 0) + c.phase.a_few_passes(start, passes):
            c.fail(f"own client: it took {spent:.2f} s to leave the client")


async def as_json(c: Caller) -> None:
    response = await c.client.post(c.url("/echo"), json={"n": list(range(c.random.randrange(50)))})
    c.check(json.loads(response.text) == response.json(), "/echo of JSON")


REQUESTS = {
    "small": (10, small),
    "get": (8, get),
    "headers": (6, headers),
    "once": (6, once),
    "json": (2, as_json),
    "upload": (6, upload),
    "echo": (5, echo),
    "left early": (3, left_early),
    "stalled": (2, stalled),
    "drip": (2, drip),
    "broken off": (2, broken_off),
    "oddities": (4, oddities),
    "own error": (2, own_error),
    "own client": (2, separate_client),
}
