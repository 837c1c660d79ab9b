"""The receiving half of one WebSocket, client side, without IO: bytes in, messages and replies out (RFC 6455, 7692).

wsproto knows the protocol but not our bounds: it accepts any announced length, any number of fragments, any message
size. So frame headers are read here first, and each bound is checked before a byte of payload is kept.

Two lanes. Most traffic is messages in one frame that has come completely: the fast lane takes their payload
directly, and that of good control frames. Every other frame takes the slow lane (`slow_lane.py`), which is made when
it is first needed. A property test checks that both lanes give the same result for any bytes.

Back-pressure. The receiver parses only while its queue (`messages.py`) has room. It keeps the bytes beyond that
unparsed, and its owner should not give it more. Up to that bound, pings and closes are answered while the application
is busy.
"""

from __future__ import annotations

from collections.abc import Callable

from wsproto.frame_protocol import CloseReason, ParseFailed

from ..._config import Limits
from ..token_bucket import TokenBucket
from .deflate import Deflate
from .frames import BINARY, CLOSE, COMPRESSED, PING, PONG, TEXT, client_frame, is_close_code
from .messages import MessageQueue
from .slow_lane import SlowLane, not_inflated, spend, too_big


class FrameReceiver:
    """Feed it with `receive`, take messages from `queue`, send what `replies` holds."""

    __slots__ = (
        "_bucket",
        "_deflate",
        "_limits",
        "_lost",
        "_raw",
        "_slow",
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
        self._slow: SlowLane | None = None  # made when the first frame needs it: many WebSockets are idle
        self._bucket: TokenBucket = TokenBucket(limits.max_idle_frames, limits.idle_frames_per_second, clock)
        self._raw = b""
        self._lost = False
        self.queue = MessageQueue(limits, deflate)
        self.stalled = False  # bytes wait until the queue has room
        self.replies = bytearray()  # pongs
        self.pongs: list[bytes] = []  # payloads that the peer answered
        self.close_received = False
        self.close_code: int | None = None
        self.close_reason = ""
        self.failure: tuple[int, str] | None = None
        """Set when the peer broke the protocol or a bound: the close code to send, and why."""

    def _make_slow_lane(self) -> SlowLane:
        self._slow = SlowLane(self._limits, self._deflate, self.queue, self._bucket)
        return self._slow

    def release(self) -> None:
        """Nothing will be received or sent any more: drop the buffers. What is in the queue stays."""
        self._raw = b""
        self.stalled = False
        self._slow = None
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
        queue, slow = self.queue, self._slow
        messages = queue.messages
        # One long loop on purpose: it is the hot path of every WebSocket.
        try:
            while (position < size or (slow is not None and slow.inflating)) and queue.has_room:
                if slow is not None and slow.left:
                    at = slow.take(raw, position)
                    if at < 0:
                        break
                    position = at
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
                    spend(self._bucket)
                    self._on_close(raw[position + head : end])
                    return
                if first in (PING, PONG) and head == 2 and not masked:
                    if end > size:
                        break
                    spend(self._bucket)
                    if first == PING:
                        self.replies += client_frame(PONG, raw[position + head : end])
                    else:
                        self.pongs.append(raw[position + head : end])
                    position = end
                    continue
                shortest = head == 2 or length > (125 if head == 4 else 65535)  # section 5.2
                slow = slow or self._make_slow_lane()
                seen = slow.begin(first, head, length, well_formed=shortest and not masked and length < 1 << 63)
                if seen < 0:
                    break
                position += seen
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
            waits = position < size or (slow is not None and slow.may_give_more)
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
            raise not_inflated(inflated, self._limits)
        return inflated

    def choose_whole(self) -> None:
        """From now on the application takes whole messages. What came in the meantime for parts, without a bound, may
        be too large for that: then `failure` is set, and the messages before it stay."""
        queue, limit = self.queue, self._limits.max_message_size
        queue.want_parts = False
        if limit is None or self.close_received or self.failure is not None:
            return
        first = queue.first_above(limit)
        if queue.in_message and not queue.taking and first is None:
            held, slow = queue.parts_bytes, self._slow
            announced = 0 if slow is None or slow.compressed else slow.announced
            first = len(queue.messages) if max(held, announced) > limit else None
            if self._deflate is not None:
                self._deflate.allowed = max(limit - held, 0)
        if first is not None:
            queue.drop_from(first)
            self.failure = (int(CloseReason.MESSAGE_TOO_BIG), too_big(self._limits))


def _not_utf8(error: UnicodeDecodeError) -> str:
    return f"text that is not valid UTF-8: {error.reason}"
