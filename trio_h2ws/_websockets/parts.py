"""Messages in parts (RFC 6455, section 5.4), both ways.

Whole messages keep apart by themselves: each is queued in one synchronous step. A message in parts is under way for
as long as its sender likes, and nothing but control frames may stand in the middle of it. So it needs its turn: other
senders wait until it is finished.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType

import trio

from .._protocols.ws.sender import Data
from .channel import Channel


class MessageLock:
    """Whose message is under way. Most WebSockets never have one in parts: the queue is made when it is needed."""

    __slots__ = ("_waiting", "holder")

    def __init__(self) -> None:
        self.holder: object = None
        self._waiting: trio.lowlevel.ParkingLot | None = None

    async def wait(self) -> None:
        """Until it may be free: look again."""
        if self._waiting is None:
            self._waiting = trio.lowlevel.ParkingLot()
        await self._waiting.park()

    def release(self) -> None:
        self.holder = None
        if self._waiting is not None:
            self._waiting.unpark_all()


class OutgoingMessage:
    """A message in parts, from `WebSocket.open_message`."""

    __slots__ = ("_channel", "_give_up", "_lock", "_started", "_text")

    def __init__(
        self, channel: Channel, turn: MessageLock, text: bool | None, give_up: Callable[[BaseException], None]
    ) -> None:
        self._channel = channel
        self._lock = turn
        self._text = text  # None: its first part tells
        self._give_up = give_up  # the block ended with this error, and the message's beginning has left
        self._started = False

    async def __aenter__(self) -> OutgoingMessage:
        await trio.lowlevel.checkpoint()
        while self._lock.holder is not None:
            await self._lock.wait()
        self._channel.check_open()
        self._lock.holder = self
        return self

    async def send(self, part: Data) -> None:
        """Send the next part: str in a text message, bytes-like in a binary one, else TypeError.

        Waits while `Limits.max_send_buffer` bytes wait. Cancelled, this part was not sent. Raises what
        `WebSocket.send` raises, and `trio.ClosedResourceError` after the message is finished.
        """
        if not isinstance(part, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"a part must be str or bytes-like, not {type(part).__name__}")
        if self._text is None:
            self._text = isinstance(part, str)
        if isinstance(part, str) is not self._text:
            raise TypeError(f"this message is {'text' if self._text else 'binary'}, and so must be all of its parts")
        channel = self._channel
        await channel.stream.wait_room()
        channel.check_open()
        if self._lock.holder is not self:
            raise trio.ClosedResourceError("this message is finished already")
        channel.stream.send_nowait(channel.sender.part(part, False, compress=True))
        self._started = True
        await trio.lowlevel.cancel_shielded_checkpoint()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        channel = self._channel
        if self._lock.holder is not self:
            return
        try:
            if error is None:
                empty: str | bytes = "" if self._text else b""
                channel.check_open()
                channel.stream.send_nowait(channel.sender.part(empty, True, compress=True))
            elif self._started and not channel.is_over:  # else it has an end already, and others must hear of that
                self._give_up(error)
        finally:
            self._lock.release()


class IncomingParts:
    """One message in parts, from `WebSocket.receive_parts`."""

    __slots__ = ("_channel", "_done", "_started")

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._started = False
        self._done = False

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        channel = self._channel
        receiver = channel.receiver
        if self._done:
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        receiver.queue.choose_parts()
        channel.resume()
        if receiver.queue.has_part or channel.is_over:
            await trio.lowlevel.checkpoint()
        while True:
            if receiver.queue.taking and not receiver.queue.skipping and not self._started:
                channel.skip_message()
                continue
            if receiver.queue.has_part and not receiver.queue.skipping and not channel.closed:
                break
            if channel.is_over:
                raise channel.end_error()
            await channel.wait()
        self._started = True
        part, self._done = receiver.queue.take_part()
        channel.resume()
        if self._done and not part:
            raise StopAsyncIteration
        return part
