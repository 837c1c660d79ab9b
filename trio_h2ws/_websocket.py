"""What a user holds of one WebSocket (RFC 6455), whatever carries it.

It costs no task. The stream's bytes are parsed in the reader's synchronous dispatch (`on_data`), so pings are
answered and closes are seen while the application does something else. When the queue of messages is full, the bytes
stay in the stream, held by its window: a slow consumer stops its own peer and nobody else.

Closing (RFC 6455, section 7; the order is what worked on every server that we ran):
- we close: Close without END_STREAM, wait for the peer's Close, then RST_STREAM(CANCEL) if the stream has not ended;
- they close: a moment for END_STREAM or RST_STREAM, since a server that has dropped the stream may take any later
  DATA for an attack; if none comes, our Close, another moment, then RST_STREAM(CANCEL).
These moments are timers of the connection. After both Closes any end of the stream is a clean one.

Cancel safety: a cancelled `send` has sent nothing, a cancelled `receive` has taken nothing. Leaving a
`client.websocket` block by cancellation resets the stream at once, without waiting.
"""

from __future__ import annotations

import json as _json
from typing import Any, Protocol

import trio

from ._clock import Timer
from ._errors import H2WSError, StreamReset, WebSocketClosed, fresh
from ._h2.stream import Consumer
from ._info import ConnectionInfo
from ._response import Response
from ._util import PrivateConstructor
from ._ws.session import Session, check_close


class Carrier(Protocol):
    """The stream below: an HTTP/2 stream, or an upgraded HTTP/1.1 connection."""

    connection: Any
    error: H2WSError | None
    remote_ended: bool
    out_size: int
    unread: int

    def consume_with(self, consumer: Consumer | None) -> None: ...
    def take(self) -> bytes: ...
    async def wait_room(self) -> None: ...
    def send_nowait(self, data: bytes) -> None: ...
    def close(self) -> None: ...


_MOMENT = 0.05  # seconds that a peer gets to end the stream after its Close
_AFTER_REPLY = 0.25  # and after our answer to it, besides one round trip


