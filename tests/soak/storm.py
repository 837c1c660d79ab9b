"""The faults: what the network and the server do to a client, drawn from a seed."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes

from trio_h2ws.testing import H2ServerConnection, Server
from trio_h2ws.testing._connection import ServerConnection

from .proxy import Link, Proxy
from .tally import Tally

DEFAULT_SETTINGS = {
    SettingCodes.MAX_CONCURRENT_STREAMS: 256,
    SettingCodes.INITIAL_WINDOW_SIZE: 1024 * 1024,
    SettingCodes.MAX_FRAME_SIZE: 16384,
    SettingCodes.HEADER_TABLE_SIZE: 4096,
}


# Frames: length, type, flags, stream, payload. PRIORITY lacks the last two.
PING = b"\0\0\x08\x06\0" + bytes(4) + b"how are?"
UNKNOWN = b"\0\0\x03\x20\0" + bytes(4) + b"odd"
PRIORITY = b"\0\0\x05\x02\0"


class Storm:
    """`rage` causes faults for some seconds; `clear` lifts them. `swallowed` is called with each link that dies."""

    def __init__(
        self, proxy: Proxy, server: Server, random: Random, tally: Tally, swallowed: Callable[[Link], None]
    ) -> None:
        self._proxy = proxy
        self._server = server
        self._random = random
        self._tally = tally
        self._swallowed = swallowed
        self._changed: set[H2ServerConnection] = set()
        # With weights: many faults disturb and few kill, or no connection would live long enough to be interesting.
        self._faults: list[tuple[int, str, Callable[[], None]]] = [
            (10, "delay", self._delay),
            (8, "rate limit", self._slow),
            (10, "split", self._split),
            (6, "merge", self._merge),
            (8, "pause", self._pause),
            (6, "resume", self._resume),
            (3, "half-close", self._half_close),
            (3, "reset", self._reset),
            (3, "black hole", self._hole),
            (2, "black hole, one way", self._half_hole),
            (1, "dials refused", self._refuse),
            (1, "dials swallowed", self._swallow),
            (2, "small buffers", self._small_buffers),
            (4, "server: SETTINGS", self._settings),
            (2, "server: streams reset", self._reset_streams),
            (2, "server: WebSockets closed", self._close_websockets),
            (2, "server: freeze", self._freeze),
            (2, "server: thaw", self._thaw),
            (1, "server: hangs up", self._abort),
            (2, "server: GOAWAY", self._goaway),
            (2, "server: GOAWAY, some undone", self._goaway_below),
            (4, "server: odd frames", self._odd_frames),
        ]

    async def rage(self, seconds: float) -> None:
        weights = [weight for weight, _, _ in self._faults]
        with trio.move_on_after(seconds):
            while True:
                await trio.sleep(self._random.uniform(0.02, 0.4))
                ((_, name, fault),) = self._random.choices(self._faults, weights)
                self._tally.faults[name] += 1
                fault()

    def clear(self) -> None:
        self._proxy.clear()
        self._server.thaw()
        for connection in self._changed & set(self._server.connections):
            _update_settings(connection, DEFAULT_SETTINGS)
        self._changed.clear()

    async def drain_in_calm(self, seconds: float) -> None:
        """Drain connections now and then: a server that is replaced gracefully must not be noticed, even in calm."""
        with trio.move_on_after(seconds):
            while True:
                await trio.sleep(self._random.uniform(0.5, 2.0))
                self._tally.faults["calm: server drains"] += 1
                self.drain()

    def drain(self, *, http1: bool = False) -> None:
        """Drain every connection of the server. HTTP/1.1 can't do that unnoticed: only with `http1`."""
        for connection in self._served() if http1 else self._server.connections:
            _spawn_drain(connection)

    # The network.

    def _links(self) -> list[Link]:
        """One live link, or now and then all of them."""
        living = [link for link in self._proxy.links if not link.dead]
        if not living or self._random.random() < 0.2:
            return living
        return [self._random.choice(living)]

    def _delay(self) -> None:
        for link in self._links():
            for pipe in link.pipes:
                pipe.delay = self._random.uniform(0, 0.15)
                pipe.jitter = self._random.choice((0, 0.02, 0.1))

    def _slow(self) -> None:
        for link in self._links():
            self._random.choice(link.pipes).rate = self._random.choice((20e3, 100e3, 400e3, 2e6))

    def _split(self) -> None:
        for link in self._links():
            for pipe in link.pipes:
                pipe.piece, pipe.splits = self._random.choice(((1, 600), (3, 1000), (10, 1000), (100, 1500)))

    def _merge(self) -> None:
        for link in self._links():
            self._random.choice(link.pipes).hold = self._random.uniform(0.01, 0.2)

    def _pause(self) -> None:
        for link in self._links():
            for pipe in self._random.choice(((link.up,), (link.down,), link.pipes)):
                pipe.pause()

    def _resume(self) -> None:
        for link in self._proxy.links:
            for pipe in link.pipes:
                pipe.resume()

    def _half_close(self) -> None:
        for link in self._links()[:1]:
            try:
                self._random.choice(link.pipes).end()
            except OSError:
                pass  # it was ending anyway

    def _reset(self) -> None:
        for link in self._links():
            client, server = self._random.choice(((True, True), (True, False), (False, True)))
            link.cut(client=client, server=server)

    def _hole(self) -> None:
        for link in self._links()[:1]:
            for pipe in link.pipes:
                pipe.hole = True
            self._swallowed(link)

    def _half_hole(self) -> None:
        for link in self._links()[:1]:
            pipe = self._random.choice(link.pipes)
            pipe.hole = True
            if pipe is link.down:
                self._swallowed(link)

    def _refuse(self) -> None:
        self._proxy.refuse_until = trio.current_time() + self._random.uniform(0.1, 1)

    def _swallow(self) -> None:
        self._proxy.swallow_until = trio.current_time() + self._random.uniform(0.1, 1)

    def _small_buffers(self) -> None:
        self._proxy.small_buffers = self._random.choice((0, 4096, 16384))

    # The server.

    def _served(self) -> list[ServerConnection]:
        return [*self._server.connections, *self._server.http1_connections]

    def _settings(self) -> None:
        settings = {
            SettingCodes.MAX_CONCURRENT_STREAMS: self._random.choice((1, 3, 10, 256)),
            SettingCodes.INITIAL_WINDOW_SIZE: self._random.choice((1, 1000, 65535, 65535, 1024 * 1024)),
            SettingCodes.MAX_FRAME_SIZE: self._random.choice((16384, 20000, 65536)),
            SettingCodes.HEADER_TABLE_SIZE: self._random.choice((0, 100, 4096, 65536)),
        }
        for connection in self._server.connections:
            # Not before the first SETTINGS are acknowledged: h2 would take that for the acknowledgement of these.
            if connection.highest_stream_id:
                _update_settings(connection, settings)
                self._changed.add(connection)

    def _reset_streams(self) -> None:
        code = self._random.choice(
            (ErrorCodes.NO_ERROR, ErrorCodes.INTERNAL_ERROR, ErrorCodes.CANCEL, ErrorCodes.REFUSED_STREAM)
        )
        for connection in self._served():
            for exchange in list(connection.exchanges):
                if self._random.random() < 0.3:
                    exchange.reset(code)

    def _close_websockets(self) -> None:
        for websocket in self._server.websockets:
            if self._random.random() < 0.3:
                websocket.close(self._random.choice((1000, 1001, 1011, 4000)), "storm")

    def _freeze(self) -> None:
        for connection in self._served():
            if self._random.random() < 0.4:
                connection.freeze()

    def _thaw(self) -> None:
        self._server.thaw()

    def _abort(self) -> None:
        if served := self._served():
            self._random.choice(served).abort()

    def _goaway_below(self) -> None:
        """GOAWAY below some open streams: the server drops them, and the client must repeat them elsewhere."""
        if self._server.connections:
            connection = self._random.choice(self._server.connections)
            connection.goaway(max(0, connection.highest_stream_id - 2 * self._random.randrange(4)))

    def _odd_frames(self) -> None:
        """Frames that mean nothing, or only need an answer."""
        for connection in self._server.connections:
            for _ in range(self._random.randrange(10)):
                stream = connection.highest_stream_id or 1
                connection.inject(
                    self._random.choice((PING, UNKNOWN, PRIORITY + stream.to_bytes(4, "big") + bytes(5)))
                )

    def _goaway(self) -> None:
        if not (served := self._served()):
            return
        connection = self._random.choice(served)
        if self._random.random() < 0.5:
            _spawn_drain(connection)
        else:
            connection.goaway(error_code=self._random.choice((ErrorCodes.NO_ERROR, ErrorCodes.ENHANCE_YOUR_CALM)))


def _update_settings(connection: H2ServerConnection, settings: dict[SettingCodes, int]) -> None:
    try:
        connection.update_settings(settings)
    except ProtocolError:
        pass  # it is ending over a protocol error, which is reported elsewhere


def _spawn_drain(connection: ServerConnection) -> None:
    try:
        connection.spawn(connection.drain)
    except RuntimeError:
        pass  # its nursery is closed: it was ending anyway
