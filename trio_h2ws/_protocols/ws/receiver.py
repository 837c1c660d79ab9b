"""One WebSocket, client side, without IO: bytes in, messages and replies out (RFC 6455, 7692).

wsproto knows the protocol. What it lacks is bounds: it accepts any announced length, any number of fragments, any
message size. So frame headers are read here first, each bound is checked before a byte of payload is buffered, and
then wsproto gets the frame, in whatever pieces it arrives.

Two lanes. A message in one frame that is all here is most of the traffic of most users, and needs nothing that
wsproto knows: the fast lane takes its payload directly. Everything else (fragments, control frames, large or partial
frames, every violation) goes the wsproto lane. A property test holds that both lanes
say the same for any bytes.

Back-pressure. The receiver parses only while its queue has room; what it was given beyond that stays raw, and its
owner gives it no more. So pings and closes are answered while the application is busy, up to that bound.

Whole or in parts. An application that takes whole messages (`want_parts` False) is protected by `max_message_size`.
One that takes parts gets each as it comes, so the message may be of any size, and only what waits is bounded. Until
the application has said which (`want_parts` None), a message that is too large to hold waits, unread.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from ..._config import Limits
from ..token_bucket import TokenBucket
from .deflate import Deflate

TEXT, BINARY = 0x81, 0x82  # FIN and opcode, no reserved bit
_COMPRESSED = (TEXT | 0x40, BINARY | 0x40)  # the same with RSV1, which permessage-deflate owns
_CLOSE = 0x88
_FAST = 64 * 1024  # a frame up to this size may take the fast lane
_INFLATE_STEP = 1024  # compressed bytes inflated at once when parts are taken: at most about a thousand times as many


class FrameReceiver:
    """Feed it with `receive`, take from `messages` (or `take_part`); send what `replies` holds."""

    __slots__ = (
        "_announced",
        "_bucket",
        "_deflate",
        "_frame_left",
        "_in_message",
        "_limits",
        "_parts",
        "_parts_size",
        "_raw",
        "_small_frames",
        "_undecided",
        "_wsproto",
        "close_code",
        "close_reason",
        "close_received",
        "failure",
        "messages",
        "part_done",
        "pongs",
        "queued_bytes",
        "replies",
        "skipping",
        "stalled",
        "taking",
        "want_parts",
    )

    def __init__(self, limits: Limits, deflate: Deflate | None, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._deflate = deflate
        self._wsproto: FrameProtocol | None = None  # made when the first frame needs it: many a socket is idle
        self._bucket: TokenBucket = TokenBucket(limits.max_idle_frames, limits.idle_frames_per_second, clock)
        self._raw = b""
        self._frame_left = 0  # bytes of the frame in wsproto's lane that have not come yet
        self._in_message = False
        self._parts: list[Any] = []
        self._parts_size = 0
        self._announced = 0
        self._small_frames = 0
        self.messages: list[str | bytes] = []  # a short one: an empty deque takes more memory than all the rest here
        self.queued_bytes = 0
        self.stalled = False  # bytes wait for room, or for the application's choice
        self.want_parts: bool | None = None
        self._undecided = False  # a message too large to hold stands next, and nobody has said how it is wanted
        self.taking = False  # parts of the message under way were taken already
        self.part_done = False  # and its last part is here
        self.skipping = False  # the rest of it is not wanted
        self.replies = bytearray()  # pongs
        self.pongs: list[bytes] = []  # payloads that the peer answered
        self.close_received = False
        self.close_code: int | None = None
        self.close_reason = ""
        self.failure: tuple[int, str] | None = None
        """Set when the peer broke the protocol or a bound: the close code to send, and why."""

    @property
    def queue(self) -> FrameReceiver:
        """What waits for the application."""
        return self

    @property
    def has_room(self) -> bool:
        """Whether more bytes would be parsed."""
        if self._undecided and self.want_parts is None:
            return False
        limits = self._limits
        held = self.queued_bytes
        if self.want_parts:
            held += self._parts_size
        return (
            not self.part_done and len(self.messages) < limits.max_queued_messages and held < limits.max_queued_bytes
        )

    @property
    def wsproto(self) -> FrameProtocol:
        """wsproto's part of this WebSocket; what is sent in parts goes through it, too."""
        if self._wsproto is None:
            self._wsproto = FrameProtocol(
                client=True, extensions=[self._deflate] if self._deflate is not None else []
            )
        return self._wsproto

    def receive(self, data: bytes) -> None:
        """Parse `data`, as far as there is room. Look at `messages`, `replies`, `close_received`, `failure`."""
        raw = self._raw + data if self._raw else data
        self._raw = b""
        self.stalled = False
        if self.close_received or self.failure is not None:
            return  # RFC 6455, section 5.5.1: nothing counts after a Close
        position, size = 0, len(raw)
        messages = self.messages
        try:
            while position < size and self.has_room:
                if self._frame_left:
                    step = self._frame_left
                    if self.want_parts and self._deflate is not None and self._deflate.inflating:
                        step = min(step, _INFLATE_STEP)
                    chunk = raw[position : position + step]
                    position += len(chunk)
                    self._frame_left -= len(chunk)
                    self._slow_lane(chunk)
                    if self.close_received:
                        return
                    continue
                if size - position < 2:
                    break
                first, length = raw[position], raw[position + 1]
                head = 2
                if length >= 126:
                    # The mask bit, which a server must not set, comes here too: wsproto says what is wrong with it.
                    kind = length & 0x7F
                    head = 4 if kind == 126 else 10 if kind == 127 else 2
                    if size - position < head:
                        break
                    masked = length & 0x80
                    length = int.from_bytes(raw[position + 2 : position + head], "big") if head > 2 else kind
                else:
                    masked = 0
                end = position + head + length
                if (
                    (
                        first == TEXT
                        or first == BINARY
                        or (first in _COMPRESSED and self._deflate is not None and not self.want_parts)
                    )
                    and end <= size
                    and not self._in_message
                    and not masked
                    and length <= _FAST
                    and (head == 2 or length > (125 if head == 4 else 65535))  # the shortest form, section 5.2
                    and (self._limits.max_message_size is None or length <= self._limits.max_message_size)
                ):
                    payload = raw[position + head : end]
                    if first & 0x40:
                        payload = self._inflate(payload)
                    message = payload.decode() if first & 1 else payload
                    messages.append(message)
                    self.queued_bytes += len(message)
                    self._bucket.earn(2)
                    position = end
                    continue
                if first == _CLOSE and head == 2 and not masked:
                    if end > size:
                        break  # at most 125 bytes: they are awaited, so it never matters how they were cut
                    self._spend()
                    self._on_close(raw[position + head : end])
                    return
                self._undecided = not self._admit(first, length)
                if self._undecided:
                    break
                self._frame_left = head + length
        except UnicodeDecodeError as error:
            self.failure = (CloseReason.INVALID_FRAME_PAYLOAD_DATA, str(error))
        except ParseFailed as error:
            self.failure = (error.code, str(error) or "protocol error")
        else:
            self._raw = raw[position:]
            self.stalled = position < size and not self.has_room

    def _on_close(self, payload: bytes) -> None:
        """Here and not in wsproto, which does not know 1014 (IANA's registry does)."""
        code = 1005
        if payload:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 0
            if not is_close_code(code):
                raise ParseFailed(f"a Close with code {code}, which may not be sent")
        self.close_reason = payload[2:].decode()
        self.close_code = code
        self.close_received = True

    def _inflate(self, payload: bytes) -> bytes:
        assert self._deflate is not None
        inflated = self._deflate.inflate_message(payload, self._limits.max_message_size)
        if isinstance(inflated, CloseReason):
            raise ParseFailed("a compressed message that is broken, or larger than Limits.max_message_size", inflated)
        return inflated

    def _admit(self, first: int, length: int) -> bool:
        """The bounds, before a byte of the payload is buffered. False: wait until the application has chosen."""
        if first & 0x08:  # a control frame; wsproto holds it to 125 bytes
            self._spend()
            return True
        limits = self._limits
        announced = length if first & 0x0F else self._announced + length
        compressed = self._deflate is not None and (first & 0x40 or self._deflate.inflating)
        if limits.max_message_size is not None and not compressed and announced > limits.max_message_size:
            if self.want_parts is None:
                return False
            if not self.want_parts:
                raise ParseFailed(
                    f"a message of more than {limits.max_message_size} bytes (Limits.max_message_size)",
                    CloseReason.MESSAGE_TOO_BIG,
                )
        if first & 0x0F:
            self._in_message = True
            self._small_frames = 0
            if self._deflate is not None:
                self._deflate.allowed = None if self.want_parts else limits.max_message_size
        self._announced = announced
        if length < 64 and not first & 0x80:
            self._small_frames += 1
            if limits.max_fragments is not None and self._small_frames > limits.max_fragments:
                raise ParseFailed(
                    f"a message in more than {limits.max_fragments} small fragments (Limits.max_fragments)",
                    CloseReason.POLICY_VIOLATION,
                )
        return True

    def _spend(self) -> None:
        if not self._bucket.spend():
            raise ParseFailed(
                f"more than {self._bucket.burst} control frames in a burst (Limits.max_idle_frames)",
                CloseReason.POLICY_VIOLATION,
            )

    def _slow_lane(self, chunk: bytes) -> None:
        self.wsproto.receive_bytes(chunk)
        for frame in self.wsproto.received_frames():
            opcode = frame.opcode
            payload: Any = frame.payload  # str, bytes, or (code, reason) of a Close
            if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
                if (payload or not self._parts) and not self.skipping:
                    self._parts.append(payload)
                    self._parts_size += len(payload)
                if frame.message_finished:
                    self._message_done(opcode is Opcode.TEXT)
            elif opcode is Opcode.PING:
                self.replies += self.wsproto.pong(payload)
            elif opcode is Opcode.PONG:
                self.pongs.append(payload)
            else:
                self.close_received = True
                self.close_code, self.close_reason = int(payload[0]), payload[1]

    def _message_done(self, text: bool) -> None:
        self._in_message = False
        self._announced = 0
        self._bucket.earn(2)
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

    # What the application takes.

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
        """From now on the application takes parts; the message under way may be of any size."""
        self.want_parts = True
        if self._deflate is not None:
            self._deflate.allowed = None

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
        """Forget the rest of a message whose parts were left in the middle: what is here, and what will come."""
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
        self.want_parts = True  # of a message under way, too: each part is dropped as it comes
        self.taking = self._in_message
        self.skip_message()


def is_close_code(code: int) -> bool:
    """Whether a Close may carry it (RFC 6455, section 7.4, and IANA's registry of close codes)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))
