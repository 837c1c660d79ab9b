"""HTTP/1.1 as an engine with one stream: h11 does the protocol, and this module gives it an engine's interface.

One exchange at a time (no pipelining). A stream that ends normally leaves the connection ready for the next one. One
that is given up ends the connection, because HTTP/1.1 can't end an exchange alone.

Back-pressure, without windows. While the application has not taken `Limits.stream_window` bytes of a response that is
not complete yet, `paused` is true and the reader stops reading, so TCP slows the peer down. What is unread of a
complete response holds back nothing: no more of it will come, and the next exchange may begin.

A body without a length or chunks ends with the connection. With TLS, close_notify shows that this end is not a cut,
but many servers omit it. Such a body is delivered if the last TLS record is whole, and marked: `may_be_truncated`.

Upgrade (RFC 9110, section 7.8). After 101 the bytes are the WebSocket's: they pass to and from the stream unchanged.

A server may close an idle connection just as we send on it. Whether the request is then sent again is not decided
here: the stream knows that the connection was used before (`reused`), and that no byte has come (`answered`).
"""

from __future__ import annotations

import h11

from ..._config import Limits
from ..._errors import (
    ErrorCode,
    H2WSError,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
)
from ..._http.first_bytes import wrong_protocol
from ..._http.headers import RawFields
from ..._http.response_heads import ResponseHeads
from ..engine import Observer, RequestHead, TransportEnd
from ..guard import end_with_bug, guarded, observed
from ..stream_state import StreamState
from .faults import fault_of
from .keep_alive import KeepAlive
from .request_head import Forward, request_event


