"""The WebSocket routes. Each is a function of the handshake and the rest of the path. `ROUTES` has all of them.

| route                  | what it does                                                                              |
|------------------------|-------------------------------------------------------------------------------------------|
| `/ws/echo`             | echoes every message                                                                      |
| `/ws/subprotocol`      | the same                                                                                  |
| `/ws/close/CODE`       | one message, then Close with CODE and a reason (1005: an empty Close; 1006: RST_STREAM)   |
|                        | `?end=stream`: END_STREAM follows the Close at once; `?end=reset`: RST_STREAM does        |
| `/ws/push/COUNT/SIZE`  | COUNT binary messages of SIZE bytes, then Close 1000; `?text=1`, and `?stay=1`: no Close  |
| `/ws/ping/N`           | N pings; answers each message with the number of pongs that have arrived                  |
| `/ws/reset/CODE`       | one message, then RST_STREAM with CODE                                                    |
| `/ws/silent`           | accepts and reads everything, but never sends anything, not even Pong or Close            |
| `/ws/refuse/CODE`      | responds to the handshake with status CODE and a small body                               |
| `/ws/hang`             | never responds to the handshake                                                           |

Every route that accepts the handshake chooses the first of the client's subprotocols that the server supports, and
accepts permessage-deflate if it is offered.

Closing (RFC 6455 section 7, RFC 8441 section 5): the server answers the client's Close with a Close and END_STREAM.
If the server closes first, it sends END_STREAM when the client's Close arrives. In both cases, a client that then
leaves its half of the stream open for `close_timeout` seconds gets RST_STREAM(CANCEL).

Over HTTP/1.1 the stream is the connection: END_STREAM means its orderly end, and RST_STREAM an abrupt close.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from wsproto.connection import ConnectionState

from .._exchange import Exchange
from .._websocket import CANCEL, ServerWebSocket, WebSockets
from .arguments import MAX_CODE, MAX_COUNT, MAX_PIECE, TEXT, call, final_status, number


class Handshake(NamedTuple):
    """A valid WebSocket handshake: a route accepts it, or responds on its exchange."""

    exchange: Exchange
    connected: WebSockets

    def accept(self) -> ServerWebSocket:
        return ServerWebSocket(self.exchange, self.connected)


def echo(handshake: Handshake) -> None:
    handshake.accept()


def close(handshake: Handshake, code: str) -> None:
    exchange, close_code = handshake.exchange, number(code, 65535)
    end = exchange.request.query.get("end")
    websocket = handshake.accept()
    websocket.send("bye")
    if close_code != 1006:
        websocket.close(close_code, "" if close_code == 1005 else f"closed with {close_code}")
    if end == "stream":
        exchange.finish()
    elif end == "reset" or close_code == 1006:
        exchange.write_from(_then_reset(exchange, CANCEL))


def push(handshake: Handshake, count: str, size: str) -> None:
    n, length = number(count, MAX_COUNT), number(size, MAX_PIECE)
    query = handshake.exchange.request.query
    websocket = handshake.accept()
    websocket.on_message = lambda message: None

    def frames() -> Iterator[bytes]:
        message = "x" * length if query.get("text") else b"x" * length
        for _ in range(n):
            if websocket.state is not ConnectionState.OPEN:
                return
            yield websocket.frame(message)
        if not query.get("stay"):
            websocket.close(1000, "all pushed")

    handshake.exchange.write_from(frames())


def ping(handshake: Handshake, count: str) -> None:
    waiting = {b"ping %d" % i for i in range(number(count, 10_000))}
    websocket = handshake.accept()
    pongs = 0

    def on_pong(payload: bytes) -> None:
        nonlocal pongs
        if payload in waiting:
            waiting.discard(payload)
            pongs += 1

    websocket.on_pong = on_pong
    websocket.on_message = lambda message: websocket.send(str(pongs))
    for payload in sorted(waiting):
        websocket.ping(payload)


def reset(handshake: Handshake, code: str) -> None:
    error_code = number(code, MAX_CODE)
    handshake.accept().send("going")
    handshake.exchange.write_from(_then_reset(handshake.exchange, error_code))


def _then_reset(exchange: Exchange, error_code: int) -> Iterator[bytes]:
    # The iterator is asked for more only when everything before was taken, so the reset follows it.
    exchange.reset(error_code)
    yield from ()


def silent(handshake: Handshake) -> None:
    exchange = handshake.accept().exchange
    exchange.on_data = exchange.on_end = exchange.on_sent = None


def refuse(handshake: Handshake, code: str) -> None:
    status = final_status(code)
    handshake.exchange.respond(status, TEXT, f"refused with {status}\n".encode())


def hang(handshake: Handshake) -> None:
    pass


ROUTES: dict[str, Callable[..., None]] = {
    "close": close,
    "echo": echo,
    "hang": hang,
    "ping": ping,
    "push": push,
    "refuse": refuse,
    "reset": reset,
    "silent": silent,
    "subprotocol": echo,
}


def dispatch(exchange: Exchange, connected: WebSockets) -> None:
    """Check a WebSocket handshake, find its route and run it."""
    request = exchange.request
    if request.protocol != "websocket":
        exchange.respond(501, TEXT, b"the only protocol supported is websocket\n")
    elif request.get(b"sec-websocket-version") != "13":
        exchange.respond(426, [(b"sec-websocket-version", b"13")], b"the only version supported is 13\n")
    else:
        path = request.path
        route = ROUTES.get(path[1]) if len(path) > 1 and path[0] == "ws" else None
        call(exchange, route, Handshake(exchange, connected), *path[2:])
