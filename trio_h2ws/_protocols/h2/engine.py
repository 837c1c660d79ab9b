"""The HTTP/2 engine of one connection: bytes in, hooks called; calls in, bytes out. No IO, no clock of its own.

Theory of operation
===================

h2 keeps what belongs to the connection: the preface, both sides' SETTINGS with their acknowledgements, and the two
HPACK contexts with their table sizes. Streams are ours. There h2 answers a fault of one stream by ending the
connection (RFC 9113 says: reset that stream), credits the two kinds of window together, walks all streams to open
one, and costs 8 to 25 microseconds a frame. So each frame is handled by the one of these methods that is named
after its type, and only SETTINGS reaches h2 (`settings.py`).

Three ways for a frame to be wrong:
- `FrameError`: a connection error. GOAWAY with its code is queued, `fault` is set, nothing more is read.
- `_StreamError`: RST_STREAM with its code is queued, and that stream's user gets a RemoteProtocolError.
- not wrong, but useless (PING, an unknown frame, an empty DATA): each takes from an allowance that time and real
  data give back. Who spends it all gets GOAWAY(ENHANCE_YOUR_CALM).

Streams that are over are forgotten at once. Frames that were in flight for them are credited to the connection
and dropped (`late.py`).

Everything here is synchronous, so there is no moment in which two tasks could be in it: no lock.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ..._config import Limits
from ..._errors import (
    ErrorCode,
    H2WSError,
    HTTP1Required,
    HTTP2NotAvailable,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    RequestNotProcessed,
    StreamReset,
)
from ..._http.headers import RawFields
from ..engine import Observer, RequestHead
from ..receive_window import ReceiveWindow
from ..stream_state import StreamState
from ..token_bucket import TokenBucket
from . import frames
from .closed_streams import Late, LateFrames
from .frames import FrameError, NotHTTP2
from .header_blocks import Fields, HeaderBlocks
from .header_compression import BlockDecoder, BlockEncoder
from .header_lists import Malformed, check_response, check_trailers, list_size, request_block
from .send_queue import SendQueue
from .settings import SettingsExchange

_SETTINGS_WEIGHT = 192  # a SETTINGS frame with more than 32 settings counts as several frames
_STATUS_WITHOUT_BODY = (204, 304)


class _StreamError(Exception):
    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class H2Engine:
    """One client connection. Call `receive` with what was read, write what `produce` gives."""

    protocol = "HTTP/2"
    can_ping = True
    paused = False  # streams have windows of their own
    end_hint = ""

    def __init__(self, observer: Observer, limits: Limits, clock: Callable[[], float]) -> None:
        self._observer = observer
        self._limits = limits
        self._clock = clock
        self._encoder, decoder = BlockEncoder(), BlockDecoder(limits.max_header_list_size)
        self._exchange = SettingsExchange(self._encoder, decoder)
        self._blocks = HeaderBlocks(decoder, limits)
        self._splitter = frames.FrameSplitter()
        self._queue = SendQueue(lambda fields: self._encoder.encode_block([*fields]))
        self.streams: dict[int, StreamState] = {}
        self._next_id = 1
        self._late_frames = LateFrames()
        self._window = ReceiveWindow(limits.connection_window, clock())
        self._idle = TokenBucket(limits.max_idle_frames, limits.idle_frames_per_second, clock)
        self._owed = 0
        self._largest_last_id = frames.MAX_STREAM_ID
        self.initial_send_window = 65535
        self.settings_received = False
        self.can_connect = False  # the first SETTINGS carried ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441, section 3)
        self.fault: H2WSError | None = None  # the connection must end with this
        self.bytes_received = 0
        self.data_received = 0
        self.round_trip = 0.0  # seconds, 0 when unknown; the connection measures it
        self._handlers = (
            self._data,
            self._headers,
            self._priority,
            self._rst_stream,
            self._settings,
            self._push_promise,
            self._ping,
            self._goaway,
            self._window_update,
            self._continuation,
        )

    # What the connection asks.

    @property
    def has_output(self) -> bool:
        return self._queue.has_output

    @property
    def bytes_sent(self) -> int:
        return self._queue.bytes_sent

    @property
    def max_streams(self) -> int:
        """How many streams we may have open: the peer's MAX_CONCURRENT_STREAMS, and our own bound."""
        theirs = self._exchange.max_streams
        ours = self._limits.max_streams
        return theirs if ours is None else min(theirs, ours)

    @property
    def exhausted(self) -> bool:
        """The stream ids have run out (RFC 9113, section 5.1.1)."""
        return self._next_id > frames.MAX_STREAM_ID

    def peer_settings(self) -> dict[str, int]:
        """The peer's settings in force, by their names in RFC 9113 and 8441."""
        return self._exchange.named()

    # What the connection says.

    def start(self) -> None:
        """Queue what a client says first."""
        self._queue.control += self._exchange.preface(self._limits)

    def open(self, stream: StreamState, head: RequestHead, end_stream: bool) -> None:
        """Send a request's HEADERS on a new stream. The caller has seen to it that there is a slot."""
        block = request_block(*head)
        allowed = self._exchange.max_header_list_size
        if allowed is not None and (size := list_size(block)) > allowed:
            raise LocalProtocolError(f"the request's headers take {size} bytes, and the server allows {allowed}")
        stream.id = self._next_id
        self._next_id += 2
        stream.send_window = self.initial_send_window
        stream.receive_window = ReceiveWindow(self._limits.stream_window, 0.0)
        stream.local_ended = end_stream
        self.streams[stream.id] = stream
        encoded = self._encoder.encode_block(block)
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
            self._local_end(stream)

    def reset(self, stream: StreamState, code: int) -> None:
        """RST_STREAM: the stream is over now. Bytes that wait are dropped; unread ones cost nothing more."""
        if not stream.closed:
            self._queue.control += frames.rst_stream(stream.id, code)
            self._late_frames.expect(stream)
            self._close(stream)

    def consume(self, stream: StreamState, n: int) -> bool:
        """The application took `n` bytes: credit for the stream. True when a WINDOW_UPDATE was queued for it."""
        window = stream.receive_window
        if not window.consume(n) or stream.closed or stream.remote_ended:
            return False
        increment = window.credit(self._clock(), self.round_trip, self._limits.max_stream_window)
        self._queue.control += frames.window_update(stream.id, increment)
        return True

    def ping(self, payload: bytes) -> None:
        self._queue.control += frames.frame(frames.PING, 0, 0, payload)

    def receive_end(self, truncated: bool) -> None:
        """Every body has its own end in HTTP/2: the connection's says nothing about them."""

    def goaway(self, code: int, debug: bytes = b"") -> None:
        # The peer opened no streams (push is off), so the last one we handled is 0.
        self._queue.control += frames.goaway(0, code, debug[:200])

    def produce(self, limit: int) -> bytes:
        """The next bytes to write, about `limit` of them."""
        self._owed = 0
        return self._queue.produce(limit, self._local_end)

    def abandon(self, make_error: Callable[[StreamState], H2WSError]) -> None:
        """The connection is gone: end every stream with an error of its own."""
        streams = list(self.streams.values())
        self.streams.clear()
        for stream in streams:
            stream.closed = True
            self._queue.drop(stream)
            self._lose(stream, make_error(stream))

    # Bytes in.

    def receive(self, data: bytes) -> None:
        """Handle what was read. Afterwards `fault` tells whether the connection must end, and why."""
        self.bytes_received += len(data)
        handlers, blocks = self._handlers, self._blocks
        try:
            for kind, flags, stream_id, payload in self._splitter.feed(data):
                if blocks.stream_id and (kind != frames.CONTINUATION or stream_id != blocks.stream_id):
                    raise FrameError(ErrorCode.PROTOCOL_ERROR, "another frame inside a header block")
                if not self.settings_received and kind != frames.SETTINGS:
                    raise FrameError(ErrorCode.PROTOCOL_ERROR, "the server's first frame is not SETTINGS")
                if kind > frames.CONTINUATION:
                    self._spend_idle()
                    continue
                try:
                    handlers[kind](flags, stream_id, payload)
                except _StreamError as error:
                    self._fail(self.streams[stream_id], error)
        except NotHTTP2 as error:
            self.goaway(error.code)
            self.fault = HTTP2NotAvailable("refused", "the server answered in HTTP/1.1")
        except FrameError as error:
            self.goaway(error.code, error.message.encode())
            self.fault = RemoteProtocolError(f"the server broke HTTP/2: {error.message}", error.code)
        except LimitExceeded as error:
            self.goaway(ErrorCode.ENHANCE_YOUR_CALM, str(error).encode())
            self.fault = error

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        window = self._window
        if not window.receive(size):
            raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window")
        # The connection's window is credited on receipt: what is unread is held by its stream's window alone.
        if window.consume(size):
            increment = window.credit(0.0, 0.0, 0)
            self._queue.control += frames.window_update(0, increment)
        if flags & frames.PADDED:
            payload = frames.strip_padding(flags, payload)
        stream = self.streams.get(stream_id)
        if stream is None:
            self._late(stream_id, size)
            return
        if not stream.receive_window.receive(size):
            raise _StreamError(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream's window")
        if stream.remote_ended:
            raise _StreamError(ErrorCode.STREAM_CLOSED, "DATA after the end of the response")
        if not stream.responded:
            raise _StreamError(ErrorCode.PROTOCOL_ERROR, "DATA before the response's headers")
        if flags & frames.PADDED:
            self.consume(stream, size - len(payload))
        if payload:
            self._idle.earn(2)
            self.data_received += len(payload)
            if stream.content_left is not None:
                stream.content_left -= len(payload)
                if stream.content_left < 0:
                    raise _StreamError(ErrorCode.PROTOCOL_ERROR, "the body is longer than its content-length")
            stream.on_data(payload)
            if stream.closed:  # the hook may have ended it
                return
        elif not flags & frames.END_STREAM:
            self._spend_idle()
        if flags & frames.END_STREAM:
            self._remote_end(stream, None)

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._blocks.headers(flags, stream_id, payload)
        if block is not None:
            self._header_list(stream_id, *block)

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._blocks.continuation(flags, payload)
        if block is not None:
            self._header_list(stream_id, *block)

    def _header_list(self, stream_id: int, flags: int, fields: Fields) -> None:
        stream = self.streams.get(stream_id)
        if stream is None:
            self._late(stream_id)
            return
        if stream.remote_ended:
            raise _StreamError(ErrorCode.STREAM_CLOSED, "HEADERS after the end of the response")
        ends = bool(flags & frames.END_STREAM)
        try:
            if stream.responded:
                trailers = check_trailers(fields)
                if not ends:
                    raise Malformed("trailers without END_STREAM, or a second response")
                self._remote_end(stream, trailers)
                return
            status, length, rest = check_response(fields)
            if status < 200:
                if ends or status == 101:
                    raise Malformed("101 in HTTP/2" if status == 101 else "a 1xx response that ends the stream")
                stream.informational += 1
                if stream.informational > self._limits.max_informational:
                    self._limit(stream, "max_informational", self._limits.max_informational)
                    return
                stream.on_informational(status, rest)
                return
        except Malformed as error:
            raise _StreamError(ErrorCode.PROTOCOL_ERROR, str(error)) from None
        stream.responded = True
        self._idle.earn(2)
        if stream.is_head or status in _STATUS_WITHOUT_BODY:
            stream.content_left = 0
        elif not (stream.is_connect and status < 300):  # RFC 9110, section 9.3.6: ignored in a 2xx to CONNECT
            stream.content_left = length
        stream.on_response(status, rest)
        if ends and not stream.closed:
            self._remote_end(stream, None)

    def _remote_end(self, stream: StreamState, trailers: RawFields | None) -> None:
        if stream.content_left:
            raise _StreamError(
                ErrorCode.PROTOCOL_ERROR, f"the body is {stream.content_left} bytes shorter than its content-length"
            )
        stream.remote_ended = True
        if stream.local_ended:
            self._finish(stream)
        stream.on_end(trailers)

    def _local_end(self, stream: StreamState) -> None:
        stream.local_ended = True
        if stream.remote_ended:
            self._finish(stream)

    def _priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id == 0:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._spend_idle()
        if len(payload) != 5 and stream_id in self.streams:
            raise _StreamError(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY of a wrong length")

    def _rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM of a wrong length")
        stream = self.streams.get(stream_id)
        if stream is None:
            self._late(stream_id, harmless=True)
            return
        code = int.from_bytes(payload, "big")
        self._close(stream)
        if code == ErrorCode.REFUSED_STREAM and not stream.responded:
            stream.on_error(RequestNotProcessed("the server refused the stream (REFUSED_STREAM)"))
        elif code == ErrorCode.HTTP_1_1_REQUIRED and not stream.responded:
            stream.on_error(HTTP1Required("the server wants HTTP/1.1 for this (HTTP_1_1_REQUIRED)"))
        else:
            self._lose(stream, StreamReset(code))

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS of a wrong length")
        first = not self.settings_received
        if flags & frames.ACK:
            if first:
                raise FrameError(ErrorCode.PROTOCOL_ERROR, "the server acknowledges SETTINGS before sending its own")
            self._spend_idle()
            self._exchange.acknowledged()
            return
        for _ in range(len(payload) // _SETTINGS_WEIGHT + (not first)):
            self._spend_idle()
        self._owe(9)
        self._queue.control += self._exchange.receive(payload)
        self._apply_settings()
        if first:
            self.settings_received = True
            self.can_connect = self._exchange.can_connect
        self._observer.on_settings()

    def _apply_settings(self) -> None:
        self._queue.frame_size = self._exchange.frame_size
        delta = self._exchange.initial_window - self.initial_send_window
        if delta:
            # The one walk over all streams: it changes the windows of all (RFC 9113, section 6.9.2).
            self.initial_send_window = self._exchange.initial_window
            for stream in self.streams.values():
                stream.send_window += delta
                if stream.send_window > frames.MAX_WINDOW:
                    raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE overflows a stream's window")
                self._queue.ready(stream)

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise FrameError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, although we switched push off")

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "PING of a wrong length")
        self._spend_idle()
        if flags & frames.ACK:
            self._observer.on_ping_ack(payload)
        else:
            self._owe(17)
            self._queue.control += frames.frame(frames.PING, frames.ACK, 0, payload)

    def _goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY of a wrong length")
        self._spend_idle()
        last_id, code = struct.unpack_from(">LL", payload)
        # It must not grow; if it does, the streams between are gone already.
        self._largest_last_id = last_id = min(last_id & frames.MAX_STREAM_ID, self._largest_last_id)
        self._observer.on_goaway(last_id, code, payload[8:])
        # Ids grow, so those that were not processed stand at the table's end.
        for stream in [s for s in self.streams.values() if s.id > last_id]:
            self._close(stream)
            if code == ErrorCode.HTTP_1_1_REQUIRED:  # nor will it ever look at it over HTTP/2
                self._lose(stream, HTTP1Required("the server wants HTTP/1.1 (GOAWAY with HTTP_1_1_REQUIRED)"))
            else:
                message = "the server went away (GOAWAY) before it looked at this stream"
                self._lose(stream, RequestNotProcessed(message))

    def _window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE of a wrong length")
        increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        queue = self._queue
        if queue.updates_expected > 0:
            queue.updates_expected -= 1
        elif stream_id == 0 or stream_id in self.streams:
            self._spend_idle()
        if stream_id == 0:
            if increment == 0:
                raise FrameError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            queue.window += increment
            if queue.window > frames.MAX_WINDOW:
                raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window overflows")
            return
        stream = self.streams.get(stream_id)
        if stream is None:
            self._late(stream_id, harmless=True)
            return
        if increment == 0:
            raise _StreamError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            raise _StreamError(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window overflows")
        queue.ready(stream)

    # Faults and ends.

    def _late(self, stream_id: int, size: int = 0, *, harmless: bool = False) -> None:
        """A frame for a stream that is not in the table."""
        late = self._late_frames.arrived(stream_id, self._next_id, size, harmless)
        if late is Late.EXPECTED:
            return
        self._spend_idle()
        if late is Late.AFTER_END:
            self._owe(13)
            self._queue.control += frames.rst_stream(stream_id, ErrorCode.STREAM_CLOSED)

    def _fail(self, stream: StreamState, error: _StreamError) -> None:
        self.reset(stream, error.code)
        stream.on_error(RemoteProtocolError(f"the server broke HTTP/2 on this stream: {error}", error.code))

    def _limit(self, stream: StreamState, bound: str, limit: int) -> None:
        self.reset(stream, ErrorCode.ENHANCE_YOUR_CALM)
        stream.on_error(LimitExceeded(bound, limit))

    def _lose(self, stream: StreamState, error: H2WSError) -> None:
        """The peer, or the transport, has ended the stream."""
        if stream.remote_ended:
            # The response is whole, and stands (RFC 9113, section 8.1): only the rest of the request is lost. Who
            # waits for the response may not have run since, so an error now would decide by chance.
            stream.on_drained()
        else:
            stream.on_error(error)

    def _finish(self, stream: StreamState) -> None:
        """Both sides said END_STREAM."""
        self._late_frames.finished(stream)
        self._close(stream)

    def _close(self, stream: StreamState) -> None:
        stream.closed = True
        self._queue.drop(stream)
        del self.streams[stream.id]
        self._observer.on_slot_free(stream)

    def _spend_idle(self) -> None:
        if not self._idle.spend():
            bound = self._limits.max_idle_frames
            raise LimitExceeded("max_idle_frames", bound, "the server floods us with frames that carry nothing")

    def _owe(self, n: int) -> None:
        self._owed += n
        if self._owed > self._limits.max_owed_bytes:
            message = "the server makes us owe more answers than can leave"
            raise LimitExceeded("max_owed_bytes", self._limits.max_owed_bytes, message)
