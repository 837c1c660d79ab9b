"""The WebSocket routes, on wsproto, without a task each.

| route                  | what it does                                                                              |
|------------------------|-------------------------------------------------------------------------------------------|
| `/ws/echo`             | echoes every message                                                                      |
| `/ws/subprotocol`      | the same                                                                                  |
| `/ws/close/CODE`       | one message, then Close with CODE and a reason (1005: an empty Close; 1006: RST_STREAM)   |
|                        | `?end=stream`: END_STREAM follows the Close at once; `?end=reset`: RST_STREAM does        |
| `/ws/push/COUNT/SIZE`  | COUNT binary messages of SIZE bytes, then Close 1000; `?text=1`, and `?stay=1`: no Close  |
| `/ws/ping/N`           | N pings; each text is answered with the number of pongs that have come back               |
| `/ws/reset/CODE`       | one message, then RST_STREAM with CODE                                                    |
| `/ws/silent`           | accepts; reads everything and never says a word, not even Pong or Close                   |
| `/ws/refuse/CODE`      | answers the handshake with CODE and a small body                                          |
| `/ws/hang`             | never answers the handshake                                                               |

Every route that accepts takes the first of the client's subprotocols that the server has, and permessage-deflate
if it was offered.

Closing (RFC 6455 section 7, RFC 8441 section 5). The peer's Close is answered with ours and END_STREAM. When we
close first, END_STREAM waits for the peer's Close. Either way a peer that then leaves its half of the stream open
for `close_timeout` seconds gets RST_STREAM(CANCEL).

Over HTTP/1.1 the stream is the connection: END_STREAM is its orderly end, RST_STREAM cuts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from .._exchange import ROOM, Exchange, Fields
from . import http as _routes

CANCEL = 8
MAX_MESSAGE = 64 * 1024 * 1024
"""A message that grows beyond this closes its WebSocket with 1009: the server has to outlive its clients."""


def _split(value: str | None) -> list[str]:
    return [part.strip() for part in (value or "").split(",") if part.strip()]


def _deflate(offers: list[str]) -> tuple[PerMessageDeflate, bytes] | None:
    """The first offer that wsproto can take, and the words that accept it."""
    for offer in offers:
        if offer.partition(";")[0].strip() != PerMessageDeflate.name:
            continue
        extension = PerMessageDeflate()
        try:
            accepted = extension.accept(offer)
        except ValueError:  # window bits that are no number
            continue
        if isinstance(accepted, str):
            words = f"{PerMessageDeflate.name}; {accepted}" if accepted else PerMessageDeflate.name
            return extension, words.encode()
    return None


class ServerWebSocket:
    """One accepted WebSocket, the server's end. It echoes; replace `on_message` or `on_pong` for something else."""

    def __init__(self, exchange: Exchange) -> None:
        headers: Fields = []
        offered = _split(exchange.request.get(b"sec-websocket-protocol"))
        self.subprotocol = next((name for name in offered if name in exchange.options.subprotocols), None)
        if self.subprotocol is not None:
            headers.append((b"sec-websocket-protocol", self.subprotocol.encode()))
        extensions = []
        if exchange.options.compression:
            taken = _deflate(_split(exchange.request.get(b"sec-websocket-extensions")))
            if taken is not None:
                extensions.append(taken[0])
                headers.append((b"sec-websocket-extensions", taken[1]))
        self.exchange = exchange
        self.on_message: Callable[[str | bytes], None] = self.send
        self.on_pong: Callable[[bytes], None] = lambda payload: None
        self._protocol = Connection(ConnectionType.SERVER, list(extensions))
        self._parts: list[str | bytes | bytearray] = []
        self._size = 0
        self._held = 0  # received bytes that are not credited, because too much of ours is unsent
        self._open = True
        self._lingers = False
        exchange.stats.websockets_open += 1
        exchange.on_data, exchange.on_end = self._data, self._ended
        exchange.on_sent, exchange.on_gone = self._settle, self._over
        exchange.websocket = self
        exchange.accept(headers)

    @property
    def state(self) -> ConnectionState:
        return self._protocol.state

    def send(self, message: str | bytes) -> None:
        """Send a message; nothing happens when the WebSocket is closing."""
        if self.state is ConnectionState.OPEN:
            self.exchange.write(self.frame(message))

    def frame(self, message: str | bytes) -> bytes:
        """The bytes of a message."""
        event: Event = TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message)
        return self._protocol.send(event)

    def ping(self, payload: bytes) -> None:
        """Send a Ping; `on_pong` gets what comes back."""
        self.exchange.write(self._protocol.send(Ping(payload=payload)))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close first. The stream ends when the peer has said Close too, or after `close_timeout`."""
        if self.state is not ConnectionState.OPEN:
            return
        # 1005 says that there is no code: an empty Close frame. wsproto knows that member by identity.
        sent = CloseReason.NO_STATUS_RCVD if code == 1005 else code
        self.exchange.write(self._protocol.send(CloseConnection(code=sent, reason=reason)))
        self._linger()

    def _data(self, data: bytes) -> None:
        self._held += len(data)
        if self._open and self.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                self._event(event)
                if not self._open:
                    break
        self._settle()

    def _event(self, event: Event) -> None:
        if isinstance(event, Message):
            self._parts.append(event.data)
            self._size += len(event.data)
            if self._size > MAX_MESSAGE:
                self._fail(1009, "message too big")
            elif event.message_finished:
                parts, self._parts, self._size = self._parts, [], 0
                self.on_message(_join(parts))
        elif isinstance(event, Ping):
            if self.state is ConnectionState.OPEN:
                self.exchange.write(self._protocol.send(event.response()))
        elif isinstance(event, Pong):
            self.on_pong(bytes(event.payload))
        elif isinstance(event, CloseConnection):
            self._closing(event)

    def _closing(self, event: CloseConnection) -> None:
        if self.state is ConnectionState.REMOTE_CLOSING:
            self.exchange.write(self._protocol.send(event.response()))
            self._end()
        elif self.state is ConnectionState.CLOSED:  # the answer to our Close
            self._end()
        else:  # wsproto reports what it could not parse as a Close, in the state it was in
            self._fail(int(event.code), event.reason or "")

    def _fail(self, code: int, reason: str) -> None:
        if self.state is ConnectionState.OPEN:
            self.exchange.write(self._protocol.send(CloseConnection(code=code, reason=reason)))
        self._end()

    def _ended(self, trailers: Fields) -> None:
        # END_STREAM is the end of TCP (RFC 8441, section 5): nothing more can come, so nothing more is owed.
        self._end()

    def _end(self) -> None:
        self.exchange.finish()
        self._over()
        self._linger()

    def _over(self) -> None:
        if self._open:
            self._open = False
            self.exchange.stats.websockets_open -= 1

    def _settle(self, count: int = 0) -> None:
        if self._held and self.exchange.unsent < ROOM:
            held, self._held = self._held, 0
            self.exchange.credit(held)

    def _linger(self) -> None:
        async def wait() -> None:
            await trio.sleep(self.exchange.options.close_timeout)
            self.exchange.reset(CANCEL)

        if not self._lingers and not self.exchange.gone:
            self._lingers = True
            self.exchange.spawn(wait)


def _join(parts: list[str | bytes | bytearray]) -> str | bytes:
    if isinstance(parts[0], str):
        return "".join(part for part in parts if isinstance(part, str))
    return b"".join(part for part in parts if not isinstance(part, str))


def echo(exchange: Exchange) -> None:
    ServerWebSocket(exchange)


def close(exchange: Exchange, code: str) -> None:
    number, end = _routes.number(code, 65535), exchange.request.query.get("end")
    session = ServerWebSocket(exchange)
    session.send("bye")
    if number != 1006:
        session.close(number, "" if number == 1005 else f"closed with {number}")
    if end == "stream":
        exchange.finish()
    elif end == "reset" or number == 1006:
        exchange.write_from(_then_reset(exchange, CANCEL))


def push(exchange: Exchange, count: str, size: str) -> None:
    n, length = _routes.number(count, _routes.MAX_COUNT), _routes.number(size, _routes.MAX_PIECE)
    query = exchange.request.query
    session = ServerWebSocket(exchange)
    session.on_message = lambda message: None

    def frames() -> Iterator[bytes]:
        message = "x" * length if query.get("text") else b"x" * length
        for _ in range(n):
            if session.state is not ConnectionState.OPEN:
                return
            yield session.frame(message)
        if not query.get("stay"):
            session.close(1000, "all pushed")

    exchange.write_from(frames())


def ping(exchange: Exchange, count: str) -> None:
    waiting = {b"ping %d" % i for i in range(_routes.number(count, 10_000))}
    session = ServerWebSocket(exchange)
    pongs = 0

    def on_pong(payload: bytes) -> None:
        nonlocal pongs
        if payload in waiting:
            waiting.discard(payload)
            pongs += 1

    session.on_pong = on_pong
    session.on_message = lambda message: session.send(str(pongs))
    for payload in sorted(waiting):
        session.ping(payload)


def reset(exchange: Exchange, code: str) -> None:
    error_code = _routes.number(code, _routes.MAX_CODE)
    ServerWebSocket(exchange).send("going")
    exchange.write_from(_then_reset(exchange, error_code))


def _then_reset(exchange: Exchange, error_code: int) -> Iterator[bytes]:
    # Asked for more: everything before has been taken, and the reset goes out after it.
    exchange.reset(error_code)
    yield from ()


def silent(exchange: Exchange) -> None:
    ServerWebSocket(exchange)
    exchange.on_data = exchange.on_end = exchange.on_sent = None


def refuse(exchange: Exchange, code: str) -> None:
    status = _routes.final_status(code)
    exchange.respond(status, _routes.TEXT, f"refused with {status}\n".encode())


ROUTES: dict[str, Callable[..., None]] = {
    "close": close,
    "echo": echo,
    "hang": _routes.hang,
    "ping": ping,
    "push": push,
    "refuse": refuse,
    "reset": reset,
    "silent": silent,
    "subprotocol": echo,
}


def dispatch(exchange: Exchange) -> None:
    """A WebSocket handshake: check it, find the route, run it."""
    request = exchange.request
    if request.protocol != "websocket":
        exchange.respond(501, _routes.TEXT, b"only websocket\n")
    elif request.get(b"sec-websocket-version") != "13":
        exchange.respond(426, [(b"sec-websocket-version", b"13")], b"only version 13\n")
    else:
        path = request.path
        route = ROUTES.get(path[1]) if len(path) > 1 and path[0] == "ws" else None
        _routes.call(exchange, route, path[2:])
