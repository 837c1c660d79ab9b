"""One request and its response, as a route sees them.

A route is a plain function that gets an `Exchange`. It responds with synchronous calls, and sets hooks for later
events (`on_data`, `on_end`, `on_sent`, `on_gone`). Nothing here awaits, so a route that only reacts to input, like an
echo or a WebSocket, needs no task. A route that has to sleep gets a task with `spawn`.

Outgoing bytes stay in `_outbox` until the connection takes them, as many at a time as flow control allows. A long
body is an iterator; its next piece is taken when the previous one has been sent, so nothing piles up. Incoming bytes
are credited to the client when the route says so (`credit`). A route that responds while it reads, like the echo,
credits what it has sent, so the flow-control window stops a client that sends without reading.

What a head, a reset or a credit is on the wire depends on the protocol: `H2Stream` and `H1Exchange` subclass
`Exchange`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias
from urllib.parse import parse_qsl, unquote

import trio

from ._stats import Stats

Fields: TypeAlias = list[tuple[bytes, bytes]]

OverHTTP2: TypeAlias = int | Literal["works", "silent"]

LOWEST_STATUS = 200
"""In `OverHTTP2`, a number from here on is a status; one below 100 is an error code."""
HIGH_WATER = 64 * 1024
"""Unsent bytes at which a route should wait (`wait_writable`) or withhold credit."""


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of `open_server` that routes and connections use."""

    subprotocols: tuple[str, ...]
    compression: bool
    close_timeout: float
    settings_delay: float
    websocket_over_http2: OverHTTP2


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request. `protocol` is "websocket" for a handshake, over HTTP/2 and over HTTP/1.1."""

    method: str
    target: str
    headers: Fields
    protocol: str | None = None
    http_version: str = "HTTP/2"

    def get(self, name: bytes) -> str | None:
        """The values of this header, joined with commas; None if it is absent."""
        values = [value for key, value in self.headers if key == name]
        return b", ".join(values).decode("latin-1") if values else None

    @property
    def path(self) -> list[str]:
        """The segments of the path: `/bytes/10` is ["bytes", "10"]."""
        return [unquote(part) for part in self.target.partition("?")[0].split("/") if part]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))


class ExchangeOwner(Protocol):
    """What an exchange needs from its connection."""

    @property
    def stats(self) -> Stats: ...

    @property
    def options(self) -> Options: ...

    def spawn(self, async_fn: Callable[..., Awaitable[None]], *args: object) -> None:
        """Run a task that ends with the connection."""


class Exchange(ABC):
    """A request, its response, and the hooks of its route."""

    def __init__(self, request: Request, owner: ExchangeOwner) -> None:
        self.request = request
        self.stats = owner.stats
        self.options = owner.options
        self.on_data: Callable[[bytes], None] | None = None
        """Called with bytes of the request's body. Without this hook they are discarded and credited."""
        self.on_end: Callable[[Fields], None] | None = None
        """Called with the trailers when the request's body is complete."""
        self.on_sent: Callable[[int], None] | None = None
        """Called with the number of written bytes that have just been sent."""
        self.on_gone: Callable[[], None] | None = None
        """Called when the exchange has ended, for whatever reason."""
        self.gone = False
        self._owner = owner
        self._scopes: list[trio.CancelScope] = []
        self._outbox = bytearray()
        self._source: Iterator[bytes] | None = None
        self._finished = False
        self._trailers: Fields = []
        self._writable: trio.Event | None = None

    # What each protocol implements.

    @abstractmethod
    def send_informational(self, status: int, headers: Fields) -> None:
        """Send an informational response (1xx)."""

    @abstractmethod
    def start(self, status: int, headers: Fields, *, end: bool = False) -> None:
        """Send the head of the response; `end` if no body follows."""

    @abstractmethod
    def accept(self, headers: Fields) -> None:
        """Accept a WebSocket handshake: from now on the body consists of frames in both directions."""

    @abstractmethod
    def ask_to_stop_sending(self) -> None:
        """Called before a complete response that makes the rest of the request unnecessary."""

    @abstractmethod
    def credit(self, count: int) -> None:
        """Allow the client to send this many more bytes."""

    @abstractmethod
    def reset(self, error_code: int) -> None:
        """End the exchange at once."""

    @abstractmethod
    def _wake(self) -> None:
        """There may be bytes to take."""

    # What a route calls.

    @property
    def unsent(self) -> int:
        return len(self._outbox)

    def respond(
        self,
        status: int,
        headers: Fields | None = None,
        body: bytes | Iterable[bytes] = b"",
        trailers: Fields | None = None,
    ) -> None:
        """Send the whole response. Bytes get a content-length; an iterable is taken piece by piece."""
        fields = list(headers or ())
        if isinstance(body, bytes) and status != 204 and not any(name == b"content-length" for name, _ in fields):
            fields.append((b"content-length", b"%d" % len(body)))
        bodiless = self.request.method == "HEAD" or status in (204, 304)
        if bodiless or (body == b"" and not trailers):
            self.start(status, fields, end=True)
            return
        self.start(status, fields)
        if isinstance(body, bytes):
            self.write(body)
        else:
            self.write_from(body)
        self.finish(trailers)

    def write(self, data: bytes | bytearray) -> None:
        """Queue bytes of the response's body."""
        if not self.gone:
            self._outbox += data
            self._wake()

    def write_from(self, source: Iterable[bytes]) -> None:
        """Take the body from `source`, each piece when the previous one has been sent."""
        self._source = iter(source)
        self._wake()

    def finish(self, trailers: Fields | None = None) -> None:
        """End the response once everything queued has been sent."""
        if not self.gone and not self._finished:
            self._finished = True
            self._trailers = list(trailers or ())
            self._wake()

    def spawn(self, async_fn: Callable[[], Awaitable[None]]) -> None:
        """Run a task that is cancelled when the exchange ends."""
        self._owner.spawn(self._run, async_fn)

    async def _run(self, async_fn: Callable[[], Awaitable[None]]) -> None:
        with trio.CancelScope() as scope:
            if self.gone:
                return
            self._scopes.append(scope)
            await async_fn()

    async def wait_writable(self) -> None:
        """Wait until fewer than `HIGH_WATER` bytes are unsent. One task at a time."""
        await trio.lowlevel.checkpoint()
        while len(self._outbox) >= HIGH_WATER:
            self._writable = trio.Event()
            await self._writable.wait()

    # What the connection calls.

    def take(self, limit: int) -> bytes:
        """Take at most `limit` bytes, to be sent now."""
        while not self._outbox and self._source is not None:
            piece = next(self._source, None)
            if piece is None:
                self._source = None
            else:
                self._outbox += piece
        if not self._outbox or limit <= 0:
            return b""
        data = bytes(self._outbox[:limit])
        del self._outbox[:limit]
        return data

    @property
    def finished(self) -> bool:
        """`finish` was called; the rest of the body may still have to be taken."""
        return self._finished

    @property
    def exhausted(self) -> bool:
        """`finish` was called and everything was taken: only the end of the response has still to be sent."""
        return self._finished and not self._outbox and self._source is None

    @property
    def trailers(self) -> Fields:
        return self._trailers

    def sent(self, count: int) -> None:
        if self._writable is not None and len(self._outbox) < HIGH_WATER:
            self._writable.set()
            self._writable = None
        if self.on_sent is not None:
            self.on_sent(count)

    def received(self, data: bytes) -> None:
        if self.on_data is None:
            self.credit(len(data))
        else:
            self.on_data(data)

    def request_ended(self, trailers: Fields) -> None:
        if self.on_end is not None:
            self.on_end(trailers)

    def finalize(self) -> None:
        """End the exchange; called once. The hooks are dropped, since route and exchange refer to each other."""
        self.gone = True
        self._outbox.clear()
        self._source = None
        on_gone = self.on_gone
        self.on_data = self.on_end = self.on_sent = self.on_gone = None
        if self._writable is not None:
            self._writable.set()
        for scope in self._scopes:
            scope.cancel()
        if on_gone is not None:
            on_gone()
