"""Header blocks: HEADERS and its CONTINUATIONs become one list of fields (RFC 9113, section 4.3).

Every block is decoded, even for a stream that is over, because the HPACK context belongs to the connection. The
bounds are checked before the bytes of a block are joined (CVE-2024-27316: endless CONTINUATION).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from hpack.exceptions import HPACKError, OversizedHeaderListError

from ..._config import Limits
from ..._errors import ErrorCode, LimitExceeded
from . import frames
from .frames import FrameError
from .header_compression import BlockDecoder

Fields: TypeAlias = Iterable[tuple[bytes, bytes]]


class HeaderBlocks:
    """At most one block is incomplete: then `stream_id` is its stream's, and only its CONTINUATION may follow."""

    __slots__ = ("_decoder", "_flags", "_fragments", "_limits", "_size", "stream_id")

    def __init__(self, decoder: BlockDecoder, limits: Limits) -> None:
        self._decoder = decoder
        self._limits = limits
        self.stream_id = 0  # none
        self._flags = 0
        self._fragments: list[bytes] = []
        self._size = 0

    def headers(self, flags: int, stream_id: int, payload: bytes) -> tuple[int, Fields] | None:
        """HEADERS came. Returns its flags and fields if it is the whole block."""
        if stream_id == 0 or not stream_id & 1:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, f"HEADERS on stream {stream_id}, which we did not open")
        payload = frames.strip_padding(flags, payload)
        if flags & frames.HAS_PRIORITY:
            if len(payload) < 5:
                raise FrameError(ErrorCode.FRAME_SIZE_ERROR, "HEADERS is too short for its priority")
            payload = payload[5:]
        if flags & frames.END_HEADERS:
            return flags, self._decode(payload)
        self.stream_id, self._flags, self._fragments, self._size = stream_id, flags, [payload], len(payload)
        return None

    def continuation(self, flags: int, payload: bytes) -> tuple[int, Fields] | None:
        """CONTINUATION came. Returns the flags of the HEADERS and the fields if it is the last of its block."""
        if not self.stream_id:
            raise FrameError(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
        self._fragments.append(payload)
        self._size += len(payload)
        limits = self._limits
        if len(self._fragments) > limits.max_continuation_frames + 1:
            raise LimitExceeded("max_continuation_frames", limits.max_continuation_frames)
        if self._size > limits.max_header_list_size:
            raise LimitExceeded("max_header_list_size", limits.max_header_list_size)
        if not flags & frames.END_HEADERS:
            return None
        block = b"".join(self._fragments)
        self.stream_id, self._fragments = 0, []
        return self._flags, self._decode(block)

    def _decode(self, block: bytes) -> Fields:
        try:
            return self._decoder.decode_block(block)
        except OversizedHeaderListError as error:
            raise LimitExceeded("max_header_list_size", self._limits.max_header_list_size) from error
        except HPACKError as error:
            # hpack's message may contain a memory address, and ours is sent to the peer.
            raise FrameError(ErrorCode.COMPRESSION_ERROR, "a header block that is not valid HPACK") from error
