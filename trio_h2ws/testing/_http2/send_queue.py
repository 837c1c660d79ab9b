"""What one HTTP/2 connection of the server has to send, and in which order.

h2's own output is sent first: SETTINGS, acknowledgements, heads, resets. DATA follows, one frame per stream in turn.
A stream that lacks credit, on itself or on the connection, is in `_blocked` until credit arrives, so a stream that
the client does not read does not slow down the others. Bytes are taken from a stream only when the transport can
accept them: what a client does not read stays with the route, which withholds credit from the client.
"""

from __future__ import annotations

import trio

from .protocol import H2Protocol
from .stream import H2Stream

BATCH = 64 * 1024
"""Approximate size of one write, in bytes."""
FRAME = 16 * 1024


class SendQueue:
    """The streams that have something to send, in turn. Call `wake` whenever there may be more."""

    def __init__(self, h2: H2Protocol) -> None:
        self._h2 = h2
        self._control = bytearray()
        self._ready: dict[int, H2Stream] = {}
        self._blocked: dict[int, H2Stream] = {}
        self._wakeup = trio.Event()

    @property
    def owed(self) -> int:
        """Unsent bytes of h2's output, such as replies that the client has caused."""
        return len(self._control)

    def collect(self) -> None:
        """Move h2's output here, where it is counted and keeps its place before later bytes."""
        self._control += self._h2.data_to_send()

    def inject(self, data: bytes) -> None:
        self.collect()
        self._control += data
        self.wake()

    def wake(self) -> None:
        self._wakeup.set()

    def make_ready(self, stream: H2Stream) -> None:
        if stream.stream_id not in self._blocked:
            self._ready[stream.stream_id] = stream
            self.wake()

    def unblock(self, stream_id: int | None = None) -> None:
        """Credit has arrived: for one stream, or for all (the connection's window, or new SETTINGS)."""
        if stream_id is None:
            self._ready.update(self._blocked)
            self._blocked.clear()
        elif stream_id in self._blocked:
            self._ready[stream_id] = self._blocked.pop(stream_id)
        self.wake()

    def drop(self, stream: H2Stream) -> None:
        self._ready.pop(stream.stream_id, None)
        self._blocked.pop(stream.stream_id, None)

    def listen(self) -> trio.Event:
        """Return a new event that `wake` sets. Call this before `produce`, so that no later `wake` is missed."""
        self._wakeup = trio.Event()
        return self._wakeup

    def produce(self) -> bytearray:
        """The bytes of the next write; empty if there is nothing to send."""
        size = 0
        while self._ready and size < BATCH:
            stream = self._ready.pop(next(iter(self._ready)))
            size += self._send_frame(stream)
        self.collect()
        data, self._control = self._control, bytearray()
        return data

    def _send_frame(self, stream: H2Stream) -> int:
        """Send one DATA frame of this stream, then put it at the end of the queue or among the blocked."""
        stream_id = stream.stream_id
        data = stream.take(min(self._h2.local_flow_control_window(stream_id), FRAME))
        if stream.gone:  # `take` runs the route, which may reset
            return 0
        end = stream.exhausted
        end_stream = end and not stream.trailers
        if data or end_stream:
            self._h2.send_data(stream_id, data, end_stream=end_stream)
        if end:
            if stream.trailers:
                self._h2.send_headers(stream_id, stream.trailers, end_stream=True)
            stream.end_sent()
        elif data:
            self._ready[stream_id] = stream
        elif stream.unsent:
            self._blocked[stream_id] = stream
        if data:
            stream.sent(len(data))
        return len(data) + 9
