"""The HTTP routes. Each is a function of the exchange and the rest of the path. `ROUTES` has all of them.

| route                        | response                                                                        |
|------------------------------|---------------------------------------------------------------------------------|
| `/`                          | a short greeting                                                                |
| `/echo`                      | the request's body as it arrives, with its content-type and its trailers        |
| `/upload`                    | JSON: how many bytes arrived, and their SHA-256                                 |
| `/bytes/N`                   | N bytes with a content-length; byte i is `i % 256`                              |
| `/stream/COUNT/SIZE`         | COUNT pieces of SIZE bytes, no content-length; `?delay=` seconds between them   |
| `/trailers`                  | a body, then trailers                                                           |
| `/status/CODE`               | this status                                                                     |
| `/headers`                   | JSON: the request's header fields as pairs, including pseudo-headers            |
| `/json`                      | JSON: method and target                                                         |
| `/gzip`                      | a gzip-encoded body                                                             |
| `/redirect/N`                | 302 to `/redirect/N-1`, at 0 to `/`                                             |
| `/informational/N`           | N times 103 with a link, then 200                                               |
| `/slow/SECONDS`              | 200 after this time                                                             |
| `/hang`                      | never responds                                                                  |
| `/reset/CODE`                | RST_STREAM with this code instead of a response                                 |
| `/early/CODE`                | this status and a body at once, then RST_STREAM(NO_ERROR): "stop sending"       |
| `/partial/N/CODE`            | a head, N bytes of the body, then RST_STREAM with this code                     |

Any other path is a 404, and an invalid number is a 400.

Over HTTP/1.1 a response without a content-length is chunked, and where the table says RST_STREAM the connection is
closed abruptly once the bytes before it have been sent. `/early` closes it in an orderly way, announced by
`connection: close`.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Iterator

import trio

from .._exchange import Exchange, Fields
from .arguments import MAX_CODE, MAX_COUNT, MAX_PIECE, TEXT, call, final_status, number, seconds

JSON: Fields = [(b"content-type", b"application/json")]
BINARY: Fields = [(b"content-type", b"application/octet-stream")]

_PATTERN = bytes(range(256)) * 256


def pattern(count: int) -> Iterator[bytes]:
    """`count` bytes in pieces; byte i is `i % 256`, so a test can check any part of it."""
    while count > 0:
        yield _PATTERN[:count]
        count -= len(_PATTERN)


def hello(exchange: Exchange) -> None:
    exchange.respond(200, TEXT, b"hello from trio_h2ws.testing\n")


def echo(exchange: Exchange) -> None:
    # Only what was sent back is credited, so its window stops a client that does not read.
    exchange.on_data = exchange.write
    exchange.on_sent = exchange.credit
    exchange.on_end = exchange.finish
    kind = exchange.request.get(b"content-type") or "application/octet-stream"
    exchange.start(200, [(b"content-type", kind.encode("latin-1"))])


def upload(exchange: Exchange) -> None:
    digest = hashlib.sha256()
    count = 0

    def on_data(data: bytes) -> None:
        nonlocal count
        count += len(data)
        digest.update(data)
        exchange.credit(len(data))

    def on_end(trailers: Fields) -> None:
        exchange.respond(200, JSON, json.dumps({"bytes": count, "sha256": digest.hexdigest()}).encode())

    exchange.on_data, exchange.on_end = on_data, on_end


def sized(exchange: Exchange, count: str) -> None:
    n = number(count, MAX_COUNT)
    exchange.respond(200, [*BINARY, (b"content-length", b"%d" % n)], pattern(n))


def stream(exchange: Exchange, count: str, size: str) -> None:
    n, length = number(count, MAX_COUNT), number(size, MAX_PIECE)
    delay = seconds(exchange.request.query.get("delay", "0"))
    pieces = (bytes([i % 256]) * length for i in range(n))
    if not delay or exchange.request.method == "HEAD":
        exchange.respond(200, BINARY, pieces)
        return

    async def drip() -> None:
        for i, piece in enumerate(pieces):
            if i:
                await trio.sleep(delay)
            exchange.write(piece)
            await exchange.wait_writable()
        exchange.finish()

    exchange.start(200, BINARY)
    exchange.spawn(drip)


def trailers(exchange: Exchange) -> None:
    fields = [(b"x-checksum", b"900150983cd24fb0"), (b"x-count", b"3")]
    exchange.respond(200, [*TEXT, (b"trailer", b"x-checksum, x-count")], iter([b"abc"]), fields)


def status(exchange: Exchange, code: str) -> None:
    value = final_status(code)
    exchange.respond(value, TEXT, b"" if value in (204, 205, 304) else f"status {value}\n".encode())


def headers(exchange: Exchange) -> None:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in exchange.request.headers]
    exchange.respond(200, JSON, json.dumps(pairs).encode())


def as_json(exchange: Exchange) -> None:
    content = {"hello": "world", "method": exchange.request.method, "target": exchange.request.target}
    exchange.respond(200, JSON, json.dumps(content).encode())


def gzipped(exchange: Exchange) -> None:
    exchange.respond(200, [*TEXT, (b"content-encoding", b"gzip")], gzip.compress(b"hello, compressed\n" * 100))


def redirect(exchange: Exchange, count: str) -> None:
    n = number(count, MAX_COUNT)
    exchange.respond(302, [(b"location", b"/redirect/%d" % (n - 1) if n else b"/")])


def informational(exchange: Exchange, count: str) -> None:
    for i in range(number(count, 10_000)):
        exchange.send_informational(103, [(b"link", b"</style-%d.css>; rel=preload; as=style" % i)])
    hello(exchange)


def slow(exchange: Exchange, delay: str) -> None:
    wait = seconds(delay)

    async def later() -> None:
        await trio.sleep(wait)
        hello(exchange)

    exchange.spawn(later)


def hang(exchange: Exchange) -> None:
    pass


def reset(exchange: Exchange, code: str) -> None:
    exchange.reset(number(code, MAX_CODE))


def partial(exchange: Exchange, count: str, code: str) -> None:
    n, error_code = number(count, MAX_COUNT), number(code, MAX_CODE)

    def then_reset() -> Iterator[bytes]:
        yield from pattern(n)
        # The iterator is asked for more only when everything before was taken, so the reset follows it.
        exchange.reset(error_code)

    exchange.start(200, BINARY)
    exchange.write_from(then_reset())


def early(exchange: Exchange, code: str) -> None:
    value = final_status(code)
    exchange.ask_to_stop_sending()
    exchange.respond(value, TEXT, b"enough\n")


ROUTES: dict[str, Callable[..., None]] = {
    "": hello,
    "bytes": sized,
    "early": early,
    "echo": echo,
    "gzip": gzipped,
    "hang": hang,
    "headers": headers,
    "informational": informational,
    "json": as_json,
    "partial": partial,
    "redirect": redirect,
    "reset": reset,
    "slow": slow,
    "status": status,
    "stream": stream,
    "trailers": trailers,
    "upload": upload,
}


def dispatch(exchange: Exchange) -> None:
    """Find the route and run it."""
    if exchange.request.method == "CONNECT":
        exchange.respond(501, TEXT, b"CONNECT is not supported: this server is not a proxy\n")
        return
    name, *arguments = exchange.request.path or [""]
    call(exchange, ROUTES.get(name), exchange, *arguments)
