"""What a connection needs of a protocol: the interface that HTTP/2 and HTTP/1.1 have in common.

An engine does no IO. It takes bytes (`receive`) and calls the hooks of streams and of the observer; it takes calls
and gives bytes (`produce`). HTTP/1.1 has one stream at a time, and neither windows nor pings; what uses an engine is
the same for both.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Protocol

from .._errors import H2WSError
from .._http.headers import RawFields
from .stream_state import StreamState


class RequestHead(NamedTuple):
    """What a request begins with. `protocol` is b"websocket" for a WebSocket's handshake. `trailers`: whether some
    will follow the body."""

    method: bytes
    scheme: bytes
    authority: bytes
    target: bytes
    fields: RawFields
    protocol: bytes | None = None
    trailers: bool = False


class TransportEnd(Enum):
    """How the transport has ended."""

    CLEAN = "clean"
    WITHOUT_CLOSE_NOTIFY = "without TLS's close_notify"
    INSIDE_RECORD = "in the middle of a TLS record"
    BROKEN = "with a reset"


class Observer(Protocol):
    """Is called about the connection itself, as the hooks of `StreamState` are about a stream. Must not raise: that
    would end the connection."""

    def on_settings(self) -> None:
        """SETTINGS of the peer have come, its first or new ones."""

    def on_ping_ack(self, payload: bytes) -> None: ...
    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None: ...
    def on_calm(self, stream: StreamState) -> None:
        """RST_STREAM(ENHANCE_YOUR_CALM) came; the stream ends next."""

    def on_reset(self) -> None:
        """We have queued RST_STREAM; the slot of its stream comes free next."""

    def on_slot_free(self, stream: StreamState) -> None: ...

    def on_unusable(self, error: H2WSError) -> None:
        """The connection can't be used any more: HTTP/1.1 ends with an exchange that was given up."""

    def on_resume(self) -> None:
        """`paused` was true, and is false now."""

    def end_with_bug(self, bug: Exception) -> None:
        """One of the hooks above has raised: end the connection. Must not raise."""


class Engine(Protocol):
    """The protocol of one connection."""

    protocol: str  # "HTTP/2" or "HTTP/1.1"
    can_ping: bool
    can_connect: bool  # takes WebSockets as streams (RFC 8441)
    settings_received: bool  # streams may be opened
    streams: dict[int, StreamState]
    max_streams: int  # how many may be open now
    large_id: int  # of the last one whose header block was large
    exhausted: bool  # it will never take a new stream again
    fault: H2WSError | None  # the connection must end with this
    end_hint: str  # added to the error message when the transport has ended

    @property
    def newest_id(self) -> int:
        """The id of the stream that was opened last."""
        ...

    @property
    def idle_timeout(self) -> float | None:
        """Seconds without streams after which the server has said that it closes the connection."""
        ...

    @property
    def round_trip(self) -> float:
        """In seconds, 0 when unknown. Keepalive sets it."""
        ...

    @round_trip.setter
    def round_trip(self, seconds: float) -> None: ...
    @property
    def has_output(self) -> bool: ...
    @property
    def bytes_sent(self) -> int: ...
    @property
    def bytes_received(self) -> int: ...

    @property
    def paused(self) -> bool:
        """Do not read now: the application has not taken what has come."""
        ...

    def peer_settings(self) -> dict[str, int]: ...
    def start(self) -> None: ...
    def open(self, stream: StreamState, head: RequestHead, end_stream: bool) -> None: ...
    def send(self, stream: StreamState, data: bytes | memoryview) -> None: ...
    def end(self, stream: StreamState, trailers: RawFields | None = None) -> None: ...
    def reset(self, stream: StreamState, code: int) -> None: ...
    def consume(self, stream: StreamState, n: int) -> bool: ...
    def ping(self, payload: bytes) -> None: ...
    def goaway(self, code: int, debug: bytes = b"") -> None: ...
    def receive(self, data: bytes) -> None: ...
    def receive_end(self, end: TransportEnd) -> None: ...

    def produce(self, limit: int) -> tuple[bytes | memoryview, bool]:
        """The next bytes to write, about `limit` of them, and whether there are more (`has_output`)."""
        ...

    def abandon(self, error: H2WSError) -> None:
        """The connection has ended: end every stream. They share `error`, of which each waiter raises a copy."""
        ...
