"""The HTTP/2 engine of one connection: calls in, bytes out. It does no IO, and its clock is passed in.

Theory of operation
===================

h2 handles what belongs to the connection: the preface, both sides' SETTINGS with their acknowledgements, and the
HPACK table sizes. Streams are handled here. h2 would end the connection for an error of one stream (RFC 9113 says:
reset that stream), credit the two kinds of window together, iterate over all streams to open one, and take 8 to 25
microseconds for a frame. So only SETTINGS reaches h2 (`settings.py`).

Four modules, each of which imports only those after it:
- this one: what the connection and its streams call;
- `receiver.py`: bytes in, hooks called; a method for each type of frame;
- `streams.py`: the table of streams, and how a stream begins and ends;
- `flood_guard.py`: what a peer may make us do for nothing.
All of them queue what they send in one `SendQueue` (`send_queue.py`).

Everything is synchronous, so two tasks can't be in it at the same time, and no lock is needed.
"""

from __future__ import annotations

from collections.abc import Callable

from ..._config import Limits
from ..._errors import H2WSError, LocalProtocolError
from ..._http.headers import RawFields
from ..engine import Observer, RequestHead, TransportEnd
from ..stream_state import StreamState
from . import frames
from .flood_guard import FloodGuard
from .header_blocks import HeaderBlocks
from .header_compression import BlockDecoder, BlockEncoder
from .header_lists import list_size, request_block
from .receiver import H2Receiver
from .send_queue import SendQueue
from .settings import SettingsExchange
from .streams import StreamTable

_LARGE_BLOCK = 4096  # bytes, compressed: few requests have that
_STREAMS_BEFORE_SETTINGS = 100  # the least that a server should allow (RFC 9113, section 6.5.2)


class H2Engine:
    """One client connection. Call `receive` with what was read, write what `produce` gives."""

    protocol = "HTTP/2"
    can_ping = True
    paused = False  # each stream has a window
    end_hint = ""
    idle_timeout: float | None = None  # a server says GOAWAY instead

    def __init__(self, observer: Observer, limits: Limits, clock: Callable[[], float]) -> None:
        self._observer = observer
        self._limits = limits
        self._encoder, decoder = BlockEncoder(), BlockDecoder(limits.max_header_list_size)
        self._exchange = SettingsExchange(self._encoder, decoder)
        self._queue = SendQueue(lambda fields: self._encoder.encode_block([*fields]))
        self._guard = FloodGuard(limits, clock)
        self._table = table = StreamTable(observer, limits, clock, self._queue, self._guard)
        blocks = HeaderBlocks(decoder, limits)
        self._receiver = H2Receiver(
            observer, limits, table, self._exchange, blocks, self._settings_changed, self._end_with
        )
        self.streams = table.streams
        self.max_streams = self._bounded(_STREAMS_BEFORE_SETTINGS)
        self.exhausted = False  # the stream ids have run out (RFC 9113, section 5.1.1)
        self.large_id = 0  # of the last stream whose header block was large
        self.settings_received = False
        self.can_connect = False  # the first SETTINGS carried ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441, section 3)
        self.fault: H2WSError | None = None  # the connection must end with this
        # Bound once: a method that delegates would cost a second call for each frame.
        self.receive = self._receiver.receive
        self.reset = table.reset
        self.consume = table.consume
        self.abandon = table.abandon

    # What the connection asks.

    @property
    def has_output(self) -> bool:
        return self._queue.has_output

    @property
    def newest_id(self) -> int:
        """The id of the stream that was opened last."""
        return self._table.next_id - 2

    @property
    def bytes_sent(self) -> int:
        return self._queue.bytes_sent

    @property
    def bytes_received(self) -> int:
        return self._receiver.bytes_received

    @property
    def data_received(self) -> int:
        """Bytes of DATA, without padding."""
        return self._receiver.data_received

    @property
    def initial_send_window(self) -> int:
        """What the peer allows a new stream to send at first."""
        return self._table.initial_send_window

    @property
    def round_trip(self) -> float:
        """Seconds, 0 when unknown. The connection measures it; the growth of receive windows depends on it."""
        return self._table.round_trip

    @round_trip.setter
    def round_trip(self, seconds: float) -> None:
        self._table.round_trip = seconds

    def peer_settings(self) -> dict[str, int]:
        """The peer's settings in force, by their names in RFC 9113 and 8441."""
        return self._exchange.named()

    # What the connection and its streams send.

    def start(self) -> None:
        """Queue what a client sends first."""
        self._queue.control += self._exchange.preface(self._limits)

    def open(self, stream: StreamState, head: RequestHead, end_stream: bool) -> None:
        """Send a request's HEADERS on a new stream. The caller has made sure that there is a slot."""
        block = request_block(*head[:6])  # HTTP/2 need not know that trailers follow
        allowed = self._exchange.max_header_list_size
        if allowed is not None and (size := list_size(block)) > allowed:
            raise LocalProtocolError(
                f"the request's headers take {size} bytes, and the server allows {allowed} (MAX_HEADER_LIST_SIZE)"
            )
        self._table.add(stream, end_stream)
        self.exhausted = self._table.next_id > frames.MAX_STREAM_ID
        encoded = self._encoder.encode_block(block)
        if len(encoded) > _LARGE_BLOCK:
            self.large_id = stream.id
        self._queue.control += frames.header_block(stream.id, encoded, end_stream, self._queue.frame_size)

    def send(self, stream: StreamState, data: bytes | memoryview) -> None:
        """Queue bytes of a stream's body; they leave as the peer's windows allow."""
        if data:
            stream.queue(data)
            self._queue.ready(stream)

    def end(self, stream: StreamState, trailers: RawFields | None = None) -> None:
        """END_STREAM after what is queued, on the last DATA or with the trailers."""
        stream.end_queued = True
        stream.trailers = trailers
        if not stream.out_size:
            self._queue.end(stream)
            self._table.end_local(stream)

    def ping(self, payload: bytes) -> None:
        self._queue.control += frames.frame(frames.PING, 0, 0, payload)

    def goaway(self, code: int, debug: bytes = b"") -> None:
        # The peer opens no streams (push is disabled), so the last one that we handled is 0.
        self._queue.control += frames.goaway(0, code, debug[:200])

    def produce(self, limit: int) -> tuple[bytes, bool]:
        """The next bytes to write, about `limit` of them."""
        self._guard.owed = 0
        return self._queue.produce(limit, self._table)

    # What the peer sent.

    def receive_end(self, end: TransportEnd) -> None:
        """Nothing to do: every body has an explicit end in HTTP/2."""

    def _settings_changed(self) -> None:
        self._queue.frame_size = self._exchange.frame_size
        self._table.set_initial_send_window(self._exchange.initial_window)
        self.max_streams = self._bounded(self._exchange.max_streams)
        self.settings_received = True
        self.can_connect = self._exchange.can_connect
        self._observer.on_settings()

    def _bounded(self, max_streams: int) -> int:
        """The peer's MAX_CONCURRENT_STREAMS, or our bound if that is lower."""
        ours = self._limits.max_streams
        return max_streams if ours is None else min(max_streams, ours)

    def _end_with(self, fault: H2WSError, code: int, debug: bytes) -> None:
        self.goaway(code, debug)
        self.fault = fault
