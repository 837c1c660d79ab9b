"""In what order frames leave: control bytes first, then DATA, one frame for each stream in turn.

Control bytes (HEADERS, SETTINGS, WINDOW_UPDATE, RST_STREAM, PING, GOAWAY) leave in the order in which they were
queued: HPACK requires it of HEADERS, and a RST_STREAM must follow its HEADERS. They are not flow-controlled.

DATA waits in its stream. The ring holds the streams that have bytes and credit; the first sends one frame and rejoins
at the end. A stream without credit leaves the ring until a WINDOW_UPDATE brings it back, so a blocked stream costs
nothing. While the connection's window is used up, the ring waits. (An END_STREAM with no bytes before it needs no
credit: it is queued with the control bytes.)

Trailers are HEADERS that must follow their stream's DATA, so they are encoded only when they leave: then all header
blocks are on the wire in the order of their encoding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..._http.headers import RawFields
from ..guard import Carrier, end_with_bug
from ..stream_state import StreamState
from . import frames

_UPDATES = 100_000  # WINDOW_UPDATEs that a peer may still send after large uploads


class Table(Carrier, Protocol):
    """The table of streams."""

    def end_local(self, stream: StreamState) -> None: ...


class SendQueue:
    __slots__ = ("_encode", "_ring", "bytes_sent", "control", "frame_size", "updates_expected", "window")

    def __init__(self, encode: Callable[[RawFields], bytes]) -> None:
        self._encode = encode
        self._ring: deque[StreamState] = deque()
        self.control = bytearray()
        self.window = 65535  # the connection's, RFC 9113 section 6.9.2
        self.frame_size = frames.DEFAULT_FRAME_SIZE  # the peer's SETTINGS_MAX_FRAME_SIZE
        self.updates_expected = 0  # WINDOW_UPDATEs that answer our DATA; any more count as useless frames
        self.bytes_sent = 0

    @property
    def has_output(self) -> bool:
        """Whether `produce` would give bytes now."""
        return bool(self.control) or (bool(self._ring) and self.window > 0)

    def ready(self, stream: StreamState) -> None:
        """The stream has new bytes or new credit: if it could send now, it joins the ring."""
        if stream.out_size and stream.send_window > 0 and not stream.queued:
            stream.queued = True
            self._ring.append(stream)

    def end(self, stream: StreamState) -> None:
        """Queue the END_STREAM of a stream without waiting bytes: it needs neither credit nor a turn in the ring."""
        if stream.trailers is not None:
            self.control += frames.header_block(stream.id, self._encode(stream.trailers), True, self.frame_size)
        else:
            self.control += frames.header(0, frames.DATA, frames.END_STREAM, stream.id)

    def drop(self, stream: StreamState) -> None:
        """Drop what a closed stream had to send. The stream leaves the ring when its turn comes."""
        if stream.out_size:
            stream.out.clear()
            stream.out_size = 0
        stream.end_queued = False
        stream.trailers = None

    def produce(self, limit: int, table: Table) -> tuple[bytes, bool]:
        """About `limit` bytes to write, in whole frames, and whether there are more.

        The table ends a stream locally when its END_STREAM leaves, and resets one whose hook raises.
        """
        pieces: list[bytes | memoryview] = []
        size = len(self.control)
        if size:
            pieces.append(bytes(self.control))
            self.control.clear()
        ring = self._ring
        while ring and size < limit and self.window > 0:
            stream = ring.popleft()
            stream.queued = False
            if stream.closed or stream.send_window <= 0:  # since it joined, it was closed or its window shrank
                continue
            size += self._data_frame(stream, pieces) + 9
            if stream.out_size:
                self.ready(stream)
            elif stream.end_queued:
                table.end_local(stream)
            try:
                stream.on_drained()
            except Exception as bug:  # not `guarded`: that would cost a call for every frame
                end_with_bug(table, stream, bug)
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.bytes_sent += len(data)
        return bytes(data), bool(self.control) or (bool(ring) and self.window > 0)

    def _data_frame(self, stream: StreamState, pieces: list[bytes | memoryview]) -> int:
        """One DATA frame of what waits, and the trailers after the last. Returns how many bytes of DATA it took."""
        out = stream.out
        n = min(stream.out_size, stream.send_window, self.window, self.frame_size)
        stream.out_size -= n
        stream.sent_size += n
        stream.send_window -= n
        self.window -= n
        self.updates_expected = min(self.updates_expected + 2 + n // 256, _UPDATES)
        last = stream.end_queued and not stream.out_size
        flags = frames.END_STREAM if last and stream.trailers is None else 0
        pieces.append(frames.header(n, frames.DATA, flags, stream.id))
        wanted = n
        while wanted:
            chunk = out[0]
            if len(chunk) <= wanted:
                pieces.append(chunk)
                wanted -= len(chunk)
                out.popleft()
            else:
                # A view, not a copy: a large body must not be copied again for every frame.
                view = memoryview(chunk)
                pieces.append(view[:wanted])
                out[0] = view[wanted:]
                wanted = 0
        if last and stream.trailers is not None:
            block = self._encode(stream.trailers)
            pieces.append(frames.header_block(stream.id, block, True, self.frame_size))
        return n
