"""The exchanges that are not simple: h11 writes the request, or reads the response, or both.

h11 sees a whole exchange or nothing of it. So when the fast lane leaves a response to it, it first gets a request
that would be answered in the same way, and what it must have seen of the response (`take_over`).
"""

from __future__ import annotations

from collections.abc import Iterator

import h11

from ..._config import Limits
from ..._errors import H2WSError, LocalProtocolError
from ..._http.headers import RawFields
from ..._http.response_heads import ResponseHeads
from ..engine import RequestHead
from .faults import fault_of
from .request_head import Forward, replay_event, request_event


class H11Lane:
    """The exchanges of one connection, one after the other."""

    __slots__ = ("_h11", "_heads", "_limits", "fault")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=limits.max_header_list_size)
        self._heads = ResponseHeads(limits.max_header_list_size)
        self.fault: H2WSError | None = None
        """What is wrong with the response."""

    def start(self) -> None:
        """The next exchange begins."""
        self._heads.start()

    # The request. Raises LocalProtocolError for what h11 does not send; then the connection must end.

    def send_head(self, head: RequestHead, forward: Forward | None, *, chunked: bool, ends: bool) -> bytes:
        try:
            data = self._h11.send(request_event(head, forward, chunked=chunked)) or b""
            return data + (self._h11.send(h11.EndOfMessage()) or b"") if ends else data
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(f"the request can't be sent over HTTP/1.1: {error}") from error

    def send_data(self, data: bytes) -> bytes:
        try:
            return self._h11.send(h11.Data(data=data)) or b""
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error

    def send_end(self, trailers: RawFields) -> bytes:
        try:
            return self._h11.send(h11.EndOfMessage(headers=trailers)) or b""
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error

    # The response.

    @property
    def begun(self) -> bool:
        """Something of it has come, if only a byte."""
        return self._heads.begun

    @property
    def rest(self) -> bytes:
        """What has come after the response, or after 101."""
        return bytes(self._h11.trailing_data[0])

    def take_over(self, head: RequestHead, seen: bytes) -> None:
        """The fast lane leaves the response to `head`, of which it has read `seen`."""
        self._h11.send(replay_event(head))
        self._h11.send(h11.EndOfMessage())
        if passed := self._heads.feed(seen):
            self._h11.receive_data(passed)
            while isinstance(self._h11.next_event(), (h11.Response, h11.Data)):
                pass

    def feed(self, data: bytes) -> bytes:
        """What came, for `read`, as far as it may pass."""
        return self._heads.feed(data)

    def read(self, passed: bytes) -> Iterator[h11.Event]:
        """What that means. Sets `fault`."""
        if passed:
            try:
                self._h11.receive_data(passed)
                yield from self._events()
            except h11.RemoteProtocolError as error:
                self.fault = fault_of(error, self._limits)
        if self._heads.error is not None and self.fault is None:
            self.fault = fault_of(self._heads.error, self._limits)

    def read_end(self) -> Iterator[h11.Event]:
        """The same, when the transport has ended."""
        try:
            if held := self._heads.end():
                self._h11.receive_data(held)
            self._h11.receive_data(b"")
            yield from self._events()
        except h11.RemoteProtocolError as error:
            self.fault = fault_of(error, self._limits)

    def _events(self) -> Iterator[h11.Event]:
        while isinstance(event := self._h11.next_event(), h11.Event) and not isinstance(event, h11.ConnectionClosed):
            yield event

    def lasts(self) -> bool:
        """Both sides have ended. Whether the connection may carry another exchange."""
        if not (self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE):
            return False  # Connection: close, or a body that ended with the connection
        # Unrequested bytes must not be taken for the response to the next request.
        unrequested = bool(self.rest) or self._heads.holding
        self._h11.start_next_cycle()
        return not (unrequested or self._heads.left_out)
