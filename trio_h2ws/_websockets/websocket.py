"""What a user holds of one WebSocket (RFC 6455), over HTTP/2 or HTTP/1.1.

Cancel safety: a cancelled `send` has sent nothing, a cancelled `receive` has taken nothing. Leaving a
`client.websocket` block by cancellation resets the stream at once, without waiting.

Messages in parts, and how they are kept apart from whole ones: `parts.py`.
"""

from __future__ import annotations

import json as _json
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, TypeAlias, TypeVar, cast

import trio

from .._connection.info import ConnectionInfo
from .._errors import WebSocketClosed, WebSocketError
from .._protocols.ws.frames import check_close
from .._protocols.ws.sender import Data
from .._requests.response import Response
from .._util import PrivateConstructor
from .channel import Channel
from .heartbeat import Heartbeat
from .parts import IncomingParts, MessageLock, OutgoingMessage, check_part

Parts: TypeAlias = "Iterable[Data] | AsyncIterable[Data]"
Connect: TypeAlias = "Callable[[], Awaitable[WebSocket]]"
"""Opens one WebSocket; a group and a reconnecting WebSocket are given such functions."""

M = TypeVar("M", str, bytes)


class WebSocket(trio.abc.AsyncResource, metaclass=PrivateConstructor):
    """One WebSocket. Made by `Client.websocket`, `connect_websocket` and `run_websocket`.

    One task may receive while others send. `async for message in ws` gives str and bytes until the WebSocket is
    closed with 1000 or 1001, and raises `WebSocketClosed` for any other end.
    """

    __slots__ = ("_channel", "_lock", "response", "subprotocol")

    def __init__(self, channel: Channel, response: Response, subprotocol: str | None) -> None:
        self.response = response
        """The server's answer to the handshake."""
        self.subprotocol = subprotocol
        """The subprotocol that the server chose, or None."""
        self._channel = channel
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
        return self._channel.stream.connection.info()

    @property
    def draining(self) -> trio.Event:
        """Set when the connection is draining (GOAWAY): open a successor, then close this WebSocket."""
        return self._channel.stream.connection.draining.event

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
        """Which side closed first: "local", "remote", or None while it is open or when it broke."""
        return self._channel.initiator

    # Receiving.

    async def receive(self) -> str | bytes:
        """The next message: str for text, bytes for binary.

        Raises `WebSocketClosed` when none will come any more, `ConnectionLost` when the connection died,
        `trio.BusyResourceError` when another task is receiving, `trio.ClosedResourceError` after `aclose`.
        Cancelled, it has taken nothing.
        """
        await self._channel.wait_message()
        return self._channel.take()

    async def receive_batch(self) -> list[str | bytes]:
        """All messages that are here, in one call; waits until there is one. Otherwise like `receive`."""
        channel = self._channel
        await channel.wait_message()
        batch = []
        while channel.queue.messages:
            batch.append(channel.take())
        return batch

    async def receive_text(self) -> str:
        """`receive` a text message. Raises `WebSocketError` if the next message is binary, and leaves it there."""
        return await self._receive_kind(str, "text", "binary")

    async def receive_bytes(self) -> bytes:
        """`receive` a binary message. Raises `WebSocketError` if the next message is text, and leaves it there."""
        return await self._receive_kind(bytes, "binary", "text")

    async def _receive_kind(self, kind: type[M], wanted: str, other: str) -> M:
        channel = self._channel
        await channel.wait_message()
        message = channel.queue.messages[0]
        if not isinstance(message, kind):
            raise WebSocketError(f"the next message is {other}, not {wanted}: it is still there for receive()")
        channel.take()
        return message

    async def receive_json(self) -> Any:
        """`receive` and parse as JSON (RFC 8259). Raises ValueError if the message is not JSON: it is gone then."""
        return _json.loads(await self.receive())

    def receive_parts(self) -> AsyncIterator[str | bytes]:
        """The next message in parts, as they arrive: `async for part in ws.receive_parts()`.

        The message may be of any size (`Limits.max_message_size` does not apply): about `Limits.max_queued_bytes` of
        it are held at most, and one part of a compressed message has at most 64 KiB. (A message that was queued
        whole, before parts were asked for, is one part.) All parts are str, or all are bytes. If the loop is left
        early, the rest of the message is dropped. Any part may raise what `receive` raises.
        """
        return IncomingParts(self._channel)

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        channel = self._channel
        try:
            await channel.wait_message()
        except WebSocketClosed as closed:
            if channel.handed_over or (closed.clean and closed.code in (1000, 1001)):
                raise StopAsyncIteration from None
            raise
        except trio.ClosedResourceError:  # closed here, by another task perhaps, which is an ordinary end
            raise StopAsyncIteration from None
        return channel.take()

    # Sending.

    async def send(self, data: Data | Parts) -> None:
        """Send one message: str as text, bytes-like as binary; an iterable or async iterable of parts as one message.

        Waits while the peer does not read and `Limits.max_send_buffer` bytes wait to be sent. Cancelled, it has sent
        nothing (but see `open_message` for parts). Raises `WebSocketClosed`, `ConnectionLost`,
        `trio.ClosedResourceError` after `aclose`, or `trio.BusyResourceError` inside an `open_message` block of the
        same task, which would wait for itself. TypeError for anything else and ValueError for text with a lone
        surrogate change nothing: a list or tuple of parts is checked before its first is sent.
        """
        if not isinstance(data, (str, bytes, bytearray, memoryview)):
            await self._send_parts(data)
            return
        message = cast("Data", data)  # to a type checker, a memoryview is an iterable as well
        channel, lock = self._channel, self._lock
        if lock.holder is not None:
            lock.check()  # before any wait
        await channel.stream.wait_room()
        while lock.holder is not None:
            await lock.wait()
            await channel.stream.wait_room()
        channel.check_open()
        if channel.send_message(channel.sender.message(message)):
            await trio.lowlevel.cancel_shielded_checkpoint()

    async def _send_parts(self, parts: Parts) -> None:
        if not isinstance(parts, (Iterable, AsyncIterable)) or isinstance(parts, dict):
            raise TypeError(f"a message must be str, bytes-like, or an iterable of these, not {type(parts).__name__}")
        if isinstance(parts, (list, tuple)):
            parts = tuple(parts)
            text: bool | None = None
            for part in parts:
                text = check_part(part, text)
        async with self._open_message(None) as message:
            if isinstance(parts, AsyncGenerator):
                async with aclosing(parts):  # if it is left early, it is closed now, not by the garbage collector
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

        Each part is one frame of the message (RFC 6455, section 5.4). Other tasks that send wait until the block
        ends; inside it, sending anything else raises `trio.BusyResourceError` at once. If the block raises after a
        part was sent, that part can't be taken back: the WebSocket is then closed with 1011, or reset if the block
        was cancelled. Raises TypeError if `text` is not True or False.
        """
        if not isinstance(text, bool):
            raise TypeError(f"text must be True or False, not {type(text).__name__}")
        return self._open_message(text)

    def _open_message(self, text: bool | None) -> OutgoingMessage:
        return OutgoingMessage(self._channel, self._lock, text, self._leave)

    async def send_json(self, value: Any) -> None:
        """`send` a value as JSON text. Raises TypeError or ValueError for a value that JSON or UTF-8 lacks."""
        await self.send(_json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False))

    async def ping(self) -> float:
        """Send a Ping and wait for its Pong (RFC 6455, section 5.5.2). Returns the round trip in seconds.

        Waits without a deadline. If the WebSocket ends first, raises what ended it: see `receive`. Cancelled, the
        Ping has been sent, and its Pong will be ignored.
        """
        return await self._channel.pings.ping()

    def heartbeat(
        self,
        interval: float,
        message: Data | Callable[[], Data],
        *,
        expect: Callable[[str | bytes], object] | None = None,
        timeout: float | None = None,
    ) -> Heartbeat:
        """Send a message of your own protocol every `interval` seconds, in the background, until this WebSocket ends.

        - `message`: str, bytes-like, or a function that gives one each time.
        - `expect`: a function of a received message that says whether it answers the heartbeat; it is called when the
          message arrives, before you receive it, and must not block. Without an answer within `timeout` seconds
          (default: `interval`), this WebSocket is closed with 1006 and that reason, which the task that receives
          gets. While messages wait because your code does not receive, the time stands still. Default: no answer is
          expected.

        Returns an object whose `stop()` ends it. It needs no task. A message in parts that is being sent delays it.
        What your functions raise ends this WebSocket, as the cause of that error. Raises ValueError or TypeError for
        bad arguments, RuntimeError if there is one already.
        """
        channel = self._channel
        channel.check_open()
        if channel.heartbeat is not None:
            raise RuntimeError("this WebSocket has a heartbeat already: stop() that first")
        heartbeat: Heartbeat = Heartbeat._create(channel, self._lock, interval, message, expect, timeout)
        channel.heartbeat = heartbeat
        return heartbeat

    # Closing.

    async def aclose(self, code: int = 1000, reason: str = "") -> None:
        """Close it: Close frame, then wait for the peer's, at most `Timeouts.close` seconds. Idempotent.

        Cancelled, it resets the stream at once and waits no more. Raises ValueError for a code or reason that may
        not be sent (RFC 6455, section 7.4) and TypeError for what is not int and str; then nothing has changed.
        """
        check_close(code, reason)
        self._begin_close(code, reason)
        channel = self._channel
        if channel.ended or channel.receiver.close_received or channel.receiver.failure is not None:
            await trio.lowlevel.checkpoint()  # timers of the connection do the rest of the closing handshake
            return
        try:
            await channel.closing.wait_over()
        except trio.Cancelled:
            channel.finish()
            raise

    def abort(self) -> None:
        """End it at once, without a closing handshake: RST_STREAM(CANCEL) (RFC 8441, section 5.1)."""
        self._channel.abort()
        self._lock.release()

    def _leave(self, error: BaseException) -> None:
        """The block around it raised: 1011 for an error, a reset if it was cancelled. Never waits."""
        if isinstance(error, Exception):
            self._begin_close(1011, "")
        else:
            self.abort()

    def _begin_close(self, code: int, reason: str) -> None:
        """A close without the wait for the peer."""
        self._channel.close(code, reason)
        self._lock.release()

    def __repr__(self) -> str:
        state = "open" if self.close_code is None else f"closed {self.close_code}"
        return f"<WebSocket {self.http_version} stream {self.stream_id} {state}>"
