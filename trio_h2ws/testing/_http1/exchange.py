"""One HTTP/1.1 request and its response: an `Exchange` implemented with h11.

Without streams, some calls differ in meaning from those of an HTTP/2 stream:

- `credit`: without windows, the bytes that the route has not credited are counted, and at a limit the connection
  stops reading.
- `reset`: an exchange can't end without its connection. What is queued is still sent, then the transport is closed
  abruptly, or in an orderly way if the code is NO_ERROR.
- `accept`: sends 101. From then on the bytes of both directions belong to the WebSocket, and the end of the response
  is the end of the connection.
- An interim 100 is sent if the client waits for it and the route has set `on_data`. A client that gets a final
  response instead may or may not send its body. The server can't know which, so that response says
  `connection: close`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

import h11
from h11 import Connection
from wsproto.utilities import generate_accept_token

from .._exchange import Exchange, ExchangeOwner, Fields, Request

NO_ERROR = 0
CLOSE = (b"connection", b"close")


class H1ExchangeOwner(ExchangeOwner, Protocol):
    """What an exchange needs from its HTTP/1.1 connection."""

    no_more_exchanges: bool

    @property
    def h11(self) -> Connection: ...

    def wake(self) -> None: ...

    def inject(self, data: bytes) -> None: ...

    def credit(self, count: int) -> None: ...

    def completed(self) -> None: ...

    def end(self, *, orderly: bool) -> None: ...


class H1Exchange(Exchange):
    """An exchange that has the connection for itself until both sides have ended."""

    def __init__(self, connection: H1ExchangeOwner, request: Request) -> None:
        super().__init__(request, connection)
        self.connection = connection
        self.started = False
        self.switched = False
        self.local_done = False
        self.remote_done = False
        self._bodiless = request.method == "HEAD"
        self._chunked = False

    def send_informational(self, status: int, headers: Fields) -> None:
        if self.request.http_version != "HTTP/1.0":  # HTTP/1.0 has no 1xx responses
            self._emit(h11.InformationalResponse(status_code=status, headers=headers, reason=_phrase(status)))

    def send_continue(self) -> None:
        """Send 100 if the client waits for it and the route reads the body."""
        if self.on_data is not None and self.connection.h11.they_are_waiting_for_100_continue:
            self.send_informational(100, [])

    def start(self, status: int, headers: Fields, *, end: bool = False) -> None:
        self.send_continue()
        if self.connection.h11.they_are_waiting_for_100_continue:
            self.connection.no_more_exchanges = True
        self._bodiless = self._bodiless or status in (204, 304)
        sized = any(name == b"content-length" for name, _ in headers)
        self._chunked = not sized and not self._bodiless and self.request.http_version != "HTTP/1.0"
        fields = [*headers, CLOSE] if self.connection.no_more_exchanges else headers
        self._emit(h11.Response(status_code=status, headers=fields, reason=_phrase(status)))
        self.started = True
        if end:
            self.send_end()

    def accept(self, headers: Fields) -> None:
        key = self.request.get(b"sec-websocket-key") or ""
        fields: Fields = [
            (b"upgrade", b"websocket"),
            (b"connection", b"upgrade"),
            (b"sec-websocket-accept", generate_accept_token(key.encode("latin-1"))),
        ]
        self._emit(h11.InformationalResponse(status_code=101, headers=[*fields, *headers], reason=_phrase(101)))
        self.started = self.switched = True
        self.remote_done = False

    def ask_to_stop_sending(self) -> None:
        self.connection.no_more_exchanges = True

    def credit(self, count: int) -> None:
        if not self.gone:
            self.connection.credit(count)

    def reset(self, error_code: int) -> None:
        if not self.gone:
            self.connection.end(orderly=error_code == NO_ERROR)

    def encode(self, data: bytes) -> bytes:
        """Bytes of the body, as they are sent: framed, or nothing if this response has no body."""
        if self.switched:
            return data
        if self._bodiless:  # a route may write a body without checking
            return b""
        return self.connection.h11.send(h11.Data(data=data)) or b""

    def send_end(self) -> None:
        """End the response, now that all of it has been taken."""
        self.local_done = True
        if not self.switched:
            self._emit(h11.EndOfMessage(headers=self.trailers if self._chunked else []))
        if self.remote_done or self.switched or self.connection.no_more_exchanges:
            self.connection.completed()

    def end_received(self, trailers: Fields) -> None:
        """The request is complete or, after 101, the client has ended its half of the connection."""
        self.remote_done = True
        self.request_ended(trailers)
        if self.local_done:
            self.connection.completed()

    def _emit(self, event: h11.Event) -> None:
        if not self.gone:
            self.connection.inject(self.connection.h11.send(event) or b"")

    def _wake(self) -> None:
        if not self.gone:
            self.connection.wake()


def _phrase(status: int) -> bytes:
    # Redundant with the status, and useful to a person who reads the bytes.
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
