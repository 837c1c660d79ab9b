"""What the server of one connection says about its load, reported to the gate in front of its origin's queue.

A server that is overloaded says ENHANCE_YOUR_CALM, in RST_STREAM or in GOAWAY (RFC 9113, section 7). What follows
from that is decided in `_pool/admission.py`. Streams that are lost soon after it, by a reset with another code or
with the connection, are part of the same loss: when Node has asked for calm a hundred times, it resets all streams
with INTERNAL_ERROR and ends the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from .._errors import ErrorCode
from .._protocols.engine import Engine
from .._protocols.stream_state import StreamState

_NEVER = float("-inf")
_SOON = 1.0  # seconds


class Loaded(Protocol):
    """What a gate looks at, of one connection."""

    engine: Engine
    reserved: int

    @property
    def calm(self) -> Calm: ...


class Gate(Protocol):
    """Bounds the streams of one origin, while `bound` is not None."""

    bound: int | None

    def on_loss(self, connection: Loaded, newest_id: int, count: int) -> None:
        """The server has given up `count` streams, because there are too many. The newest of them has this id. They
        are still in the connection's table."""
        ...

    def on_response(self) -> None:
        """A response is complete."""
        ...

    def current_bound(self) -> int | None: ...


class Calm:
    """Of one connection. `gate` is set by the pool, over HTTP/2. `changed()` is called when another call may be
    admitted although no stream has ended."""

    __slots__ = ("_asked_at", "_changed", "_connection", "gate", "open_websockets")

    def __init__(self, connection: Loaded, changed: Callable[[], None]) -> None:
        self._connection = connection
        self._changed = changed
        self.gate: Gate | None = None
        self._asked_at = _NEVER
        self.open_websockets = 0
        """Those that are answered: they need nothing of the server but time."""

    @property
    def asked_just_now(self) -> bool:
        """The server has asked for calm on this connection, and what it does now is part of that."""
        return trio.current_time() - self._asked_at < _SOON

    @property
    def is_bounded(self) -> bool:
        return self.gate is not None and self.gate.bound is not None

    def on_websocket_open(self) -> None:
        """A handshake is done."""
        self.open_websockets += 1
        if self.is_bounded:
            self._changed()

    def on_stream_end(self, stream: StreamState) -> None:
        """For whatever reason. It is not in the table any more."""
        if stream.is_open_websocket:
            self.open_websockets -= 1
        elif stream.remote_ended and self.gate is not None:
            self.gate.on_response()

    def on_reset(self, stream: StreamState) -> None:
        """RST_STREAM(ENHANCE_YOUR_CALM) came for a stream that is still in the table."""
        self._asked_at = trio.current_time()
        if self.gate is not None and not stream.is_open_websocket:
            self.gate.on_loss(self._connection, stream.id, 1)

    def on_goaway(self, last_id: int, code: int) -> None:
        """GOAWAY came. The streams above `last_id` are still in the table."""
        engine = self._connection.engine
        if code == ErrorCode.ENHANCE_YOUR_CALM and engine.large_id != engine.newest_id:
            self._asked_at = trio.current_time()
            self._lose_above(last_id)

    def on_end(self) -> None:
        """The connection has ended. Its streams are still in the table."""
        if self.asked_just_now and self._connection.engine.streams:
            self._lose_above(0)

    def _lose_above(self, last_id: int) -> None:
        engine = self._connection.engine
        if self.gate is not None:
            lost = [
                stream
                for stream in engine.streams.values()
                if stream.id > last_id and not (stream.is_open_websocket or stream.remote_ended)
            ]
            self.gate.on_loss(self._connection, engine.newest_id, len(lost))
