"""Credit arithmetic (RFC 9113, section 5.2): what the peer may still send us.

A receive window has a size, which is a promise of memory. `left` is what the peer may still send, `owed` what we
have consumed and not yet credited: left + owed + unread == size, to the byte, at any time. Credit is given when half
the window is owed: less often would stall a peer that is a round trip away, more often would cost more frames.

The window of a stream that is read as fast as it arrives may grow. If half a window was consumed in less than two
round trips, then the window (and not the sender or the reader) is what limits the rate, so it is doubled, up to a
bound. The window of a stream that is not read never grows.
"""

from __future__ import annotations

NEVER = float("-inf")


class ReceiveWindow:
    """How much the peer may still send, on one stream or on the connection."""

    __slots__ = ("left", "opened", "owed", "size")

    def __init__(self, size: int, now: float = NEVER) -> None:
        self.size = size
        self.left = size
        self.owed = 0
        self.opened = now  # when credit was last given, if it was: the growth is measured from it

    @property
    def untouched(self) -> bool:
        """Nothing has arrived."""
        return self.left == self.size and self.opened == NEVER

    def receive(self, n: int) -> bool:
        """`n` bytes have arrived. False: the peer sent more than it was allowed to."""
        self.left -= n
        return self.left >= 0

    def consume(self, n: int) -> bool:
        """The application has taken `n` bytes. True: it is time to give credit."""
        self.owed += n
        return self.owed * 2 >= self.size

    def credit(self, now: float, round_trip: float, largest: int) -> int:
        """The increment to announce now: everything owed, and the growth."""
        increment = self.owed
        if now - self.opened < 2 * round_trip and self.size < largest:
            growth = min(self.size, largest - self.size)
            self.size += growth
            increment += growth
        self.owed = 0
        self.left += increment
        self.opened = now
        return increment
