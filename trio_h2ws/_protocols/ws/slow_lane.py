"""Frames that the receiver's fast lane does not take: those that come in pieces, and those that wsproto must read.

A frame is admitted first: its head is checked against our bounds before a byte of its payload is kept. Then its bytes
are taken as they come, in one of three ways:

- A whole message in one good frame without compression. wsproto knows nothing more about it than where it ends, so
  its payload is passed on without it, text after decoding.
- A good frame of a compressed message (RFC 7692). It is inflated here, in parts of bounded size, each of which
  wsproto gets as an uncompressed frame of the same message. So a part is inflated only when there is room for it,
  however many of them one frame gives.
- Anything else (fragments, every violation). wsproto gets head and payload, and says what is wrong.
"""

from __future__ import annotations

from codecs import IncrementalDecoder, getincrementaldecoder
from typing import Any

from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed

from ..._config import Limits
from ..token_bucket import TokenBucket
from .deflate import TAIL, Deflate
from .frames import BINARY, TEXT, plain_frame
from .messages import MessageQueue

_INFLATE_STEP = 16 * 1024  # compressed bytes that zlib gets at once: at each step it copies what it has not used yet
_UTF8 = getincrementaldecoder("utf-8")


class SlowLane:
    """One frame after another: `begin`, then `take` while `left` is not 0. Both raise ParseFailed and
    UnicodeDecodeError for what the peer must not send."""

    __slots__ = (
        "_bucket",
        "_decoder",
        "_deflate",
        "_first",
        "_limits",
        "_queue",
        "_small_frames",
        "_whole",
        "_wsproto",
        "announced",
        "compressed",
        "inflating",
        "left",
    )

    def __init__(self, limits: Limits, deflate: Deflate | None, queue: MessageQueue, bucket: TokenBucket) -> None:
        self._limits = limits
        self._deflate = deflate
        self._queue = queue
        self._bucket = bucket
        self._wsproto: FrameProtocol | None = None
        self._whole = False  # the frame in progress is a whole message without compression
        self._decoder: IncrementalDecoder | None = None  # if that message is text
        self._first = 0  # the first byte of what wsproto gets next of the frame in progress
        self._small_frames = 0
        self.announced = 0
        """Bytes of the current message that the heads of its frames have announced."""
        self.compressed = False
        """The current message is compressed."""
        self.inflating = False
        """The frame in progress belongs to it, and has not been given to wsproto completely."""
        self.left = 0
        """Bytes of the frame in progress that have not come yet, + 1 while `inflating`."""

    @property
    def may_give_more(self) -> bool:
        """Whether `take` may give something without new bytes."""
        return self.inflating and self._deflate is not None and self._deflate.more

    def begin(self, first: int, head: int, length: int, *, well_formed: bool) -> int:
        """Admit a frame whose head has `head` bytes. Returns how many of them `take` need not see; -1 if the frame
        must wait until the application has chosen how it takes messages."""
        queue = self._queue
        in_message = queue.in_message
        queue.undecided = not self._admit(first, length)
        if queue.undecided:
            return -1
        if well_formed and self.compressed and first & 0x7F in ((0,) if in_message else (0x41, 0x42)):
            self.inflating = True
            self._first = first & 0x8F
            self.left = length + 1
            return head
        if well_formed and length and first in (TEXT, BINARY) and not in_message:
            self._whole = True
            self._decoder = _UTF8() if first == TEXT else None
            self.left = length
            return head
        self.left = head + length
        return 0

    def take(self, raw: bytes, position: int) -> int:
        """Take what `raw` has of the frame in progress, from `position` on. Returns where it goes on then; -1 if
        nothing can be done before more bytes come."""
        if self.inflating:
            return self._inflate_part(raw, position)
        chunk = raw[position : position + self.left]  # no copy if that is all of it
        self.left -= len(chunk)
        if self._whole:
            self._take_payload(chunk)
        else:
            self._to_wsproto(chunk)
        return position + len(chunk)

    def _take_payload(self, chunk: bytes) -> None:
        decoder = self._decoder
        self._queue.add_part(chunk if decoder is None else decoder.decode(chunk, not self.left))
        if not self.left:
            self._whole = False
            self._end_message(decoder is not None)

    def _end_message(self, text: bool) -> None:
        self.announced = 0
        self._bucket.earn(2)
        self._queue.end_message(text)

    def _inflate_part(self, raw: bytes, position: int) -> int:
        deflate = self._deflate
        assert deflate is not None
        data = b""
        if not deflate.more:
            data = raw[position : position + min(self.left - 1, _INFLATE_STEP)]
            if not data and self.left > 1:
                return -1
            position += len(data)
            self.left -= len(data)
            if self.left == 1 and self._first & 0x80:
                data += TAIL
        part = deflate.inflate(data)
        if isinstance(part, CloseReason):
            raise not_inflated(part, self._limits)
        if self.left > 1 or deflate.more:
            if part:
                self._to_wsproto(plain_frame(self._first & 0x0F, part))
                self._first &= 0x80
            return position
        self.left = 0
        self.inflating = False
        if self._first & 0x80:
            self.compressed = False
            deflate.end_message()
        self._to_wsproto(plain_frame(self._first, part))
        return position

    def _admit(self, first: int, length: int) -> bool:
        """Check the bounds, before a byte of payload is kept. False: wait until the application has chosen."""
        if first & 0x40 and self._deflate is not None and (first & 0x08 or not first & 0x0F):
            what = "a control" if first & 0x08 else "a continuation"
            raise ParseFailed(
                f"RSV1 on {what} frame: it is on the first frame of a message only (RFC 7692, section 6)"
            )
        if first & 0x08:  # a control frame; wsproto limits it to 125 bytes
            spend(self._bucket)
            return True
        limits, queue = self._limits, self._queue
        announced = length if first & 0x0F else self.announced + length
        compressed = self._deflate is not None and bool(first & 0x40 or self.compressed)
        if limits.max_message_size is not None and not compressed and announced > limits.max_message_size:
            if queue.want_parts is None:
                return False
            if not queue.want_parts:
                raise ParseFailed(too_big(limits), CloseReason.MESSAGE_TOO_BIG)
        if first & 0x0F:
            queue.in_message = True
            self.compressed = compressed and bool(first & 0x40)
            self._small_frames = 0
            if self._deflate is not None:
                self._deflate.allowed = None if queue.want_parts else limits.max_message_size
        self.announced = announced
        if length < 64 and not first & 0x80:
            self._small_frames += 1
            if limits.max_fragments is not None and self._small_frames > limits.max_fragments:
                raise ParseFailed(
                    f"a message in more than {limits.max_fragments} small fragments (Limits.max_fragments)",
                    CloseReason.POLICY_VIOLATION,
                )
        return True

    def _to_wsproto(self, chunk: bytes) -> None:
        """What comes out is a part of a message: of control frames only bad ones get here."""
        if self._wsproto is None:
            self._wsproto = FrameProtocol(client=True, extensions=[self._deflate] if self._deflate else [])
        self._wsproto.receive_bytes(chunk)
        for frame in self._wsproto.received_frames():
            payload: Any = frame.payload
            if isinstance(payload, bytearray):  # wsproto before 1.3
                payload = bytes(payload)
            self._queue.add_part(payload)
            if frame.message_finished:
                self._end_message(frame.opcode is Opcode.TEXT)


def spend(bucket: TokenBucket) -> None:
    """A control frame came. Raises ParseFailed for one too many."""
    if not bucket.spend():
        raise ParseFailed(
            f"more than {bucket.burst} control frames in a burst (Limits.max_idle_frames)",
            CloseReason.POLICY_VIOLATION,
        )


def too_big(limits: Limits) -> str:
    return f"a message of more than {limits.max_message_size} bytes (Limits.max_message_size)"


def not_inflated(reason: CloseReason, limits: Limits) -> ParseFailed:
    """Why `Deflate` did not inflate a message."""
    if reason is CloseReason.MESSAGE_TOO_BIG:
        return ParseFailed(too_big(limits), reason)
    return ParseFailed("a compressed message that is not valid DEFLATE (RFC 7692)", reason)
