"""HTTP/1.1 as an engine with one stream.

An exchange is carried by one of two lanes. The fast lane (`fast_lane.py`) has those that are simple, which nearly all
are; h11 has the others (`h11_lane.py`). Each exchange begins in the fast lane if its request allows that, and its
response is left to h11 as soon as it is not what the fast lane knows.

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

from collections.abc import Iterable

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
from ..engine import Observer, RequestHead, TransportEnd
from ..guard import end_with_bug, guarded, observed
from ..stream_state import StreamState
from .fast_lane import FastLane
from .h11_lane import H11Lane
from .keep_alive import KeepAlive
from .request_head import Forward
from .request_writer import RequestWriter


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
        self._limits = limits
        self._h11 = H11Lane(limits)
        self._lane = FastLane(limits.max_header_list_size)
        self._fast = False  # that lane reads the response; else h11 does
        self._requests = RequestWriter(self._h11, forward)
        self._head: RequestHead | None = None
        self._keep_alive = KeepAlive()
        self.streams: dict[int, StreamState] = {}
        self._stream: StreamState | None = None
        self._answered = False  # a response has come on this connection
        self._out = bytearray()
        self._switched = False
        self._switching = False
        self._has_body = False
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
        self._h11.start()
        self._keep_alive.on_request()
        self._stream = stream
        self._switching = head.protocol is not None
        stream.id = 0
        stream.reused = self._answered
        stream.local_ended = end_stream
        self.streams[0] = stream
        self._has_body = head.protocol is None and not end_stream
        try:
            self._out += self._requests.head(head, has_body=self._has_body)
        except LocalProtocolError:
            # Nothing of it has left, but h11 is in its error state now: the connection ends unused.
            self.streams.clear()
            self._stream = None
            self.exhausted = True
            raise
        self._fast = self._requests.is_simple
        if self._fast:
            self._head = head
            self._lane.start(is_head=stream.is_head, upgrades=self._switching)

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
            self._out += self._requests.end(stream.trailers or [])
        except LocalProtocolError as error:
            self._give_up(error)
        else:
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

    def produce(self, limit: int) -> tuple[bytes | memoryview, bool]:
        pieces: list[bytes | memoryview] = [bytes(self._out)] if self._out else []
        self._out.clear()
        stream = self._stream
        if stream is not None and not (self._switching and not self._switched):
            size = len(pieces[0]) if pieces else 0
            while stream.out_size and size < limit:
                chunk = stream.out.popleft()
                if len(chunk) > limit:
                    # Views, not copies: a large body must not be copied again for every part.
                    view = memoryview(chunk)
                    stream.out.appendleft(view[limit:])
                    chunk = view[:limit]
                stream.out_size -= len(chunk)
                stream.sent_size += len(chunk)
                size += len(chunk)
                pieces.append(self._body(chunk))
            if not stream.out_size and stream.end_queued and not stream.local_ended:
                self._finish_request(stream)
                if self._out:
                    pieces.append(bytes(self._out))
                    self._out.clear()
            guarded(self, stream, stream.on_drained)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.bytes_sent += len(data)
        return data, self.has_output

    def _body(self, chunk: bytes | memoryview) -> bytes | memoryview:
        if self._switched:
            return chunk
        try:
            return self._requests.data(chunk)
        except LocalProtocolError as error:
            self._give_up(error)
            return b""

    # What the peer sent.

    def receive(self, data: bytes) -> None:
        self.bytes_received += len(data)
        stream = self._stream
        if self._switched:
            if stream is not None:
                self._deliver(stream, data)
            return
        if not (self._answered or self._h11.begun) and (wrong := wrong_protocol(data, "HTTP/1.1")) is not None:
            self.fault = RemoteProtocolError(wrong)
            self.fault.may_have_been_processed = False  # it can't have read the request
            return
        if stream is None or stream.remote_ended:
            self.fault = RemoteProtocolError("the server sent bytes that do not belong to any request")
            return
        if self._fast:
            self._read_fast(stream, data)
            if self._lane.odd is None or stream.closed:
                return
            data = self._leave_fast_lane()
        passed = self._h11.feed(data)
        stream.answered = self._h11.begun
        self._handle(stream, self._h11.read(passed))
        self.fault = self.fault or self._h11.fault

    def _read_fast(self, stream: StreamState, data: bytes) -> None:
        """What the fast lane knows of it. The rest is in `odd`."""
        lane = self._lane
        if not lane.in_body:
            head = lane.read_head(data)
            if head is None:
                return
            data = data[head.size :]
            stream.answered = True
            if head.status == 101:
                self._switch(stream, head.fields, data)
                return
            self._respond(stream, head.status, head.fields)
            if stream.closed:
                return
        body = lane.read_body(data)
        if body:
            self._deliver(stream, body)
        if lane.ended and not stream.closed:
            self._end_response(stream, [])

    def _leave_fast_lane(self) -> bytes:
        """The rest of the response is for h11. Returns what has come of it."""
        self._fast = False
        assert self._head is not None
        self._h11.take_over(self._head, self._lane.replay())
        return self._lane.take_odd()

    def receive_end(self, end: TransportEnd) -> None:
        stream = self._stream
        self.exhausted = True
        if self._in_clear and not (self._answered or self._h11.begun):
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
        if not stream.answered or not may_end:
            return  # the connection reports the error
        if self._fast and (incomplete := self._lane.incomplete) is not None:
            if end is TransportEnd.CLEAN:
                self.fault = RemoteProtocolError(f"the server broke HTTP/1.1: {incomplete}")
            return
        stream.may_be_truncated = end is not TransportEnd.CLEAN
        if self._fast:
            self._lane.leave_held()
            self._handle(stream, self._h11.read(self._h11.feed(self._leave_fast_lane())))
        self._handle(stream, self._h11.read_end())
        if self._h11.fault is not None:
            stream.may_be_truncated = False
            if end is TransportEnd.CLEAN:
                self.fault = self._h11.fault

    def _handle(self, stream: StreamState, events: Iterable[h11.Event]) -> None:
        for event in events:
            if isinstance(event, h11.InformationalResponse):
                if event.status_code == 101:
                    self._switch(stream, list(event.headers), self._h11.rest)
                    return
                stream.informational += 1
                if stream.informational > self._limits.max_informational:
                    self.fault = LimitExceeded("max_informational", self._limits.max_informational)
                    return
                guarded(self, stream, stream.on_informational, event.status_code, list(event.headers))
            elif isinstance(event, h11.Response):
                self._respond(stream, event.status_code, list(event.headers))
            elif isinstance(event, h11.Data):
                self._deliver(stream, bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                self._end_response(stream, list(event.headers))
                return
            if stream.closed:
                return

    def _respond(self, stream: StreamState, status: int, fields: RawFields) -> None:
        stream.responded = self._answered = True
        self._keep_alive.on_response(fields)
        guarded(self, stream, stream.on_response, status, fields)

    def _end_response(self, stream: StreamState, trailers: RawFields) -> None:
        stream.remote_ended = True
        self._set_unread(0)
        self._look_for_end()
        guarded(self, stream, stream.on_end, trailers or None)

    def _deliver(self, stream: StreamState, data: bytes) -> None:
        self._unread += len(data)
        try:
            stream.on_data(data)
        except Exception as bug:
            end_with_bug(self, stream, bug)

    def _switch(self, stream: StreamState, fields: RawFields, rest: bytes) -> None:
        self._switched = True
        stream.responded = True
        guarded(self, stream, stream.on_response, 101, fields)
        if rest and not stream.closed:
            self._deliver(stream, rest)

    def _look_for_end(self) -> None:
        """If both sides have ended, the connection is ready for the next exchange, or exhausted."""
        stream = self._stream
        if stream is None or not (stream.local_ended and stream.remote_ended):
            return
        finished = self._lane if self._fast else self._h11
        self.exhausted = not finished.lasts() or self._keep_alive.over
        self._close(stream)

    def _give_up(self, error: LocalProtocolError) -> None:
        self.fault = LocalProtocolError(error.message, ErrorCode.INTERNAL_ERROR)
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
