"""One HTTP/1.1 connection of the server: h11, and one exchange at a time.

    transport ─► reader ─► h11 ─► _pump ─► the exchange's hooks (synchronous)
                                                │ write, finish, credit, reset
    transport ◄─ writer ◄─ _out, exchange.take ◄┘

An exchange ends when the response has been sent and the request has been read to its end. A response may start before
the request is complete, and continue in parallel with it (full duplex). Then h11 starts its next cycle. Early bytes
of the next request stay in h11 until then, so pipelining needs no further code.

The reader stops at one of two limits: bytes that the route has not credited (the role of a window in HTTP/2), or
bytes of pipelined requests. TCP flow control then stops the client.

How a connection ends: `end(orderly=True)`, after the last exchange, sends what is queued, then a FIN (with TLS a
close_notify), and reads and discards input for a moment so that the last response is not lost. `end(orderly=False)`
takes the place of a reset, which HTTP/1.1 does not have: what is queued is sent, then the transport is closed
abruptly.

A client that half-closes the connection while a response is being sent still gets the rest if the route has queued
all of it (`finish`). Otherwise a half-closed connection looks like a client that has disconnected, so the connection
ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import h11
import trio

from .._connection import DISCARD_SECONDS, READ_SIZE, ServerConnection, close_gracefully
from .._exchange import Fields, Options, Request
from .._routes import http, websocket
from .._routes.arguments import TEXT
from .._stats import Stats
from .exchange import CLOSE, H1Exchange

BATCH = 64 * 1024
"""Approximate size of one write, in bytes."""
MAX_HELD = 1024 * 1024
"""Bytes of a request's body, or of a WebSocket, that the route has not credited."""
MAX_AHEAD = 64 * 1024
"""Bytes of pipelined requests, which arrived during the current exchange."""
MAX_HEAD = 256 * 1024
"""Bytes of a request's head, or of its trailers."""


