"""Frames for streams that are not in the table: over, or never opened.

A stream that is over is forgotten at once, but the peer may have frames for it under way, and they are no fault of
its: as much as it could still send before it saw our RST_STREAM is expected. More than that is useless, as is
anything for a stream that the peer ended itself; such a frame is answered, once, with STREAM_CLOSED (RFC 9113,
section 5.1). A RST_STREAM for each would look like an attack.
"""

from __future__ import annotations

from enum import Enum

from ..._errors import ErrorCode
from ..stream_state import StreamState
from .frames import FrameError

_REMEMBERED = 256  # streams that both sides have ended
_FRAMES = 8  # HEADERS, trailers, WINDOW_UPDATEs and a RST_STREAM may be in flight for a stream that we reset


class Late(Enum):
    EXPECTED = "it was under way when we reset the stream"
    USELESS = "nothing explains it"
    AFTER_END = "the peer had ended the stream itself"


class LateFrames:
    """What may still come. Its size does not grow with the streams that were."""

    __slots__ = ("_bytes", "_ended", "_frames")

    def __init__(self) -> None:
        self._ended: dict[int, None] = {}  # by END_STREAM on both sides, the newest
        self._bytes = 0
        self._frames = 0

    def expect(self, stream: StreamState) -> None:
        """We reset it now."""
        self._frames += _FRAMES
        if not stream.remote_ended:
            self._bytes += max(0, stream.receive_window.left)

    def finished(self, stream: StreamState) -> None:
        """Both sides have ended it."""
        self._ended[stream.id] = None
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def arrived(self, stream_id: int, next_id: int, size: int, harmless: bool) -> Late:
        """One came, with `size` bytes of DATA. `harmless`: the peer may send its kind after its end, too."""
        if stream_id >= next_id or not stream_id & 1:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, f"a frame for stream {stream_id}, which we did not open")
        if not harmless and stream_id in self._ended:
            del self._ended[stream_id]
            return Late.AFTER_END
        if 0 < size <= self._bytes:
            self._bytes -= size
        elif self._frames:
            self._frames -= 1
        else:
            return Late.USELESS
        return Late.EXPECTED
