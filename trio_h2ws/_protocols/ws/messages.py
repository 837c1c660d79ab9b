"""What the application takes from one WebSocket: whole messages, or the parts of one as they come.

An application that takes whole messages is protected by `Limits.max_message_size`. One that takes parts gets each as
it comes, so the message may be of any size, and only what waits is bounded. Until the application has chosen, a
message that is too large to be held is not parsed.

    want_parts   undecided
    None         no          the application has not chosen, and nothing depends on it yet
    None         yes         the next frame takes its message beyond max_message_size: nothing is parsed until then
    False        any         whole messages
    True         any         parts

Of the message whose parts are taken (no other combination occurs):

    taking   part_done   skipping
    no       no          no         none was taken; at its end it would become a whole message in `messages`
    yes      no          no         some were taken, and more may come
    yes      yes         no         its last part is here; nothing is parsed until that is taken
    yes      no          yes        the application left it: whatever comes of it is dropped, up to its end
"""

from __future__ import annotations

from typing import Any

from ..._config import Limits
from ..pieces import BLOCK, SMALL
from .deflate import Deflate

# Shared by all queues without parts, and never changed: most WebSockets never have one.
_NONE: list[Any] = []
_OVERHEAD = 64  # bytes that Python needs for a short message, beside its content


class MessageQueue:
    """Filled by the receiver, emptied by the application: with `pop`, or with `take_part`."""

    __slots__ = (
        "_deflate",
        "_limits",
        "_parts",
        "_parts_size",
        "in_message",
        "messages",
        "part_done",
        "queued_bytes",
        "skipping",
        "taking",
        "undecided",
        "want_parts",
    )

    def __init__(self, limits: Limits, deflate: Deflate | None) -> None:
        self._limits = limits
        self._deflate = deflate
        self.messages: list[str | bytes] = []  # short; an empty deque takes more memory than all the rest
        self.queued_bytes = 0
        self._parts: list[Any] = _NONE
        self._parts_size = 0
        self.in_message = False  # the first frame of a message was admitted, and its last has not come
        self.want_parts: bool | None = None
        self.undecided = False  # the next frame's message is too large to be held, and want_parts was None
        self.taking = False
        self.part_done = False
        self.skipping = False

    @property
    def has_room(self) -> bool:
        """Whether the receiver should parse more."""
        if self.undecided and self.want_parts is None:
            return False
        limits = self._limits
        count = len(self.messages)
        held = self.queued_bytes + _OVERHEAD * count
        if self.want_parts:
            held += self._parts_size
        return not self.part_done and count < limits.max_queued_messages and held < limits.max_queued_bytes

    # Filled by the receiver, which appends a message that came in one frame to `messages` itself.

    def add_part(self, part: str | bytes) -> None:
        """A piece of the current message came."""
        if (part or not self._parts) and not self.skipping:
            parts = self._parts
            if parts is _NONE:
                self._parts = parts = []
            if parts and len(part) < SMALL and len(parts[-1]) < BLOCK:
                parts[-1] += part
            else:
                parts.append(part)
            self._parts_size += len(part)

    def end_message(self, text: bool) -> None:
        """The current message is complete."""
        self.in_message = False
        if self.taking:
            if self.skipping:
                self.taking = self.skipping = False
            else:
                self.part_done = True
            return
        parts = self._parts
        self.messages.append(parts[0] if len(parts) == 1 else ("" if text else b"").join(parts))
        self.queued_bytes += self._parts_size
        parts.clear()
        self._parts_size = 0

    # Taken by the application.

    def pop(self) -> str | bytes:
        """The next whole message."""
        message = self.messages.pop(0)
        self.queued_bytes = self.queued_bytes - len(message) if self.messages else 0
        return message

    @property
    def has_part(self) -> bool:
        """Whether `take_part` would give something: a part, or the end of the message."""
        return bool(self.messages) or bool(self._parts_size) or self.part_done

    def choose_parts(self) -> None:
        """From now on the application takes parts; the current message may be of any size."""
        self.want_parts = True
        if self._deflate is not None:
            self._deflate.allowed = None

    def first_above(self, limit: int) -> int | None:
        """The index of the first whole message of more than `limit` bytes."""
        for index, message in enumerate(self.messages):
            if _size(message) > limit:
                return index
        return None

    @property
    def parts_bytes(self) -> int:
        """Bytes of the current message that are here."""
        return sum(_size(part) for part in self._parts)

    def drop_from(self, index: int) -> None:
        """Drop the messages from this one on, and the parts of the current message."""
        del self.messages[index:]
        self.queued_bytes = sum(map(len, self.messages))
        self._parts.clear()
        self._parts_size = 0

    def take_part(self) -> tuple[str | bytes, bool]:
        """The next part, and whether it is the message's last. Call it only if `has_part`."""
        if not self.taking and self.messages:
            return self.pop(), True
        self.taking = True
        parts = self._parts
        part = parts.pop(0) if parts else b""
        self._parts_size -= len(part)
        done = self.part_done and not parts
        if done:
            self.taking = self.part_done = False
        return part, done

    def skip_message(self) -> None:
        """Drop the rest of a message of which parts were taken: what has come, and what will come."""
        self._parts.clear()
        self._parts_size = 0
        if self.part_done:
            self.taking = self.part_done = False
        else:
            self.skipping = self.taking

    def forget(self) -> None:
        """Drop every message and part that waits."""
        self.messages.clear()
        self.queued_bytes = 0
        self.want_parts = True  # so that each part of the current message is dropped as it comes
        self.taking = self.in_message
        self.skip_message()


def _size(part: str | bytes) -> int:
    return len(part.encode()) if isinstance(part, str) else len(part)
