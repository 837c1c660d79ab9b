"""One stream as the engine sees it: its state, its windows, its bytes that wait to leave.

It is passive: no task, no lock, no await. The engine calls the `on_*` hooks while it handles a frame; the class
above this floor (`_stream.py`) fills them in and wakes whoever waits. A hook must not raise.

States of RFC 9113, section 5.1, as three flags: `local_ended` (we sent END_STREAM), `remote_ended` (the peer did)
and `closed` (both, or a reset): a closed stream is in no table any more, and holds no slot.
"""

from __future__ import annotations

from collections import deque

from .._errors import H2WSError
from .._http.headers import RawFields
from .receive_window import ReceiveWindow

# Shared by all streams that hold nothing, and never changed: an empty deque takes 0.7 KB, and most streams are idle.
_NOTHING: deque[bytes | memoryview] = deque()


class StreamState:
    __slots__ = (
        "closed",
        "content_left",
        "end_queued",
        "id",
        "informational",
        "is_connect",
        "is_head",
        "local_ended",
        "out",
        "out_size",
        "queued",
        "receive_window",
        "remote_ended",
        "responded",
        "send_window",
        "trailers",
    )

    receive_window: ReceiveWindow  # set by Engine.open, with the id

    def __init__(self, *, is_head: bool = False, is_connect: bool = False) -> None:
        self.id = 0
        self.is_head = is_head
        self.is_connect = is_connect
        self.responded = False  # the final (not 1xx) response has come
        self.local_ended = False
        self.remote_ended = False
        self.closed = False
        self.informational = 0
        self.content_left: int | None = None  # bytes that content-length still promises
        self.send_window = 0
        self.out: deque[bytes | memoryview] = _NOTHING
        self.out_size = 0
        self.end_queued = False  # END_STREAM follows the bytes in `out`
        self.trailers: RawFields | None = None
        self.queued = False  # stands in the send queue's ring

    def queue(self, data: bytes | memoryview) -> None:
        """Bytes that wait to leave."""
        if self.out is _NOTHING:
            self.out = deque()
        self.out.append(data)
        self.out_size += len(data)

    def on_informational(self, status: int, fields: RawFields) -> None:
        """A 1xx response."""
        raise NotImplementedError

    def on_response(self, status: int, fields: RawFields) -> None:
        """The final response's header list, without pseudo-headers."""
        raise NotImplementedError

    def on_data(self, data: bytes) -> None:
        """Bytes of the body. Their credit is not given back until `Engine.consume` says so."""
        raise NotImplementedError

    def on_end(self, trailers: RawFields | None) -> None:
        """The peer has ended its half, cleanly."""
        raise NotImplementedError

    def on_error(self, error: H2WSError) -> None:
        """The stream is over before its time: reset, broken, or its connection is gone. It is closed already."""
        raise NotImplementedError

    def on_drained(self) -> None:
        """Bytes of `out` have left."""
        raise NotImplementedError
