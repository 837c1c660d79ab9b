"""What a user holds of one WebSocket (RFC 6455), whatever carries it.

Cancel safety: a cancelled `send` has sent nothing, a cancelled `receive` has taken nothing. Leaving a
`client.websocket` block by cancellation resets the stream at once, without waiting.

Messages in parts, and how they keep apart from whole ones: `_parts.py`.
"""

from __future__ import annotations

import json as _json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from contextlib import aclosing
from typing import Any, TypeAlias, cast

import trio

from .._connection.info import ConnectionInfo
from .._errors import WebSocketClosed, WebSocketError
from .._protocols.ws.frames import check_close
from .._protocols.ws.sender import Data
from .._requests.response import Response
from .._util import PrivateConstructor
from .channel import Channel
from .parts import IncomingParts, MessageLock, OutgoingMessage

Parts: TypeAlias = "Iterable[Data] | AsyncIterable[Data]"


class WebSocket(trio.abc.AsyncResource, metaclass=PrivateConstructor):
    """One WebSocket. Made by `Client.websocket`, `connect_websocket` and `run_websocket`.

    One task may receive while others send. `async for message in ws` gives str and bytes until the WebSocket is
    closed with 1000 or 1001, and raises `WebSocketClosed` for any other end.
    """

    __slots__ = ("_channel", "_lock", "_ping_count", "response", "subprotocol")

    def __init__(self, channel: Channel, response: Response, subprotocol: str | None) -> None:
        self.response = response
        """The server's answer to the handshake."""
        self.subprotocol = subprotocol
        """The subprotocol that the server chose, or None."""
        self._channel = channel
        self._ping_count = 0
        self._lock = MessageLock()

    # What it is.

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
        info: ConnectionInfo = self._channel.stream.connection.info()
        return info

    @property
    def draining(self) -> trio.Event:
        """Set when the connection is going away (GOAWAY): open the successor, then close this one."""
        event: trio.Event = self._channel.stream.connection.draining
        return event

    @property
    def close_code(self) -> int | None:
        """The code of the Close that ended it; 1005 if it had none, 1006 without one; None while it is open."""
        return self._channel.close_code

    @property
    def close_reason(self) -> str | None:
        """The reason in the Close that ended it; None while it is open."""
        return None if self._channel.close_code is None else self._channel.receiver.close_reason

    @property
    def closed_by(self) -> str | None:
        """Who closed first: "local", "remote", or None while it is open or when it broke."""
        return self._channel.initiator

    # Receiving.

    async def receive(self) -> str | bytes:
        """The next message: str for text, bytes for binary.

        Raises `WebSocketClosed` when none will come any more, `ConnectionLost` when the connection died,
        `trio.BusyResourceError` when another task is receiving, `trio.ClosedResourceError` after `aclose`.
        Cancelled, it has taken nothing.
        """
        await self._wait_message()
        message = self._channel.receiver.queue.pop()
        self._channel.resume()
        return message

    async def _wait_message(self, iterating: bool = False) -> None:
        """Until there is a whole message. Nothing is awaited after it is seen."""
        channel = self._channel
        receiver = channel.receiver
        if receiver.queue.want_parts is not False:
            receiver.queue.want_parts = False
            channel.resume()
        if receiver.queue.messages or channel.is_over:
            await channel.checkpoint()
        while True:
            if receiver.queue.taking and not receiver.queue.skipping:
                channel.skip_message()
                continue
            if receiver.queue.messages and not channel.closed:
                return
            if channel.is_over:
                raise channel.end_error()
            if channel.successor_due and iterating:
                raise StopAsyncIteration
            await channel.wait()

    async def receive_batch(self) -> list[str | bytes]:
        """Every message that is here, in one call; waits until there is one. For the rest it is like `receive`."""
        await self._wait_message()
        receiver = self._channel.receiver
        batch = []
        while receiver.queue.messages:
            batch.append(receiver.queue.pop())
            if not receiver.queue.messages:
                self._channel.resume()
        return batch

    async def receive_text(self) -> str:
        """`receive` a text message. Raises `WebSocketError`, and leaves it where it is, if the next one is binary."""
        await self._wait_message()
        if not isinstance(self._channel.receiver.queue.messages[0], str):
            raise WebSocketError("the next message is binary, and text was asked for")
        message = self._channel.receiver.queue.pop()
        self._channel.resume()
        assert isinstance(message, str)
        return message

    async def receive_bytes(self) -> bytes:
        """`receive` a binary message. Raises `WebSocketError`, and leaves it where it is, if the next one is text."""
        await self._wait_message()
        if not isinstance(self._channel.receiver.queue.messages[0], bytes):
            raise WebSocketError("the next message is text, and binary was asked for")
        message = self._channel.receiver.queue.pop()
        self._channel.resume()
        assert isinstance(message, bytes)
        return message

    async def receive_json(self) -> Any:
        """`receive` and parse as JSON (RFC 8259). Raises ValueError when the message is not JSON: it is gone then."""
        return _json.loads(await self.receive())

    def receive_parts(self) -> AsyncIterator[str | bytes]:
        """The next message in parts, as they come: `async for part in ws.receive_parts()`.

        The message may be of any size (`Limits.max_message_size` does not hold for it): no more than
        `Limits.max_queued_bytes` of it are held. All parts are str, or all are bytes. If the loop is left early, the
        rest of the message is dropped. Errors as of `receive`, at any part.
        """
        return IncomingParts(self._channel)

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            await self._wait_message(iterating=True)
        except WebSocketClosed as closed:
            if closed.clean and closed.code in (1000, 1001):
                raise StopAsyncIteration from None
            raise
        message = self._channel.receiver.queue.pop()
        self._channel.resume()
        return message

    # Sending.

    async def send(self, data: Data | Parts) -> None:
        """Send one message: str as text, bytes-like as binary; an iterable or async iterable of parts as one message.

        Waits while the peer does not read and `Limits.max_send_buffer` bytes wait. Cancelled, it has sent nothing
        (but see `open_message` for parts). Raises `WebSocketClosed`, `ConnectionLost`, or
        `trio.ClosedResourceError` after `aclose`.
        """
        if not isinstance(data, (str, bytes, bytearray, memoryview)):
            await self._send_parts(data)
            return
        message = cast("Data", data)  # memoryview is an iterable, too, to a type checker
        channel = self._channel
        await channel.stream.wait_room()
        while self._lock.holder is not None:
            await self._lock.wait()
            await channel.stream.wait_room()
        channel.check_open()
        if channel.send_message(channel.sender.message(message)):
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def _send_parts(self, parts: Parts) -> None:
        if not isinstance(parts, (Iterable, AsyncIterable)) or isinstance(parts, dict):
            raise TypeError(f"a message must be str, bytes-like, or an iterable of these, not {type(parts).__name__}")
        async with self._open_message(None) as message:
            if isinstance(parts, AsyncGenerator):
                async with aclosing(parts):  # left in the middle, it is closed now, not by the garbage collector
                    async for part in parts:
                        await message.send(part)
            elif isinstance(parts, AsyncIterable):
                async for part in parts:
                    await message.send(part)
            else:
                for part in parts:
                    await message.send(part)

    def open_message(self, *, text: bool) -> OutgoingMessage:
        """A message that is sent in parts: `async with ws.open_message(text=True) as m: await m.send(part)`.

        Each part is one frame of the message (RFC 6455, section 5.4). Other senders wait until the block ends. A
        block that ends with an error after a part has left can't take it back: the WebSocket is then closed with
        1011, or reset when it was cancelled.
        """
        return self._open_message(text)

    def _open_message(self, text: bool | None) -> OutgoingMessage:
        return OutgoingMessage(self._channel, self._lock, text, self._leave)

    async def send_json(self, value: Any) -> None:
        """`send` a value as JSON text. Raises TypeError or ValueError for what JSON does not know."""
        await self.send(_json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False))

    async def ping(self) -> float:
        """Send a Ping and wait for its Pong (RFC 6455, section 5.5.2). Returns the round trip in seconds.

        Waits without a deadline. Raises what ended the WebSocket, if it ends first: see `receive`. Cancelled, the
        Ping has left, and its Pong will be ignored.
        """
        channel = self._channel
        await trio.lowlevel.checkpoint_if_cancelled()
        channel.check_open()
        self._ping_count += 1
        payload = self._ping_count.to_bytes(4, "big")
        answered = trio.Event()
        channel.pings[payload] = answered
        start = trio.current_time()
        channel.stream.send_nowait(channel.sender.ping(payload))
        try:
            await answered.wait()
        finally:
            unanswered = channel.pings.pop(payload, None) is not None
        if unanswered:
            raise channel.end_error()
        return trio.current_time() - start

    # Closing.

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close it: Close frame, then wait for the peer's, at most `Timeouts.close` seconds. Idempotent.

        Cancelled, it resets the stream at once and waits no more. Raises ValueError for a code or reason that may
        not be sent (RFC 6455, section 7.4).
        """
        check_close(code, reason)
        self._begin_close(code, reason)
        channel = self._channel
        if channel.ended or channel.receiver.close_received or channel.receiver.failure is not None:
            await trio.lowlevel.checkpoint()  # what is left of the closing handshake, the connection's timers do
            return
        if channel.over is None:
            channel.over = trio.Event()
        try:
            await channel.over.wait()
        except trio.Cancelled:
            channel.finish()
            raise

    def abort(self) -> None:
        """End it at once, without a closing handshake: RST_STREAM(CANCEL) (RFC 8441, section 5.1)."""
        self._channel.closed = True
        self._channel.finish()
        self._lock.release()

    def _leave(self, error: BaseException) -> None:
        """The block around it raised: 1011 for an error, a reset when it was cancelled. Never waits."""
        if not isinstance(error, Exception):
            self.abort()
        else:
            self._begin_close(1011, "")

    def _begin_close(self, code: int, reason: str) -> None:
        """Everything of a close but the waiting."""
        channel = self._channel
        if not (channel.closed or channel.is_over):
            channel.close_soon(code, reason)
        channel.mark_closed()
        self._lock.release()

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed {self.close_code}"
        return f"<WebSocket {self.http_version} stream {self.stream_id} {state}>"
