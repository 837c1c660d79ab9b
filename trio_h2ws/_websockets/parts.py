"""Messages in parts (RFC 6455, section 5.4), sent and received.

Whole messages can't mix: each is queued in one synchronous step. A message in parts is unfinished for as long as its
sender likes, and only control frames may come between its frames. So its sender holds a lock, for which all other
senders of the WebSocket wait.

A task that would wait for its own message would wait for ever: for it that is an error at once. The same holds for a
task in a nursery that was opened inside the message's block, since the block can't end before that nursery.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType

import trio

from .._protocols.ws.sender import LONE_SURROGATE, Data
from .channel import Channel


class MessageLock:
    """Held by the message in parts that is being sent. Few WebSockets ever send one: the queue of senders that wait
    is made when it is needed."""

    __slots__ = ("_nurseries", "_task", "_waiting", "holder")

    def __init__(self) -> None:
        self.holder: object = None
        self._task: trio.lowlevel.Task | None = None  # the task whose message it is
        self._nurseries = 0  # how many it had open when the message began
        self._waiting: trio.lowlevel.ParkingLot | None = None

    def hold(self, message: object) -> None:
        """Only while there is no holder."""
        self.holder = message
        self._task = trio.lowlevel.current_task()
        self._nurseries = len(self._task.child_nurseries)

    def check(self) -> None:
        """Raise trio.BusyResourceError if the message can't end before the current task has sent."""
        task = trio.lowlevel.current_task()
        while task is not self._task:
            nursery = task.parent_nursery
            if nursery is None:
                return
            task = nursery.parent_task
            if task is self._task and nursery not in task.child_nurseries[self._nurseries :]:
                return  # that nursery is older than the message
        raise trio.BusyResourceError(
            "a message is open in this task (open_message, or parts that are being sent), and nothing else can be "
            "sent before it ends: send parts of it, or leave its block first"
        )

    async def wait(self) -> None:
        """Until it was released. It may be held again by then: check `holder`."""
        self.check()
        if self._waiting is None:
            self._waiting = trio.lowlevel.ParkingLot()
        await self._waiting.park()

    def release(self) -> None:
        self.holder = self._task = None
        if self._waiting is not None:
            self._waiting.unpark_all()


def check_part(part: Data, text: bool | None) -> bool:
    """Raise TypeError or ValueError for what can't be a part of a text or binary message (None: either). Returns
    whether it is text."""
    if not isinstance(part, (str, bytes, bytearray, memoryview)):
        raise TypeError(f"a part must be str or bytes-like, not {type(part).__name__}")
    is_text = isinstance(part, str)
    if is_text is not text and text is not None:
        kind = "text: give str" if text else "binary: give bytes"
        raise TypeError(f"this message is {kind} for all of its parts, not {type(part).__name__}")
    if isinstance(part, str) and not part.isascii():
        try:
            part.encode()
        except UnicodeEncodeError:
            raise ValueError(LONE_SURROGATE) from None
    return is_text


class OutgoingMessage:
    """A message in parts, from `WebSocket.open_message`."""

    __slots__ = ("_abandon", "_channel", "_lock", "_started", "_text")

    def __init__(
        self, channel: Channel, lock: MessageLock, text: bool | None, abandon: Callable[[BaseException], None]
    ) -> None:
        self._channel = channel
        self._lock = lock
        self._text = text  # None: decided by its first part
        self._abandon = abandon  # the block raised this error after a part was sent
        self._started = False

    async def __aenter__(self) -> OutgoingMessage:
        await trio.lowlevel.checkpoint()
        while self._lock.holder is not None:
            await self._lock.wait()
        self._channel.check_open()
        self._lock.hold(self)
        return self

    async def send(self, part: Data) -> None:
        """Send the next part: str in a text message, bytes-like in a binary one, else TypeError. After an error the
        message is as it was.

        Waits while `Limits.max_send_buffer` bytes wait to be sent. Cancelled, this part was not sent. Raises what
        `WebSocket.send` raises, and `trio.ClosedResourceError` after the message is finished.
        """
        self._text = check_part(part, self._text)
        channel = self._channel
        await channel.stream.wait_room()
        channel.check_open()
        if self._lock.holder is not self:
            raise trio.ClosedResourceError("this message is finished already: open another one")
        channel.stream.send_nowait(channel.sender.part(part, False))
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
                channel.stream.send_nowait(channel.sender.part(empty, True))
            elif self._started and not channel.is_over:  # else it has ended already, for the reason that others get
                self._abandon(error)
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
        queue = channel.queue
        if self._done:
            await trio.lowlevel.checkpoint()
            raise StopAsyncIteration
        queue.choose_parts()
        channel.resume()
        if queue.has_part or channel.is_over:
            await trio.lowlevel.checkpoint()
        while True:
            if queue.taking and not queue.skipping and not self._started:
                channel.skip_message()  # of an earlier loop, which was left in the middle of its message
                continue
            if queue.has_part and not queue.skipping and not channel.closed:
                break
            if channel.is_over:
                raise channel.end_error()
            await channel.wait()
        self._started = True
        part, self._done = channel.take_part()
        if self._done and not part:
            raise StopAsyncIteration
        return part
