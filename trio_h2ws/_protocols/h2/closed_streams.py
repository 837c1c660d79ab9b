"""Frames for streams that are not open: over, or never opened.

A stream that is over is forgotten at once, but the peer may have frames for it in flight, and that is not an error:
as much is expected as the peer could still send before it saw our RST_STREAM. Anything more is useless, and so is
anything for a stream that the peer itself ended; such a frame is answered, once, with STREAM_CLOSED (RFC 9113,
section 5.1). A RST_STREAM for each of them would look like an attack.
"""

from __future__ import annotations

from enum import Enum

from ..._errors import ErrorCode
from ..stream_state import StreamState
from .frames import FrameError

_REMEMBERED = 256  # streams that both sides have ended
_FRAMES = 8  # HEADERS, trailers, WINDOW_UPDATEs and a RST_STREAM may be in flight for a stream that we reset


class Arrival(Enum):
    """Why a frame came for a stream that is not open."""

    EXPECTED = "it was in flight when we reset the stream"
    USELESS = "nothing explains it"
    AFTER_END = "the peer had ended the stream itself"


class ClosedStreams:
    """What may still arrive. Its size does not grow with the number of closed streams."""

    __slots__ = ("_bytes", "_ended", "_frames")

    def __init__(self) -> None:
        self._ended: dict[int, None] = {}  # by END_STREAM on both sides, the newest
        self._bytes = 0
        self._frames = 0

    def reset(self, stream: StreamState) -> None:
        """We have just reset it."""
        self._frames += _FRAMES
        if not stream.remote_ended:
            self._bytes += max(0, stream.receive_window.left)

    def finished(self, stream: StreamState) -> None:
        """Both sides have ended it."""
        self._ended[stream.id] = None
        if len(self._ended) > _REMEMBERED:
            del self._ended[next(iter(self._ended))]

    def arrived(self, stream_id: int, next_id: int, size: int, allowed_after_end: bool) -> Arrival:
        """A frame came, with `size` bytes of DATA. WINDOW_UPDATE and RST_STREAM are allowed after the peer's end.

        Raises FrameError for a stream that was never opened: `next_id` is the next that we would open.
        """
        if stream_id >= next_id or not stream_id & 1:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, f"a frame for stream {stream_id}, which we did not open")
        if not allowed_after_end and stream_id in self._ended:
            del self._ended[stream_id]
            return Arrival.AFTER_END
        if 0 < size <= self._bytes:
            self._bytes -= size
        elif self._frames:
            self._frames -= 1
        else:
            return Arrival.USELESS
        return Arrival.EXPECTED