class H1Engine:
    """One HTTP/1.1 client connection."""

    protocol = "HTTP/1.1"
    can_ping = False
    can_connect = False
    settings_received = True
    max_streams = 1
    newest_id = 0
    large_id = 0

    def __init__(
        self, observer: Observer, limits: Limits, forward: Forward | None = None, *, in_clear: bool = False
    ) -> None:
        self._observer = observer
        self._in_clear = in_clear
        self._forward = forward
        self._limits = limits
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.max_header_list_size)
        self._heads = ResponseHeads(limits.max_header_list_size)
        self._keep_alive = KeepAlive()
        self.streams: dict[int, StreamState] = {}
        self._stream: StreamState | None = None
        self._answered = False  # a response has come on this connection
        self._out = bytearray()
        self._switched = False
        self._switching = False
        self._has_body = False
        self._chunked = False
        self._trailers: RawFields = []
        self._unread = 0  # of the exchange in progress, while its response is not complete
        self.exhausted = False  # this connection takes no further exchange
        self.end_hint = ""
        self.fault: H2WSError | None = None
        self.bytes_received = 0
        self.bytes_sent = 0
        self.round_trip = 0.0

    @property
    def has_output(self) -> bool:
        return bool(self._out) or (self._stream is not None and self._stream.out_size > 0)

    @property
    def paused(self) -> bool:
        return self._unread >= self._limits.stream_window

    @property
    def idle_timeout(self) -> float | None:
        return self._keep_alive.timeout

    def peer_settings(self) -> dict[str, int]:
        return {}

    def start(self) -> None:
        """Nothing to send: HTTP/1.1 begins with the first request."""

    def ping(self, payload: bytes) -> None:
        """HTTP/1.1 does not have pings."""

    def goaway(self, code: int, debug: bytes = b"") -> None:
        """HTTP/1.1 sends nothing before it closes."""

    # What the stream sends.

    def open(self, stream: StreamState, head: RequestHead, end_stream: bool) -> None:
        self._heads.start()
        self._keep_alive.on_request()
        self._trailers = []
        self._stream = stream
        self._switching = head.protocol is not None
        stream.id = 0
        stream.reused = self._answered
        stream.local_ended = end_stream
        self.streams[0] = stream
        self._has_body = head.protocol is None and not end_stream
        sized = not head.trailers and any(name == b"content-length" for name, _ in head.fields)
        self._chunked = self._has_body and not sized
        try:
            self._emit(request_event(head, self._forward, chunked=self._chunked))
            if end_stream or head.protocol is not None:
                self._emit(h11.EndOfMessage())
        except h11.LocalProtocolError as error:
            # Nothing of it has left, but h11 is in its error state now: the connection ends unused.
            self._out.clear()
            self.streams.clear()
            self._stream = None
            self.exhausted = True
            raise LocalProtocolError(f"the request can't be sent over HTTP/1.1: {error}") from error

    def _emit(self, event: h11.Event) -> None:
        data = self._h11.send(event)
        if data:
            self._out += data

    def send(self, stream: StreamState, data: bytes | memoryview) -> None:
        if data:
            stream.queue(data)

    def end(self, stream: StreamState, trailers: RawFields | None = None) -> None:
        stream.end_queued = True
        stream.trailers = trailers
        if not stream.out_size:
            self._finish_request(stream)

    def _finish_request(self, stream: StreamState) -> None:
        stream.local_ended = True
        try:
            self._emit(h11.EndOfMessage(headers=stream.trailers or []))
        except h11.LocalProtocolError:
            self._give_up("the request's body is shorter than its Content-Length")
            return
        self._look_for_end()

    def reset(self, stream: StreamState, code: int) -> None:
        """HTTP/1.1 can't end one exchange alone: the connection ends with it."""
        if not stream.closed:
            self._close(stream)
            self.exhausted = True
            error = RemoteProtocolError("the connection ended with its request", code)
            observed(self._observer, self._observer.on_unusable, error)

    def consume(self, stream: StreamState, n: int) -> bool:
        if stream is self._stream and not stream.remote_ended:
            self._set_unread(self._unread - n)
        return False

    def _set_unread(self, n: int) -> None:
        was_paused = self.paused
        self._unread = n
        if was_paused and not self.paused:
            observed(self._observer, self._observer.on_resume)

    def produce(self, limit: int) -> tuple[bytes, bool]:
        data, self._out = self._out, bytearray()
        stream = self._stream
        if stream is not None and not (self._switching and not self._switched):
            while stream.out_size and len(data) < limit:
                chunk = stream.out.popleft()
                if len(chunk) > limit:
                    view = memoryview(chunk)
                    stream.out.appendleft(view[limit:])
                    chunk = view[:limit]
                stream.out_size -= len(chunk)
                stream.sent_size += len(chunk)
                data += self._body(bytes(chunk))
            if not stream.out_size and stream.end_queued and not stream.local_ended:
                self._finish_request(stream)
                data += self._out
                self._out.clear()
            guarded(self, stream, stream.on_drained)
        self.bytes_sent += len(data)
        return bytes(data), self.has_output

    def _body(self, chunk: bytes) -> bytes:
        if self._switched:
            return chunk
        try:
            return self._h11.send(h11.Data(data=chunk)) or b""
        except h11.LocalProtocolError:
            self._give_up("the request's body is longer than its Content-Length")
            return b""

    # What the peer sent.

    def receive(self, data: bytes) -> None:
        self.bytes_received += len(data)
        stream = self._stream
        if self._switched:
            if stream is not None:
                self._deliver(stream, data)
            return
        if not (self._answered or self._heads.begun) and (wrong := wrong_protocol(data, "HTTP/1.1")) is not None:
            self.fault = RemoteProtocolError(wrong)
            self.fault.may_have_been_processed = False  # it can't have read the request
            return
        if stream is None or stream.remote_ended:
            self.fault = RemoteProtocolError("the server sent bytes that do not belong to any request")
            return
        data = self._heads.feed(data)
        stream.answered = self._heads.begun
        self._pass(stream, data)
        if self._heads.error is not None and self.fault is None:
            self.fault = fault_of(self._heads.error, self._limits)

    def _pass(self, stream: StreamState, data: bytes) -> None:
        if not data:
            return
        try:
            self._h11.receive_data(data)
            self._events(stream)
        except h11.RemoteProtocolError as error:
            self.fault = fault_of(error, self._limits)

    def receive_end(self, end: TransportEnd) -> None:
        stream = self._stream
        self.exhausted = True
        if self._in_clear and not (self._answered or self._heads.begun):
            self.end_hint = " without an answer; if this port is for TLS, use https:// (or wss://)"
        if stream is None or stream.remote_ended or (end is TransportEnd.BROKEN and not self._has_body):
            return
        if self._switched:
            self._close(stream)
            stream.remote_ended = True
            guarded(self, stream, stream.on_end, None)
            return
        if end is not TransportEnd.CLEAN and stream.responded:
            self.end_hint = f" {end.value}, in the middle of a body: it may be incomplete"
        # After an answer in the middle of an upload, a server closes the connection with bytes unread, and the client
        # gets a reset instead of an end.
        may_end = end is TransportEnd.CLEAN or (stream.responded and end is not TransportEnd.INSIDE_RECORD)
        if not self._heads.begun or not may_end:
            return  # the connection reports the error
        stream.may_be_truncated = end is not TransportEnd.CLEAN
        try:
            if held := self._heads.end():
                self._h11.receive_data(held)
            self._h11.receive_data(b"")
            self._events(stream)
        except h11.RemoteProtocolError as error:
            stream.may_be_truncated = False
            if end is TransportEnd.CLEAN:
                self.fault = fault_of(error, self._limits)

    def _events(self, stream: StreamState) -> None:
        while True:
            event = self._h11.next_event()
            if isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    self._switch(stream, event)
                    return
                stream.informational += 1
                if stream.informational > self._limits.max_informational:
                    self.fault = LimitExceeded("max_informational", self._limits.max_informational)
                    return
                guarded(self, stream, stream.on_informational, event.status_code, list(event.headers))
            elif isinstance(event, h11.Response):
                stream.responded = self._answered = True
                self._keep_alive.on_response(event.headers)
                guarded(self, stream, stream.on_response, event.status_code, list(event.headers))
            elif isinstance(event, h11.Data):
                self._deliver(stream, bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                stream.remote_ended = True
                self._set_unread(0)
                self._trailers = list(event.headers)
                self._look_for_end()
                guarded(self, stream, stream.on_end, self._trailers or None)
                return
            else:
                return
            if stream.closed:
                return

    def _deliver(self, stream: StreamState, data: bytes) -> None:
        self._unread += len(data)
        try:
            stream.on_data(data)
        except Exception as bug:
            end_with_bug(self, stream, bug)

    def _switch(self, stream: StreamState, event: h11.InformationalResponse) -> None:
        self._switched = True
        stream.responded = True
        guarded(self, stream, stream.on_response, 101, list(event.headers))
        rest, _ = self._h11.trailing_data
        if rest and not stream.closed:
            self._deliver(stream, rest)

    def _look_for_end(self) -> None:
        """If both sides have ended, the connection is ready for the next exchange, or exhausted."""
        stream = self._stream
        if stream is None or not (stream.local_ended and stream.remote_ended):
            return
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            # Unrequested bytes must not be taken for the response to the next request.
            unrequested = bool(self._h11.trailing_data[0]) or self._heads.holding
            self.exhausted = unrequested or self._heads.left_out or self._keep_alive.over
            self._h11.start_next_cycle()
        else:
            self.exhausted = True  # Connection: close, or a body that ends with the connection
        self._close(stream)

    def _give_up(self, message: str) -> None:
        self.fault = LocalProtocolError(message, ErrorCode.INTERNAL_ERROR)
        observed(self._observer, self._observer.on_unusable, self.fault)

    def _close(self, stream: StreamState) -> None:
        stream.closed = True
        if stream.out_size:
            stream.out.clear()
            stream.out_size = 0
        self.streams.clear()
        self._stream = None
        self._set_unread(0)
        observed(self._observer, self._observer.on_slot_free, stream)

    def abandon(self, error: H2WSError) -> None:
        stream = self._stream
        if stream is None:
            return
        self._stream = None
        self.streams.clear()
        stream.closed = True
        if stream.remote_ended:
            # The response is complete and remains valid: only the rest of the request is lost.
            guarded(self, stream, stream.on_drained)
        else:
            guarded(self, stream, stream.on_error, error)