class WebSocket(trio.abc.AsyncResource, metaclass=PrivateConstructor):
    """One WebSocket. Made by `Client.websocket`, `connect_websocket` and `run_websocket`.

    One task may receive and others send at the same time. `async for message in ws` gives str and bytes until the
    WebSocket is closed with 1000 or 1001, and raises `WebSocketClosed` for any other end.
    """

    def __init__(self, carrier: Carrier, session: Session, response: Response, subprotocol: str | None) -> None:
        self.response = response
        """The server's answer to the handshake."""
        self.subprotocol = subprotocol
        """The subprotocol that the server chose, or None."""
        self._carrier = carrier
        self._session = session
        self._receiver: trio.lowlevel.Task | None = None
        self._over: trio.Event | None = None
        self._ended = False  # the carrier is done: nothing more will come
        self._closed = False  # aclose was called: using it is misuse
        self._close_seen = False
        self._initiator: str | None = None
        self._error: H2WSError | None = None
        self._timer: Timer | None = None
        self._pings: dict[bytes, tuple[float, trio.Event]] = {}
        self._ping_count = 0
        carrier.consume_with(self)

    @property
    def http_version(self) -> str:
        """ "HTTP/2" or "HTTP/1.1"."""
        return self.response.http_version

    @property
    def stream_id(self) -> int | None:
        """The HTTP/2 stream's number; None over HTTP/1.1."""
        return self.response.stream_id

    @property
    def connection(self) -> ConnectionInfo:
        """A snapshot of the connection that carries this WebSocket."""
        info: ConnectionInfo = self._carrier.connection.info()
        return info

    @property
    def draining(self) -> trio.Event:
        """Set when the connection is going away (GOAWAY): open the successor, then close this one."""
        event: trio.Event = self._carrier.connection.going
        return event

    @property
    def close_code(self) -> int | None:
        """The code of the Close that ended it; 1005 if it had none, 1006 without one; None while it is open."""
        session = self._session
        if session.close_received:
            return session.close_code
        if session.failure is not None:
            return session.failure[0]
        return 1006 if self._ended else None

    @property
    def close_reason(self) -> str | None:
        """The reason in the Close that ended it; None while it is open."""
        if self._session.close_received:
            return self._session.close_reason
        return "" if self.close_code is not None else None

    # The reader's dispatch.

    def on_data(self) -> None:
        session, carrier = self._session, self._carrier
        while session.has_room:
            data = carrier.take()
            if not data and not session.holds_raw:
                break
            session.receive(data)
            if not data:
                break
        self._look()

    def on_end(self) -> None:
        session, carrier = self._session, self._carrier
        while data := carrier.take():
            session.receive(data)
        self._ended = True
        self._error = carrier.error
        self._cancel_timer()
        self._look()
        carrier.close()  # RST_STREAM(CANCEL), if our half is still open: the peer expects no more DATA
        if self._over is not None:
            self._over.set()
        for _, event in self._pings.values():
            event.set()
        self._wake()

    def _look(self) -> None:
        """What did the bytes bring?"""
        session = self._session
        if session.replies:
            # A peer that does not read its pongs gets no more of them (RFC 6455, section 5.5.3 allows it).
            if not self._ended and self._carrier_room():
                self._carrier.send_nowait(bytes(session.replies))
            session.replies.clear()
        if session.pongs:
            self._on_pongs()
        if session.failure is not None:
            self._fail()
        elif session.close_received and not self._close_seen:
            self._close_seen = True
            self._on_close()
        if session.messages:
            self._wake()

    def _carrier_room(self) -> bool:
        limit: int = self._carrier.connection.limits.max_send_buffer
        return self._carrier.out_size < limit

    def _wake(self) -> None:
        task = self._receiver
        if task is not None:
            self._receiver = None
            self._carrier.connection.woken += 1
            trio.lowlevel.reschedule(task)

    def _on_pongs(self) -> None:
        for payload in self._session.pongs:
            if payload in self._pings:
                # A pong answers every ping before it, too (RFC 6455, section 5.5.3).
                for earlier in list(self._pings):
                    _, event = self._pings.pop(earlier)
                    event.set()
                    if earlier == payload:
                        break
        self._session.pongs.clear()

    def _fail(self) -> None:
        """The peer broke the protocol or a bound: say so in our Close, and end."""
        assert self._session.failure is not None
        if self._ended or self._session.close_sent:
            self._finish()
            return
        code, reason = self._session.failure
        self._initiator = "local"
        self._send_close(code, reason.encode()[:120].decode(errors="ignore"))
        self._set_timer(_AFTER_REPLY, self._finish)
        self._wake()

    def _on_close(self) -> None:
        if self._initiator is None:
            self._initiator = "remote"
        if self._over is not None:
            self._over.set()
        self._wake()
        if self._ended:
            return
        if self._session.close_sent:
            self._set_timer(_MOMENT, self._finish)
        else:
            self._set_timer(_MOMENT, self._answer_close)

    def _answer_close(self) -> None:
        session = self._session
        if not session.close_sent:
            code = session.close_code if session.close_code != 1005 else None
            self._send_close(code, "")
        self._set_timer(_AFTER_REPLY + self._carrier.connection.engine.round_trip, self._finish)

    def _send_close(self, code: int | None, reason: str) -> None:
        if not self._ended and not self._session.close_sent:
            self._carrier.send_nowait(self._session.close(code, reason))

    def _finish(self) -> None:
        """Both have said what they had to say: the stream is not needed any more."""
        if not self._ended:
            self._ended = True
            self._carrier.close()
            if self._over is not None:
                self._over.set()
            for _, event in self._pings.values():
                event.set()
            self._wake()

    def _set_timer(self, seconds: float, call: Any) -> None:
        self._cancel_timer()
        self._timer = self._carrier.connection.timers.add(seconds, call)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # The application.

    def _raise_end(self) -> None:
        """Raise what ended it. The caller has seen that no message is left."""
        session = self._session
        if self._closed:
            raise trio.ClosedResourceError("this WebSocket was closed here")
        if session.close_received:
            raise WebSocketClosed(session.close_code or 1005, session.close_reason, True, self._initiator)
        if session.failure is not None:
            raise WebSocketClosed(session.failure[0], session.failure[1], False, "local")
        if self._error is not None and not isinstance(self._error, StreamReset):
            raise fresh(self._error)
        if self._ended:
            raise WebSocketClosed(1006, "", False, self._initiator) from self._error

    async def receive(self) -> str | bytes:
        """The next message: str for text, bytes for binary.

        Raises `WebSocketClosed` when there is none and none will come, `ConnectionLost` when the connection died,
        `trio.BusyResourceError` when another task is receiving, `trio.ClosedResourceError` after `aclose`.
        Cancelled, it has taken nothing.
        """
        session = self._session
        if session.messages or self._ended or session.close_received or self._closed:
            await trio.lowlevel.checkpoint()
        while not session.messages:
            if self._ended or session.close_received or self._closed or session.failure is not None:
                self._raise_end()
            await self._wait()
        if self._closed:
            self._raise_end()
        message = session.pop()
        if session.holds_raw or self._carrier.unread:
            self.on_data()
        return message

    async def _wait(self) -> None:
        if self._receiver is not None:
            raise trio.BusyResourceError("another task is receiving from this WebSocket")
        self._receiver = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._receiver = None
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def __aiter__(self) -> WebSocket:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosed as closed:
            if closed.clean and closed.code in (1000, 1001):
                raise StopAsyncIteration from None
            raise

    async def send(self, data: str | bytes | bytearray | memoryview) -> None:
        """Send one message: str as text, bytes-like as binary.

        Waits while the peer does not read and `Limits.max_send_buffer` bytes wait. Cancelled, it has sent nothing.
        Raises `WebSocketClosed`, `ConnectionLost`, or `trio.ClosedResourceError` after `aclose`.
        """
        if not isinstance(data, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"a message must be str or bytes-like, not {type(data).__name__}")
        await self._carrier.wait_room()
        self._check_open()
        self._carrier.send_nowait(self._session.message(data))
        await trio.lowlevel.cancel_shielded_checkpoint()

    def _check_open(self) -> None:
        session = self._session
        if self._closed or self._ended or session.close_received or session.close_sent:
            self._raise_end()
            raise WebSocketClosed(1006, "", False, self._initiator)

    async def ping(self) -> float:
        """Send a Ping and wait for its Pong (RFC 6455, section 5.5.2). Returns the round trip in seconds."""
        await trio.lowlevel.checkpoint_if_cancelled()
        self._check_open()
        self._ping_count += 1
        payload = self._ping_count.to_bytes(4, "big")
        event = trio.Event()
        start = trio.current_time()
        self._pings[payload] = (start, event)
        self._carrier.send_nowait(self._session.ping(payload))
        try:
            await event.wait()
        finally:
            answered = self._pings.pop(payload, None) is None
        if not answered:
            self._check_open()
        return trio.current_time() - start

    async def send_json(self, value: Any) -> None:
        """`send` a value as JSON text."""
        await self.send(_json.dumps(value, separators=(",", ":"), ensure_ascii=False))

    async def receive_json(self) -> Any:
        """`receive` and parse. Raises ValueError when the message is not JSON."""
        return _json.loads(await self.receive())

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close it: Close frame, then wait for the peer's, at most `Timeouts.close` seconds. Idempotent.

        Cancelled, it resets the stream at once and waits no more. Raises ValueError for a code or reason that may
        not be sent (RFC 6455, section 7.4).
        """
        check_close(code, reason)
        already = self._closed
        self._closed = True
        self._wake()
        if self._ended:
            await trio.lowlevel.checkpoint()
            return
        connection = self._carrier.connection
        if not already and not self._session.close_sent and not self._session.close_received:
            self._initiator = "local"
            self._send_close(code, reason)
        if self._session.close_received:
            # The timers of the closing handshake do the rest.
            await trio.lowlevel.checkpoint()
            return
        if self._over is None:
            self._over = trio.Event()
        seconds = connection.timeouts.close
        try:
            with trio.move_on_after(seconds if seconds is not None else float("inf")) as scope:
                await self._over.wait()
        except trio.Cancelled:
            self._finish()
            raise
        if scope.cancelled_caught:
            self._finish()

    def abort(self) -> None:
        """End it at once, without a closing handshake: RST_STREAM(CANCEL) (RFC 8441, section 5.1)."""
        self._closed = True
        self._cancel_timer()
        self._finish()

    def close_soon(self, code: int) -> None:
        """Say Close and leave the rest to the connection's timers, without waiting: for a block that failed."""
        self._closed = True
        if not (self._ended or self._session.close_sent or self._session.close_received):
            self._initiator = "local"
            self._send_close(code, "")
            self._set_timer(self._carrier.connection.timeouts.close or _AFTER_REPLY, self._finish)

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed {self.close_code}"
        return f"<WebSocket {self.http_version} stream {self.stream_id} {state}>"
