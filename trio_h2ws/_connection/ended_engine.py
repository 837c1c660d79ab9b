"""What is left of an engine when its connection is gone.

A user may keep a response, an error or a WebSocket for long, and with it the stream, and with that the connection.
The buffers and tables of an engine take many times more than what these are kept for. So in the end the connection
replaces its engine by this one, which remembers what a snapshot shows, and does nothing.
"""

from __future__ import annotations

from .._errors import H2WSError
from .._http.headers import RawFields
from .._protocols.engine import Engine, RequestHead, TransportEnd
from .._protocols.stream_state import StreamState


class EndedEngine:
    """Every stream is closed, so nothing is sent, and no credit is given any more."""

    exhausted = True
    has_output = False
    paused = False
    fault: H2WSError | None = None

    def __init__(self, engine: Engine) -> None:
        self.protocol = engine.protocol
        self.can_ping = engine.can_ping
        self.settings_received = engine.settings_received
        self.can_connect = engine.can_connect
        self.streams: dict[int, StreamState] = {}
        self.max_streams = engine.max_streams
        self.newest_id = engine.newest_id
        self.large_id = engine.large_id
        self.end_hint = engine.end_hint
        self.idle_timeout = engine.idle_timeout
        self.round_trip = engine.round_trip
        self.bytes_sent = engine.bytes_sent
        self.bytes_received = engine.bytes_received
        self._settings = engine.peer_settings()

    def peer_settings(self) -> dict[str, int]:
        return dict(self._settings)

    def start(self) -> None: ...
    def open(self, stream: StreamState, head: RequestHead, end_stream: bool) -> None: ...
    def send(self, stream: StreamState, data: bytes | memoryview) -> None: ...
    def end(self, stream: StreamState, trailers: RawFields | None = None) -> None: ...
    def reset(self, stream: StreamState, code: int) -> None: ...

    def consume(self, stream: StreamState, n: int) -> bool:
        return False

    def ping(self, payload: bytes) -> None: ...
    def goaway(self, code: int, debug: bytes = b"") -> None: ...
    def receive(self, data: bytes) -> None: ...
    def receive_end(self, end: TransportEnd) -> None: ...

    def produce(self, limit: int) -> tuple[bytes, bool]:
        return b"", False

    def abandon(self, error: H2WSError) -> None: ...
