"""The server's end of one WebSocket: wsproto on an `Exchange`, driven by its hooks, without a task.

How a WebSocket closes is described in `_routes.websocket`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from ._deflate import accept_deflate
from ._exchange import HIGH_WATER, Exchange, Fields

CANCEL = 8
MAX_MESSAGE = 64 * 1024 * 1024
"""A message larger than this closes its WebSocket with 1009, so a client can't exhaust the server's memory."""


def _split_list(value: str | None) -> list[str]:
    return [part.strip() for part in (value or "").split(",") if part.strip()]


class ServerWebSocket:
    """The server's end of an accepted WebSocket. It echoes, unless `on_message` or `on_pong` is replaced."""

    def __init__(self, exchange: Exchange, connected: WebSockets) -> None:
        headers: Fields = []
        offered = _split_list(exchange.request.get(b"sec-websocket-protocol"))
        self.subprotocol = next((name for name in offered if name in exchange.options.subprotocols), None)
        if self.subprotocol is not None:
            headers.append((b"sec-websocket-protocol", self.subprotocol.encode()))
        extensions = []
        if exchange.options.compression:
            taken = accept_deflate(_split_list(exchange.request.get(b"sec-websocket-extensions")))
            if taken is not None:
                extensions.append(taken[0])
                headers.append((b"sec-websocket-extensions", taken[1]))
        self.exchange = exchange
        self.on_message: Callable[[str | bytes], None] = self.send
        self.on_pong: Callable[[bytes], None] = lambda payload: None
        self._protocol = Connection(ConnectionType.SERVER, list(extensions))
        self._parts: list[str | bytes | bytearray] = []
        self._size = 0
        self._uncredited = 0  # received bytes, not credited while too much output is unsent
        self._open = True
        self._closing_limited = False
        self._connected = connected
        exchange.stats.websockets_open += 1
        exchange.on_data, exchange.on_end = self._on_data, self._on_end
        exchange.on_sent, exchange.on_gone = self._give_credit, self._on_gone
        connected[exchange] = self
        exchange.accept(headers)

    @property
    def state(self) -> ConnectionState:
        return self._protocol.state

    def send(self, message: str | bytes) -> None:
        """Send a message. Does nothing if the WebSocket is closing."""
        if self.state is ConnectionState.OPEN:
            self.exchange.write(self.frame(message))

    def frame(self, message: str | bytes) -> bytes:
        """The bytes of a message."""
        event: Event = TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message)
        return self._protocol.send(event)

    def ping(self, payload: bytes) -> None:
        """Send a Ping; `on_pong` is called with the payload of the Pong."""
        self.exchange.write(self._protocol.send(Ping(payload=payload)))

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin to close. The stream ends when the client has answered with Close, or after `close_timeout`."""
        if self.state is not ConnectionState.OPEN:
            return
        # 1005 means an empty Close frame. wsproto compares by identity, so it needs the enum member.
        sent = CloseReason.NO_STATUS_RCVD if code == 1005 else code
        self.exchange.write(self._protocol.send(CloseConnection(code=sent, reason=reason)))
        self._limit_closing()

    def _on_data(self, data: bytes) -> None:
        self._uncredited += len(data)
        if self._open and self.state in (ConnectionState.OPEN, ConnectionState.LOCAL_CLOSING):
            self._protocol.receive_data(data)
            for event in self._protocol.events():
                self._on_event(event)
                if not self._open:
                    break
        self._give_credit()

    def _on_event(self, event: Event) -> None:
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
            self._on_close(event)

    def _on_close(self, event: CloseConnection) -> None:
        if self.state is ConnectionState.REMOTE_CLOSING:
            self.exchange.write(self._protocol.send(event.response()))
            self._end()
        elif self.state is ConnectionState.CLOSED:  # the client has answered the server's Close
            self._end()
        else:  # wsproto reports a protocol error as a CloseConnection event, and leaves the state as it was
            self._fail(int(event.code), event.reason or "")

    def _fail(self, code: int, reason: str) -> None:
        if self.state is ConnectionState.OPEN:
            self.exchange.write(self._protocol.send(CloseConnection(code=code, reason=reason)))
        self._end()

    def _on_end(self, trailers: Fields) -> None:
        # END_STREAM takes the place of the TCP FIN (RFC 8441, section 5): no Close can follow, so none is awaited.
        self._end()

    def _end(self) -> None:
        self.exchange.finish()
        self._count_closed()
        self._limit_closing()

    def _count_closed(self) -> None:
        if self._open:
            self._open = False
            self.exchange.stats.websockets_open -= 1

    def _on_gone(self) -> None:
        self._count_closed()
        self._connected.pop(self.exchange, None)

    def _give_credit(self, count: int = 0) -> None:
        if self._uncredited and self.exchange.unsent < HIGH_WATER:
            held, self._uncredited = self._uncredited, 0
            self.exchange.credit(held)

    def _limit_closing(self) -> None:
        async def wait() -> None:
            await trio.sleep(self.exchange.options.close_timeout)
            self.exchange.reset(CANCEL)

        if not self._closing_limited and not self.exchange.gone:
            self._closing_limited = True
            self.exchange.spawn(wait)


def _join(parts: list[str | bytes | bytearray]) -> str | bytes:
    if isinstance(parts[0], str):
        return "".join(part for part in parts if isinstance(part, str))
    return b"".join(part for part in parts if not isinstance(part, str))


WebSockets: TypeAlias = dict[Exchange, ServerWebSocket]
"""The accepted WebSockets of one connection whose exchanges have not ended."""
