"""One HTTP/2 stream of the server: an `Exchange` implemented with h2.

It is passive. Only a route that calls `spawn` has a task, which ends with the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from .._exchange import Exchange, ExchangeOwner, Fields, Request
from .protocol import H2Protocol


class StreamQueue(Protocol):
    """What a stream needs from its connection's send queue."""

    def make_ready(self, stream: H2Stream) -> None: ...

    def drop(self, stream: H2Stream) -> None: ...

    def wake(self) -> None: ...


class H2StreamOwner(ExchangeOwner, Protocol):
    """What a stream needs from its connection."""

    @property
    def h2(self) -> H2Protocol: ...

    @property
    def send_queue(self) -> StreamQueue: ...

    @property
    def credit_step(self) -> int: ...

    def forget(self, stream: H2Stream) -> None: ...


class H2Stream(Exchange):
    """An exchange on one HTTP/2 stream."""

    def __init__(self, connection: H2StreamOwner, stream_id: int, request: Request) -> None:
        super().__init__(request, connection)
        self.connection = connection
        self.stream_id = stream_id
        self.local_done = False
        self.remote_done = False
        self._uncredited = 0
        self.request_trailers: Fields = []

    def send_informational(self, status: int, headers: Fields) -> None:
        self._send_headers([(b":status", b"%d" % status), *headers], end=False)

    def start(self, status: int, headers: Fields, *, end: bool = False) -> None:
        self._send_headers([(b":status", b"%d" % status), *headers], end=end)
        if end:
            self.end_sent()

    def accept(self, headers: Fields) -> None:
        self.start(200, headers)

    def ask_to_stop_sending(self) -> None:
        # RFC 9113, section 8.1: after a complete response, RST_STREAM(NO_ERROR) asks the client to stop sending.
        self.on_sent = lambda count: self.reset(ErrorCodes.NO_ERROR)

    def _send_headers(self, fields: Fields, *, end: bool) -> None:
        self._do(self.connection.h2.send_headers, self.stream_id, fields, end)

    def credit(self, count: int) -> None:
        self._uncredited += count
        if not self.remote_done and self._uncredited >= self.connection.credit_step:
            count, self._uncredited = self._uncredited, 0
            self._do(self.connection.h2.increment_flow_control_window, count, self.stream_id)

    def reset(self, error_code: int) -> None:
        self._do(self.connection.h2.reset_stream, self.stream_id, error_code)
        self.connection.forget(self)

    def _do(self, method: Callable[..., None], *args: object) -> None:
        # h2 processes a whole read before its first event is handled here: a later frame may have reset the stream.
        if not self.gone:
            try:
                method(*args)
            except ProtocolError:
                self.connection.forget(self)
            self.connection.send_queue.wake()

    def end_sent(self) -> None:
        """The response's END_STREAM was sent."""
        self.local_done = True
        self.connection.send_queue.drop(self)
        if self.remote_done:
            self.connection.forget(self)

    def end_received(self) -> None:
        """The client's END_STREAM has arrived."""
        self.remote_done = True
        self.request_ended(self.request_trailers)
        if self.local_done:
            self.connection.forget(self)

    def _wake(self) -> None:
        if not self.gone and not self.local_done:
            self.connection.send_queue.make_ready(self)
