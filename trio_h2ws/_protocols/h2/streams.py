"""The streams of one connection: how they begin, get credit, and end.

A stream ends in one of these ways, each of which takes it out of the table and frees its slot:
- both sides have sent END_STREAM (`end_local`, `end_remote`);
- we send RST_STREAM (`reset`): the caller gave up, or the peer broke a rule (`fail`) or a bound (`exceed`);
- the peer sends RST_STREAM (`reset_by_peer`) or GOAWAY (`refuse_above`);
- the connection ends (`abandon`).

A stream that is over is forgotten at once; for the frames that still arrive for it see `closed_streams.py`.
"""

from __future__ import annotations

from collections.abc import Callable

from ..._config import Limits
from ..._errors import (
    ErrorCode,
    H2WSError,
    HTTP1Required,
    LimitExceeded,
    RemoteProtocolError,
    RequestNotProcessed,
    StreamReset,
)
from ..._http.headers import RawFields
from ..engine import Observer
from ..guard import guarded, observed
from ..receive_window import ReceiveWindow
from ..stream_state import StreamState
from . import frames
from .closed_streams import Arrival, ClosedStreams
from .flood_guard import FloodGuard
from .frames import FrameError, StreamError
from .send_queue import SendQueue


class StreamTable:
    __slots__ = (
        "_clock",
        "_closed",
        "_limits",
        "_observer",
        "answered",
        "guard",
        "initial_send_window",
        "next_id",
        "queue",
        "round_trip",
        "streams",
    )

    def __init__(
        self, observer: Observer, limits: Limits, clock: Callable[[], float], queue: SendQueue, guard: FloodGuard
    ) -> None:
        self._observer = observer
        self._limits = limits
        self._clock = clock
        self._closed = ClosedStreams()
        self.queue = queue
        self.guard = guard
        self.streams: dict[int, StreamState] = {}  # by id; the engine and the receiver hold this dict as well
        self.next_id = 1
        self.initial_send_window = 65535  # the peer's INITIAL_WINDOW_SIZE
        self.round_trip = 0.0  # seconds, 0 when unknown
        self.answered = False  # a response has come on this connection

    def add(self, stream: StreamState, local_ended: bool) -> None:
        """Give a new stream its id and its windows."""
        stream.id = self.next_id
        self.next_id += 2
        stream.send_window = self.initial_send_window
        stream.receive_window = ReceiveWindow(self._limits.stream_window)
        stream.local_ended = local_ended
        stream.reused = self.answered
        self.streams[stream.id] = stream

    # Credit.

    def consume(self, stream: StreamState, n: int) -> bool:
        """The application has taken `n` bytes: credit the stream. True if a WINDOW_UPDATE was queued."""
        window = stream.receive_window
        if not window.consume(n) or stream.closed or stream.remote_ended:
            return False
        increment = window.credit(self._clock(), self.round_trip, self._limits.max_stream_window)
        self.queue.control += frames.window_update(stream.id, increment)
        return True

    def set_initial_send_window(self, size: int) -> None:
        """A new INITIAL_WINDOW_SIZE changes the send windows of all open streams (RFC 9113, section 6.9.2)."""
        delta = size - self.initial_send_window
        if not delta:
            return
        self.initial_send_window = size
        for stream in self.streams.values():
            stream.send_window += delta
            if stream.send_window > frames.MAX_WINDOW:
                raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE overflows a stream's window")
            self.queue.ready(stream)

    # The ends of a stream.

    def end_local(self, stream: StreamState) -> None:
        """Our END_STREAM leaves."""
        stream.local_ended = True
        if stream.remote_ended:
            self._finish(stream)

    def end_remote(self, stream: StreamState, trailers: RawFields | None) -> None:
        """The peer's END_STREAM came."""
        if stream.content_left:
            raise StreamError(
                ErrorCode.PROTOCOL_ERROR, f"the body is {stream.content_left} bytes shorter than its content-length"
            )
        stream.remote_ended = True
        if stream.local_ended:
            self._finish(stream)
        guarded(self, stream, stream.on_end, trailers)

    def _finish(self, stream: StreamState) -> None:
        self._closed.finished(stream)
        self._close(stream)

    def reset(self, stream: StreamState, code: int) -> None:
        """Send RST_STREAM: the stream is over now, and the bytes that wait in it are dropped."""
        if not stream.closed:
            self.queue.control += frames.rst_stream(stream.id, code)
            self._closed.reset(stream)
            observed(self._observer, self._observer.on_reset)
            self._close(stream)

    def fail(self, stream: StreamState, error: StreamError) -> None:
        """The peer broke a rule on this stream."""
        self.reset(stream, error.code)
        self._tell(stream, RemoteProtocolError(f"the server broke HTTP/2 on this stream: {error}", error.code))

    def exceed(self, stream: StreamState, bound: str, limit: int) -> None:
        """The peer exceeded one of our bounds on this stream."""
        self.reset(stream, ErrorCode.ENHANCE_YOUR_CALM)
        self._tell(stream, LimitExceeded(bound, limit))

    def reset_by_peer(self, stream: StreamState, code: int) -> None:
        """The peer's RST_STREAM came."""
        if code == ErrorCode.ENHANCE_YOUR_CALM:
            observed(self._observer, self._observer.on_calm, stream)
        self._close(stream)
        if code == ErrorCode.REFUSED_STREAM and not stream.responded:
            self._tell(stream, RequestNotProcessed("the server refused the stream (REFUSED_STREAM)"))
        elif code == ErrorCode.HTTP_1_1_REQUIRED and not stream.responded:
            self._tell(stream, HTTP1Required("the server requires HTTP/1.1 for this request (HTTP_1_1_REQUIRED)"))
        else:
            self._lose(stream, StreamReset(code))

    def refuse_above(self, last_id: int, code: int) -> None:
        """The peer's GOAWAY came: it has not processed the streams above `last_id`, and never will."""
        for stream in [s for s in self.streams.values() if s.id > last_id]:
            if stream.closed:
                continue  # the connection was ended meanwhile
            self._close(stream)
            if code == ErrorCode.HTTP_1_1_REQUIRED:  # sending it again over HTTP/2 would not help
                self._lose(stream, HTTP1Required("the server requires HTTP/1.1 (GOAWAY with HTTP_1_1_REQUIRED)"))
            else:
                message = "the server ended the connection (GOAWAY) before it processed this request"
                error = RequestNotProcessed(message)
                error.error_code = code
                self._lose(stream, error)

    def abandon(self, error: H2WSError) -> None:
        """The connection has ended: end every stream. They share `error`, of which each waiter raises a copy."""
        streams = list(self.streams.values())
        self.streams.clear()
        for stream in streams:
            stream.closed = True
            self.queue.drop(stream)
            self._lose(stream, error)

    def _lose(self, stream: StreamState, error: H2WSError) -> None:
        """The peer, or the transport, has ended the stream."""
        if stream.remote_ended:
            # The response is complete and remains valid (RFC 9113, section 8.1): only the rest of the request is
            # lost. The task that waits for the response may not have run since it came, so with an error here the
            # scheduler would decide which of the two it gets.
            guarded(self, stream, stream.on_drained)
        else:
            self._tell(stream, error)

    def _tell(self, stream: StreamState, error: H2WSError) -> None:
        guarded(self, stream, stream.on_error, error)

    def _close(self, stream: StreamState) -> None:
        stream.closed = True
        self.queue.drop(stream)
        del self.streams[stream.id]
        observed(self._observer, self._observer.on_slot_free, stream)

    # Streams that are not in the table.

    def frame_for_closed(self, stream_id: int, size: int = 0, *, allowed_after_end: bool = False) -> None:
        """A frame came for a stream that is not open, with `size` bytes of DATA: see `ClosedStreams.arrived`."""
        arrival = self._closed.arrived(stream_id, self.next_id, size, allowed_after_end)
        if arrival is Arrival.EXPECTED:
            return
        self.guard.spend()
        if arrival is Arrival.AFTER_END:
            self.guard.owe(13)
            self.queue.control += frames.rst_stream(stream_id, ErrorCode.STREAM_CLOSED)
