"""Requests that are given up in large numbers: the slots of their streams come free only when the server is done.

A stream that we reset is over for us at once. The server may still be busy with it, so a client that cancels and asks
again could make it work on many more requests than it allows (CVE-2023-44487). Servers count resets for that reason,
and end the connection of a client that seems to attack them, with everything on it.

So, as Go does: RST_STREAM leaves at once, and no task waits for anything. But past a rate of resets the slot of a
stream that was reset stays taken until the server has answered a PING that left after the RST_STREAM, and by then has
read it. There is one such PING at a time, for all slots that are held. A server that does not answer gets the slots
back after a while: whether it is alive is for `keepalive.py` to find out.

That does not satisfy every server: Envoy ends a connection after 250 requests that were given up within a second of
their beginning, at whatever pace. Where a server has ended one that way, the next connections to its origin are
retired after half as many resets (`most`). What is open on them goes on, and new calls use another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import trio

from .._protocols.engine import Engine
from .._protocols.token_bucket import TokenBucket
from .timers import Timer, Timers

_BURST = 100  # resets that cost nothing
_PER_SECOND = 20
_PATIENCE = 5.0  # seconds for the answer
_MANY, _RECENTLY = 100, 10.0  # resets, within so many seconds, that an error mentions
_PAYLOAD = b"slots".rjust(8, b"\0")  # the keepalive's PINGs have numbers


class Resetting(Protocol):
    """What it needs of its connection."""

    engine: Engine
    timers: Timers

    @property
    def is_open(self) -> bool: ...
    def flush(self) -> None: ...
    def retire(self) -> None: ...


class Resets:
    """Of one connection. `changed()` is called when slots come free."""

    __slots__ = (
        "_bucket",
        "_changed",
        "_connection",
        "_count",
        "_patience",
        "_since",
        "_waiting",
        "blamed",
        "held",
        "most",
    )

    def __init__(self, connection: Resetting, changed: Callable[[], None]) -> None:
        self._connection = connection
        self._changed = changed
        self._bucket: TokenBucket | None = None
        self.held = 0
        """Slots of streams that are over for us."""
        self._waiting = 0  # those of them for which a PING has left
        self._patience: Timer | None = None
        self._count = 0  # in the present interval
        self._since = 0.0
        self.most: int | None = None
        """Resets after which the connection is retired: the server has ended another one after twice as many."""
        self.blamed: int | None = None
        """The resets that may be why the server has ended the connection."""

    def on_reset(self) -> None:
        """RST_STREAM is queued for a stream whose slot is about to come free."""
        connection = self._connection
        if not connection.engine.can_ping:
            return
        now = trio.current_time()
        if now - self._since > _RECENTLY:
            self._since, self._count = now, 0
        self._count += 1
        if self.most is not None and self._count >= self.most:
            connection.retire()
        if self._bucket is None:
            self._bucket = TokenBucket(_BURST, _PER_SECOND, trio.current_time)
        if self._bucket.spend() or not connection.is_open:
            return
        self.held += 1
        if not self._waiting:
            self._ask()

    def _ask(self) -> None:
        connection = self._connection
        self._waiting = self.held
        connection.engine.ping(_PAYLOAD)
        connection.flush()
        self._patience = connection.timers.add(_PATIENCE, self._free)

    def on_ping_ack(self, payload: bytes) -> bool:
        """Whether it is the answer to a PING of this module."""
        if payload != _PAYLOAD:
            return False
        self._free()
        return True

    def _free(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        if not self._waiting:
            return
        self.held -= self._waiting
        self._waiting = 0
        if self.held:
            self._ask()
        self._changed()

    def explain_end(self) -> str:
        """The server has ended the connection: what may have been the reason, to be added to the error."""
        if self._count < _MANY or trio.current_time() - self._since > 2 * _RECENTLY:
            return ""
        self.blamed = self._count
        return (
            f"; {self._count} of its requests were given up in {_RECENTLY:g} s, which a server may take for an attack"
        )
