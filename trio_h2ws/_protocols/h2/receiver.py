"""The receiving half of HTTP/2: bytes in, hooks of streams and of the observer called.

Each frame is handled by the method that is named after its type.

What happens for a frame that is wrong, or too much:
- `FrameError`, a connection error: GOAWAY with its code is queued, and nothing more is read.
- `StreamError`: RST_STREAM with its code is queued, and the stream gets a RemoteProtocolError.
- Not wrong, but useless (PING, an unknown frame, an empty DATA): it takes a token from a bucket that time and real
  data refill (`flood_guard.py`). A peer that empties the bucket gets GOAWAY(ENHANCE_YOUR_CALM).
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from ..._config import Limits
from ..._errors import ErrorCode, H2WSError, HTTP2NotAvailable, LimitExceeded, RemoteProtocolError
from ..._http.first_bytes import is_tls, wrong_protocol
from ..._http.headers import RawFields
from ..engine import Observer
from ..guard import end_with_bug, guarded
from ..receive_window import ReceiveWindow
from . import frames
from .frames import FrameError, NotHTTP2, StreamError
from .header_blocks import Fields, HeaderBlocks
from .header_lists import Malformed, check_response, check_trailers
from .settings import SettingsExchange
from .streams import StreamTable

_SETTINGS_WEIGHT = 192  # a SETTINGS frame with more than 32 settings counts as several frames
_STATUS_WITHOUT_BODY = (204, 304)


class H2Receiver:
    """Call `receive` with what was read.

    `on_settings()` is called when new SETTINGS of the peer are in force, `on_fault(error, code, debug)` when the
    connection must end: `error` is for its streams, `code` and `debug` are for GOAWAY.
    """

    def __init__(
        self,
        observer: Observer,
        limits: Limits,
        table: StreamTable,
        exchange: SettingsExchange,
        blocks: HeaderBlocks,
        on_settings: Callable[[], None],
        on_fault: Callable[[H2WSError, int, bytes], None],
    ) -> None:
        self._observer = observer
        self._limits = limits
        self._table = table
        self._exchange = exchange
        self._blocks = blocks
        self._on_settings = on_settings
        self._on_fault = on_fault
        self._splitter = frames.FrameSplitter(self._room)
        self._streams = table.streams
        self._queue = table.queue
        self._spend = table.guard.spend
        self._earn = table.guard.earn
        self._owe = table.guard.owe
        self._largest_last_id = frames.MAX_STREAM_ID
        self.window = ReceiveWindow(limits.connection_window, 0.0)  # the connection's
        # Many responses in a row have the same header block, and their fields are the same object then.
        self._latest: Fields = ()
        self._checked: tuple[int, int | None, RawFields] = (0, None, [])
        self.bytes_received = 0
        self.data_received = 0
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

    def receive(self, data: bytes) -> None:
        """Handle what was read."""
        self.bytes_received += len(data)
        handlers, blocks, exchange = self._handlers, self._blocks, self._exchange
        if not exchange.received and is_tls(data):  # an alert: shorter than a frame's header
            fault = RemoteProtocolError(wrong_protocol(data, "HTTP/2") or "")
            fault.may_have_been_processed = False
            self._on_fault(fault, ErrorCode.PROTOCOL_ERROR, b"")
            return
        try:
            for kind, flags, stream_id, payload in self._splitter.feed(data):
                if blocks.stream_id and (kind != frames.CONTINUATION or stream_id != blocks.stream_id):
                    raise FrameError(ErrorCode.PROTOCOL_ERROR, "another frame inside a header block")
                if not exchange.received and kind != frames.SETTINGS:
                    raise FrameError(ErrorCode.PROTOCOL_ERROR, "the server's first frame is not SETTINGS")
                if kind > frames.CONTINUATION:
                    self._spend()
                    continue
                try:
                    handlers[kind](flags, stream_id, payload)
                except StreamError as error:
                    self._table.fail(self._streams[stream_id], error)
        except NotHTTP2 as error:
            self._on_fault(HTTP2NotAvailable("refused", "the server answered in HTTP/1.1"), error.code, b"")
        except FrameError as error:
            wrong = None if exchange.received else wrong_protocol(data, "HTTP/2")
            fault = RemoteProtocolError(wrong or f"the server broke HTTP/2: {error.message}", error.code)
            fault.may_have_been_processed = wrong is None
            self._on_fault(fault, error.code, error.message.encode())
        except LimitExceeded as error:
            self._on_fault(error, ErrorCode.ENHANCE_YOUR_CALM, str(error).encode())

    # Frames of streams.

    def _room(self, stream_id: int) -> int:
        """How many bytes of DATA may come now."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.remote_ended or not stream.responded:
            return 0
        room = min(self.window.left, stream.receive_window.left)
        return room if stream.content_left is None else min(room, stream.content_left)

    def _data(self, flags: int, stream_id: int, payload: bytes) -> None:
        size = len(payload)
        window = self.window
        if not window.receive(size):
            raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the connection's window")
        # The connection's window is credited on receipt: unread bytes are bounded by their stream's window alone.
        if window.consume(size):
            increment = window.credit(0.0, 0.0, 0)
            self._queue.control += frames.window_update(0, increment)
        if flags & frames.PADDED:
            payload = frames.strip_padding(flags, payload)
        stream = self._streams.get(stream_id)
        if stream is None:
            self._table.frame_for_closed(stream_id, size)
            return
        if not stream.receive_window.receive(size):
            raise StreamError(ErrorCode.FLOW_CONTROL_ERROR, "DATA beyond the stream's window")
        if stream.remote_ended:
            raise StreamError(ErrorCode.STREAM_CLOSED, "DATA after the end of the response")
        if not stream.responded:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "DATA before the response's headers")
        if flags & frames.PADDED:
            self._table.consume(stream, size - len(payload))
        if payload:
            self._earn(2)
            self.data_received += len(payload)
            if stream.content_left is not None:
                stream.content_left -= len(payload)
                if stream.content_left < 0:
                    raise StreamError(ErrorCode.PROTOCOL_ERROR, "the body is longer than its content-length")
            try:
                stream.on_data(payload)
            except Exception as bug:  # not `guarded`: that would cost a call for every message
                end_with_bug(self._table, stream, bug)
            if stream.closed:  # the hook may have ended it
                return
        elif not flags & frames.END_STREAM:
            self._spend()
        if flags & frames.END_STREAM:
            self._table.end_remote(stream, None)

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._blocks.headers(flags, stream_id, payload)
        if block is not None:
            self._header_list(stream_id, *block)
        elif (stream := self._streams.get(stream_id)) is not None:
            stream.answered = True

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        block = self._blocks.continuation(flags, payload)
        if block is not None:
            self._header_list(stream_id, *block)

    def _header_list(self, stream_id: int, flags: int, fields: Fields) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            self._table.frame_for_closed(stream_id)
            return
        if stream.remote_ended:
            raise StreamError(ErrorCode.STREAM_CLOSED, "HEADERS after the end of the response")
        stream.answered = True
        ends = bool(flags & frames.END_STREAM)
        try:
            if stream.responded:
                trailers = check_trailers(fields)
                if not ends:
                    raise Malformed("trailers without END_STREAM, or a second response")
                self._table.end_remote(stream, trailers)
                return
            if fields is not self._latest:
                self._checked = check_response(fields)
                self._latest = fields
            status, length, rest = self._checked
            if status < 200:
                if ends or status == 101:
                    raise Malformed("101 in HTTP/2" if status == 101 else "a 1xx response that ends the stream")
                stream.informational += 1
                if stream.informational > self._limits.max_informational:
                    self._table.exceed(stream, "max_informational", self._limits.max_informational)
                    return
                guarded(self._table, stream, stream.on_informational, status, rest)
                return
        except Malformed as error:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, str(error)) from None
        except StreamError:
            raise
        except Exception as bug:
            end_with_bug(self._table, stream, bug)
            return
        stream.responded = self._table.answered = True
        self._earn(2)
        if stream.is_head or status in _STATUS_WITHOUT_BODY:
            stream.content_left = 0
        elif not (stream.is_connect and status < 300):  # RFC 9110, section 9.3.6: ignored in a 2xx to CONNECT
            stream.content_left = length
        guarded(self._table, stream, stream.on_response, status, rest)
        if ends and not stream.closed:
            self._table.end_remote(stream, None)

    def _priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id == 0:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "PRIORITY on stream 0")
        self._spend()
        if len(payload) != 5 and stream_id in self._streams:
            raise StreamError(ErrorCode.FRAME_SIZE_ERROR, "PRIORITY with a wrong length")

    def _rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "RST_STREAM with a wrong length")
        stream = self._streams.get(stream_id)
        if stream is None:
            self._table.frame_for_closed(stream_id, allowed_after_end=True)
        else:
            self._table.reset_by_peer(stream, int.from_bytes(payload, "big"))

    # Frames of the connection, and WINDOW_UPDATE, which may concern either.

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "SETTINGS on a stream")
        if len(payload) % 6 or (flags & frames.ACK and payload):
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "SETTINGS with a wrong length")
        first = not self._exchange.received
        if flags & frames.ACK:
            if first:
                raise FrameError(ErrorCode.PROTOCOL_ERROR, "the server acknowledges SETTINGS before sending its own")
            self._spend()
            self._exchange.acknowledged()
            return
        for _ in range(len(payload) // _SETTINGS_WEIGHT + (not first)):
            self._spend()
        self._owe(9)
        self._queue.control += self._exchange.receive(payload)
        self._on_settings()

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise FrameError(ErrorCode.PROTOCOL_ERROR, "PUSH_PROMISE, although push is disabled")

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "PING on a stream")
        if len(payload) != 8:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "PING with a wrong length")
        self._spend()
        if flags & frames.ACK:
            self._observer.on_ping_ack(payload)
        else:
            self._owe(17)
            self._queue.control += frames.frame(frames.PING, frames.ACK, 0, payload)

    def _goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if stream_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "GOAWAY on a stream")
        if len(payload) < 8:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "GOAWAY with a wrong length")
        self._spend()
        last_id, code = struct.unpack_from(">LL", payload)
        # It must not grow; if it does, the streams between the two are over already.
        self._largest_last_id = last_id = min(last_id & frames.MAX_STREAM_ID, self._largest_last_id)
        self._observer.on_goaway(last_id, code, payload[8:])
        self._table.refuse_above(last_id, code)

    def _window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) != 4:
            raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "WINDOW_UPDATE with a wrong length")
        increment = int.from_bytes(payload, "big") & frames.MAX_WINDOW
        queue = self._queue
        if queue.updates_expected > 0:
            queue.updates_expected -= 1
        elif stream_id == 0 or stream_id in self._streams:
            self._spend()
        if stream_id == 0:
            if increment == 0:
                raise FrameError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            queue.window += increment
            if queue.window > frames.MAX_WINDOW:
                raise FrameError(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window overflows")
            return
        stream = self._streams.get(stream_id)
        if stream is None:
            self._table.frame_for_closed(stream_id, allowed_after_end=True)
            return
        if increment == 0:
            raise StreamError(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        stream.send_window += increment
        if stream.send_window > frames.MAX_WINDOW:
            raise StreamError(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window overflows")
        queue.ready(stream)
