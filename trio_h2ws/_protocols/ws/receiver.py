"""The receiving half of one WebSocket, client side, without IO: bytes in, messages and replies out (RFC 6455, 7692).

wsproto knows the protocol but not our bounds: it accepts any announced length, any number of fragments, any message
size. So frame headers are read here first, each bound is checked before a byte of payload is buffered, and then
wsproto gets the frame, in whatever pieces it arrives.

Two lanes. Most traffic is messages in one frame that has come completely, and they need nothing that wsproto knows:
the fast lane takes their payload directly, and that of good control frames. Everything else (fragments, large or
partial frames, every violation) takes wsproto's lane, which is made when it is first needed. A property test checks
that both lanes give the same result for any bytes.

Compression (RFC 7692). A compressed frame in wsproto's lane is inflated here, in parts of bounded size, each of which
wsproto gets as an uncompressed frame of the same message. So a part is inflated only when there is room for it,
however many of them one frame gives.

Back-pressure. The receiver parses only while its queue (`messages.py`) has room. It keeps the bytes beyond that
unparsed, and its owner should not give it more. Up to that bound, pings and closes are answered while the application
is busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from ..._config import Limits
from ..token_bucket import TokenBucket
from .deflate import TAIL, Deflate
from .frames import BINARY, CLOSE, COMPRESSED, PING, PONG, TEXT, control_frame, is_close_code, plain_frame
from .messages import MessageQueue

_FAST = 64 * 1024  # a frame up to this size may take the fast lane
_INFLATE_STEP = 16 * 1024  # compressed bytes that zlib gets at once: at each step it copies what it has not used yet


class FrameReceiver:
    """Feed it with `receive`, take messages from `queue`, send what `replies` holds."""

    __slots__ = (
        "_announced",
        "_bucket",
        "_compressed",
        "_deflate",
        "_first",
        "_frame_left",
        "_inflating",
        "_limits",
        "_lost",
        "_raw",
        "_small_frames",
        "_wsproto",
        "close_code",
        "close_reason",
        "close_received",
        "failure",
        "pongs",
        "queue",
        "replies",
        "stalled",
    )

    def __init__(self, limits: Limits, deflate: Deflate | None, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._deflate = deflate
        self._wsproto: FrameProtocol | None = None  # made when the first frame needs it: many WebSockets are idle
        self._bucket: TokenBucket = TokenBucket(limits.max_idle_frames, limits.idle_frames_per_second, clock)
        self._raw = b""
        self._lost = False
        self._frame_left = 0  # bytes of the frame in wsproto's lane that have not come yet, + 1 while `_inflating`
        self._compressed = False  # the message in progress is compressed
        self._inflating = False  # the frame in progress belongs to it, and has not been given to wsproto completely
        self._first = 0  # the first byte of what wsproto gets of it next
        self._announced = 0
        self._small_frames = 0
        self.queue = MessageQueue(limits, deflate)
        self.stalled = False  # bytes wait until the queue has room
        self.replies = bytearray()  # pongs
        self.pongs: list[bytes] = []  # payloads that the peer answered
        self.close_received = False
        self.close_code: int | None = None
        self.close_reason = ""
        self.failure: tuple[int, str] | None = None
        """Set when the peer broke the protocol or a bound: the close code to send, and why."""

    @property
    def wsproto(self) -> FrameProtocol:
        """wsproto's part of this WebSocket; the sender uses it as well."""
        if self._wsproto is None:
            self._wsproto = FrameProtocol(
                client=True, extensions=[self._deflate] if self._deflate is not None else []
            )
        return self._wsproto

    def release(self) -> None:
        """Nothing will be received or sent any more: drop the buffers. What is in the queue stays."""
        self._raw = b""
        self.stalled = self._inflating = False
        self._wsproto = None
        if self._deflate is not None:
            self._deflate.release()

    def receive(self, data: bytes) -> None:
        """Parse `data` while the queue has room. The results are in the public attributes."""
        raw = self._raw + data if self._raw else data
        self._raw = b""
        self.stalled = False
        if self.close_received or self.failure is not None or self._lost:
            return  # RFC 6455, section 5.5.1: nothing counts after a Close
        position, size = 0, len(raw)
        queue = self.queue
        messages = queue.messages
        # One long loop on purpose: it is the hot path of every WebSocket.
        try:
            while (position < size or self._inflating) and queue.has_room:
                if self._frame_left:
                    if self._inflating:
                        at = self._inflate_part(raw, position)
                        if at < 0:
                            break
                        position = at
                        continue
                    chunk = raw[position : position + self._frame_left]
                    position += len(chunk)
                    self._frame_left -= len(chunk)
                    self._slow_lane(chunk)
                    continue
                if size - position < 2:
                    break
                first, length = raw[position], raw[position + 1]
                head = 2
                if length >= 126:
                    # The mask bit, which a server must not set, is seen here as well: wsproto says what is wrong.
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
                        or (first in COMPRESSED and self._deflate is not None and not queue.want_parts)
                    )
                    and end <= size
                    and not queue.in_message
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
                    queue.queued_bytes += len(message)
                    self._bucket.earn(2)
                    position = end
                    continue
                if first == CLOSE and head == 2 and not masked:
                    if end > size:
                        break  # at most 125 bytes: waiting for all of them makes it irrelevant how they were split
                    self._spend()
                    self._on_close(raw[position + head : end])
                    return
                if first in (PING, PONG) and head == 2 and not masked:
                    if end > size:
                        break
                    self._spend()
                    if first == PING:
                        self.replies += control_frame(PONG, raw[position + head : end])
                    else:
                        self.pongs.append(raw[position + head : end])
                    position = end
                    continue
                expected = (0,) if queue.in_message else (0x41, 0x42)
                queue.undecided = not self._admit(first, length)
                if queue.undecided:
                    break
                if (
                    self._compressed
                    and first & 0x7F in expected
                    and not masked
                    and (head == 2 or length > (125 if head == 4 else 65535))
                    and length < 1 << 63
                ):
                    position += head
                    self._inflating = True
                    self._first = first & 0x8F
                    self._frame_left = length + 1
                else:  # a violation, if it is compressed: wsproto says what is wrong
                    self._frame_left = head + length
        except UnicodeDecodeError as error:
            self.failure = (int(CloseReason.INVALID_FRAME_PAYLOAD_DATA), _not_utf8(error))
        except ParseFailed as error:
            cause = error.__cause__ or error.__context__
            reason = _not_utf8(cause) if isinstance(cause, UnicodeDecodeError) else str(error)
            self.failure = (int(error.code), reason or "protocol error")
        except Exception:  # a bug, which leaves it unknown where the next frame begins
            self._lost = True
            raise
        else:
            self._raw = raw[position:]
            waits = position < size or (self._inflating and self._deflate is not None and self._deflate.more)
            self.stalled = waits and not queue.has_room

    def _on_close(self, payload: bytes) -> None:
        """Not left to wsproto, which does not know code 1014 (IANA's registry does)."""
        code = 1005
        if payload:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 0
            if not is_close_code(code):
                raise ParseFailed(f"a Close with code {code}, which must not be sent")
        self.close_reason = payload[2:].decode()
        self.close_code = code
        self.close_received = True

    def _inflate(self, payload: bytes) -> bytes:
        assert self._deflate is not None
        inflated = self._deflate.inflate_message(payload, self._limits.max_message_size)
        if isinstance(inflated, CloseReason):
            raise self._not_inflated(inflated)
        return inflated

    def _not_inflated(self, reason: CloseReason) -> ParseFailed:
        if reason is CloseReason.MESSAGE_TOO_BIG:
            return ParseFailed(self._too_big(), reason)
        return ParseFailed("a compressed message that is not valid DEFLATE (RFC 7692)", reason)

    def _too_big(self) -> str:
        return f"a message of more than {self._limits.max_message_size} bytes (Limits.max_message_size)"

    def _inflate_part(self, raw: bytes, position: int) -> int:
        """Inflate the next part of the compressed frame whose payload goes on at `position`, and give it to wsproto.

        Returns where it goes on then; -1 if nothing can be done before more bytes come.
        """
        deflate = self._deflate
        assert deflate is not None
        data = b""
        if not deflate.more:
            data = raw[position : position + min(self._frame_left - 1, _INFLATE_STEP)]
            if not data and self._frame_left > 1:
                return -1
            position += len(data)
            self._frame_left -= len(data)
            if self._frame_left == 1 and self._first & 0x80:
                data += TAIL
        part = deflate.inflate(data)
        if isinstance(part, CloseReason):
            raise self._not_inflated(part)
        if self._frame_left > 1 or deflate.more:
            if part:
                self._slow_lane(plain_frame(self._first & 0x0F, part))
                self._first &= 0x80
            return position
        self._frame_left = 0
        self._inflating = False
        if self._first & 0x80:
            self._compressed = False
            deflate.end_message()
        self._slow_lane(plain_frame(self._first, part))
        return position

    def _admit(self, first: int, length: int) -> bool:
        """Check the bounds, before a byte of payload is buffered. False: wait until the application has chosen."""
        if first & 0x40 and self._deflate is not None and (first & 0x08 or not first & 0x0F):
            what = "a control" if first & 0x08 else "a continuation"
            raise ParseFailed(
                f"RSV1 on {what} frame: it is on the first frame of a message only (RFC 7692, section 6)"
            )
        if first & 0x08:  # a control frame; wsproto limits it to 125 bytes
            self._spend()
            return True
        limits, queue = self._limits, self.queue
        announced = length if first & 0x0F else self._announced + length
        compressed = self._deflate is not None and bool(first & 0x40 or self._compressed)
        if limits.max_message_size is not None and not compressed and announced > limits.max_message_size:
            if queue.want_parts is None:
                return False
            if not queue.want_parts:
                raise ParseFailed(self._too_big(), CloseReason.MESSAGE_TOO_BIG)
        if first & 0x0F:
            queue.in_message = True
            self._compressed = compressed and bool(first & 0x40)
            self._small_frames = 0
            if self._deflate is not None:
                self._deflate.allowed = None if queue.want_parts else limits.max_message_size
        self._announced = announced
        if length < 64 and not first & 0x80:
            self._small_frames += 1
            if limits.max_fragments is not None and self._small_frames > limits.max_fragments:
                raise ParseFailed(
                    f"a message in more than {limits.max_fragments} small fragments (Limits.max_fragments)",
                    CloseReason.POLICY_VIOLATION,
                )
        return True

    def choose_whole(self) -> None:
        """From now on the application takes whole messages. What came in the meantime for parts, without a bound, may
        be too large for that: then `failure` is set, and the messages before it stay."""
        queue, limit = self.queue, self._limits.max_message_size
        queue.want_parts = False
        if limit is None or self.close_received or self.failure is not None:
            return
        too_big = queue.first_above(limit)
        if queue.in_message and not queue.taking and too_big is None:
            held = queue.parts_bytes
            too_big = len(queue.messages) if max(held, 0 if self._compressed else self._announced) > limit else None
            if self._deflate is not None:
                self._deflate.allowed = max(limit - held, 0)
        if too_big is not None:
            queue.drop_from(too_big)
            self.failure = (int(CloseReason.MESSAGE_TOO_BIG), self._too_big())

    def _spend(self) -> None:
        if not self._bucket.spend():
            raise ParseFailed(
                f"more than {self._bucket.burst} control frames in a burst (Limits.max_idle_frames)",
                CloseReason.POLICY_VIOLATION,
            )

    def _slow_lane(self, chunk: bytes) -> None:
        """Let wsproto parse it. What comes out is a part of a message: of control frames only bad ones get here."""
        self.wsproto.receive_bytes(chunk)
        for frame in self.wsproto.received_frames():
            payload: Any = frame.payload
            if isinstance(payload, bytearray):  # wsproto before 1.3
                payload = bytes(payload)
            self.queue.add_part(payload)
            if frame.message_finished:
                self._announced = 0
                self._bucket.earn(2)
                self.queue.end_message(frame.opcode is Opcode.TEXT)


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"text that is not valid UTF-8: {error.reason}"
