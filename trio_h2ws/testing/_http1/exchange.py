"""One request over HTTP/1.1 and its answer: an `Exchange` whose calls are h11's.

HTTP/1.1 has no streams, so some calls mean something else here than they do in `_h2_stream`:

- `credit`: there are no windows. What the route has not credited is counted, and at a bound the connection does not
  read on.
- `reset`: an exchange can't end alone. What was made before still leaves, then the connection is cut. NO_ERROR asks
  for no harm: the connection ends in an orderly way.
- `accept`: 101. From there the bytes of both sides are the WebSocket's, and the end of the answer is the end of the
  connection.
- An interim 100 is sent when the client waits for it and the route has set `on_data`. A client that waits and is
  answered without it may send its body or not: nobody can tell, so that answer says `connection: close`.
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
    """What an exchange needs of its HTTP/1.1 connection."""

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
        if self.request.http_version != "HTTP/1.0":  # which has none
            self._emit(h11.InformationalResponse(status_code=status, headers=headers, reason=_phrase(status)))

    def send_continue(self) -> None:
        """Say 100 if the client waits for it and the route reads."""
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
        """Bytes of the answer, as they look on the wire."""
        if self.switched:
            return data
        if self._bodiless:  # a route need not know
            return b""
        return self.connection.h11.send(h11.Data(data=data)) or b""

    def send_end(self) -> None:
        """Everything of ours was taken: end the answer."""
        self.local_done = True
        if not self.switched:
            self._emit(h11.EndOfMessage(headers=self.trailers if self._chunked else []))
        if self.remote_done or self.switched or self.connection.no_more_exchanges:
            self.connection.completed()

    def end_received(self, trailers: Fields) -> None:
        """The request is complete; after 101, the client's half of the connection has ended."""
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
    # It says nothing that the status does not. It is for people who read the wire.
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