class H1ServerConnection(ServerConnection):
    """One HTTP/1.1 connection, for tests to inspect and control. `Server.http1_connections` lists the open ones."""

    def __init__(self, transport: trio.abc.Stream, stats: Stats, options: Options) -> None:
        super().__init__(transport, stats, options)
        self.h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self.exchange: H1Exchange | None = None
        """The request or WebSocket that has not ended."""
        self.no_more_exchanges = False
        """The connection closes after the current exchange."""
        self._out = bytearray()
        self._wakeup = trio.Event()
        self._readable = trio.Event()
        self._uncredited = 0
        self._paused = False  # h11 may hold bytes that follow the current exchange
        self._switched = False
        self._eof = False
        self._ended = False
        self._orderly = False

    @property
    def exchanges(self) -> Sequence[H1Exchange]:
        """The request or WebSocket that has not ended, if there is one."""
        return [self.exchange] if self.exchange is not None else []

    # What a test calls.

    def goaway(self, last_stream_id: int | None = None, error_code: int = 0, debug_data: bytes = b"") -> None:
        """Close the connection after the current exchange. The arguments mean nothing in HTTP/1.1."""
        self.no_more_exchanges = True
        if self.exchange is None and not self.h11.trailing_data[0]:
            self.end(orderly=True)

    async def drain(self) -> None:
        """Close the connection after the current exchange, and wait until it is closed."""
        self.goaway()
        await self._over.wait()

    def update_settings(self, settings: Mapping[int, int]) -> None:
        """Do nothing: HTTP/1.1 has no SETTINGS."""

    def inject(self, data: bytes) -> None:
        """Send these bytes unchanged, after everything that is already queued."""
        self._out += data
        self.wake()

    # What the exchange calls.

    def wake(self) -> None:
        """Call this when there may be something to write."""
        self._wakeup.set()

    def credit(self, count: int) -> None:
        """The route has processed this many bytes."""
        self._uncredited -= count
        self._readable.set()

    def completed(self) -> None:
        """Both sides of the exchange have ended, or the missing end will not be waited for."""
        if self.no_more_exchanges or self.h11.our_state is not h11.DONE or self.h11.their_state is not h11.DONE:
            self.end(orderly=True)
        else:
            self._forget_all()
            self.h11.start_next_cycle()
            self.wake()  # `_produce` handles a request that is already in h11

    def end(self, *, orderly: bool) -> None:
        """End the connection once everything queued has been sent."""
        if not self._ended:
            self._ended, self._orderly = True, orderly
            self._forget_all()
            self.wake()

    def _forget_all(self) -> None:
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            self._uncredited = 0
            self._readable.set()
            self.stats.streams_open -= 1
            exchange.finalize()

    # Tasks.

    async def _run(self, first: bytes | bytearray) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._guard, self._read, first)
            await self._guard(self._write)
            nursery.cancel_scope.cancel()
        if self._orderly:
            with trio.move_on_after(DISCARD_SECONDS):
                await close_gracefully(self.transport)

    async def _read(self, data: bytes | bytearray) -> None:
        data = data or await self.transport.receive_some(READ_SIZE)
        while data:
            self.stats.bytes_in += len(data)
            self._receive(bytes(data))
            while self._is_full():
                self._readable = trio.Event()
                await self._readable.wait()
            await self._wait_while_frozen()
            data = await self.transport.receive_some(READ_SIZE)
        self._eof = True
        self._receive(b"")

    def _is_full(self) -> bool:
        return self._uncredited >= MAX_HELD or (self._paused and len(self.h11.trailing_data[0]) >= MAX_AHEAD)

    async def _write(self) -> None:
        while True:
            await self._wait_while_frozen()
            self._wakeup = wakeup = trio.Event()
            data = self._produce()
            if data:
                await self.transport.send_all(data)
                self.stats.bytes_out += len(data)
            elif self._ended:
                return
            else:
                await wakeup.wait()

    def _produce(self) -> bytearray:
        self._pump()
        exchange = self.exchange
        while exchange is not None and exchange.started and not exchange.local_done and len(self._out) < BATCH:
            data = exchange.take(BATCH)
            if exchange.gone:  # `take` runs the route, which may reset
                break
            if data:
                self._out += exchange.encode(data)
                exchange.sent(len(data))
            if exchange.exhausted and not exchange.gone:
                exchange.send_end()
            if not data:
                break
        produced, self._out = self._out, bytearray()
        return produced

    # Receiving.

    def _receive(self, data: bytes) -> None:
        """Process input; empty at the end of the client's half of the connection."""
        if self._ended:
            return
        if not self._switched:
            self.h11.receive_data(data)
        elif self.exchange is not None:
            if data:
                self._on_bytes(self.exchange, data)
            else:
                self.exchange.end_received([])
        self._pump()

    def _pump(self) -> None:
        """Handle every event that h11 has."""
        try:
            while not (self._ended or self._switched) and self._step():
                pass
        except h11.RemoteProtocolError as error:
            self._on_broken(error)
        if self._eof and self.exchange is not None and not self.exchange.finished:
            self.end(orderly=False)
        self._readable.set()

    def _step(self) -> bool:
        """Handle one event of h11; False if there is none at present."""
        event = self.h11.next_event()
        exchange = self.exchange
        self._paused = event is h11.PAUSED
        if isinstance(event, h11.Request):
            self._on_request(event)
        elif isinstance(event, h11.Data):
            if exchange is not None:
                self._on_bytes(exchange, bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            if exchange is not None:
                self._on_end(exchange, event)
        elif exchange is not None and exchange.switched:
            self._switched, self._paused = True, False
            early = self.h11.trailing_data[0]
            if early:
                self._on_bytes(exchange, early)
        else:
            if exchange is None and isinstance(event, h11.ConnectionClosed):
                self.end(orderly=True)
            return False
        return True

    def _on_request(self, event: h11.Request) -> None:
        exchange = self.exchange = H1Exchange(self, _make_request(event))
        self.stats.streams_opened += 1
        self.stats.streams_open += 1
        if exchange.request.protocol is not None:
            self.stats.upgrades += 1
            return  # h11 can switch protocols only at the end of the request
        self.stats.requests += 1
        http.dispatch(exchange)
        exchange.send_continue()

    def _on_bytes(self, exchange: H1Exchange, data: bytes) -> None:
        self._uncredited += len(data)
        exchange.received(data)

    def _on_end(self, exchange: H1Exchange, event: h11.EndOfMessage) -> None:
        if exchange.request.protocol is None:
            exchange.end_received(list(event.headers))
            return
        exchange.remote_done = True
        if exchange.request.get(b"sec-websocket-key") is None:
            exchange.respond(400, TEXT, b"the header sec-websocket-key is missing\n")
        else:
            websocket.dispatch(exchange, self.websockets)

    def _on_broken(self, error: h11.RemoteProtocolError) -> None:
        if self._eof:  # the client disconnected in the middle of a request
            self.end(orderly=False)
            return
        self.stats.protocol_errors.append(f"{type(error).__name__}: {error}")
        if self.h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            fields = [CLOSE, (b"content-length", b"0")]
            self.inject(self.h11.send(h11.Response(status_code=error.error_status_hint, headers=fields)) or b"")
            self.end(orderly=True)
        else:
            self.end(orderly=False)


def _make_request(event: h11.Request) -> Request:
    headers = list(event.headers)
    method = event.method.decode("latin-1")
    target = event.target.decode("latin-1")
    if not target.startswith("/") and "://" in target:  # absolute form: RFC 9112, section 3.2.2
        target = "/" + target.partition("://")[2].partition("/")[2]
    upgrades = event.http_version == b"1.1" and method == "GET" and "upgrade" in _elements(headers, b"connection")
    return Request(
        method=method,
        target=target,
        headers=headers,
        protocol="websocket" if upgrades and "websocket" in _elements(headers, b"upgrade") else None,
        http_version=f"HTTP/{event.http_version.decode()}",
    )


def _elements(headers: Fields, name: bytes) -> list[str]:
    """The elements of a header whose value is a list, in lower case."""
    values = b",".join(value for key, value in headers if key == name)
    return [word.strip().lower() for word in values.decode("latin-1").split(",")]
