"""Liveness of one connection: PINGs, the round trip, doubt, and the end of an idle connection.

PING (RFC 9113, section 6.7). When nothing was received for `ping_interval` while streams are open, a PING is sent;
when nothing is received for `ping_timeout` after it, the connection ends with all its streams. Anything that arrives
is a sign of life, not only the answer. The first PING follows the server's first SETTINGS at once, and measures the
round trip.

Idle end. A connection without streams takes no new ones after `Timeouts.idle`, and over HTTP/1.1 a little before the
server closes it, if the server has said when that will be (`Keep-Alive: timeout=5`): a request that crosses the
server's end on its way is lost, and a POST can't be sent again.

Doubt. A call that is given up before it had its answer may have met a black hole: a connection that carries nothing
any more, of which neither side was told. If nothing was received for a while before that, a PING is sent, and no new
stream is opened until something is received:

    state      new calls                          left by
    trusted    are sent                           a call is given up after a silence -> in doubt
    in doubt   wait: one round trip, if all is    anything received -> trusted;
               well                               nothing for a moment (`_PATIENCE`) -> silent
    silent     use another connection             anything received -> trusted; the end, as above

What is open already (WebSockets, other calls) is left alone, until `ping_timeout`.

Probe. A connection may also die while nothing is sent on it (NAT, VPN, a machine that slept). When nothing has come
for `probe_after` and a call opens a stream, a PING goes with it. If nothing comes for `probe_timeout` after that, the
connection is silent, as above, and the calls that wait on it and can be repeated leave it. While our own bytes are
still leaving (`departure.py`), no answer can be expected yet, to this PING or any other.

All of this is done by timers of the connection (`timers.py`), so it costs no task. Nothing is done for a byte that is
received: that one came is seen from the engine's count, when it matters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Protocol

import trio

from .._config import Timeouts
from .._errors import ConnectionSilent, ConnectionTimedOut, H2WSError
from .._protocols.engine import Engine
from .departure import Departure, soon
from .timers import Timer, Timers

_MARGIN = 1.0  # seconds before the server's end; less if its timeout is under two seconds
_LEAST = 0.001  # so that rounding never makes a timer due at the time at which it was made
_IDLE_CHECK = 0.5  # seconds: a new connection gets this long to be used, and no connection is checked more often
# Of the two below, a slow link gets some round trips at least.
_SILENCE = 0.1  # seconds without any byte, after which a call that is given up casts doubt on its connection
_PATIENCE = 0.5  # seconds that new calls wait for a sign of life, before they use another connection


class KeepaliveOwner(Protocol):
    """What the keepalive needs of its connection."""

    engine: Engine
    timers: Timers
    timeouts: Timeouts
    reserved: int
    origin: str

    @property
    def is_open(self) -> bool:
        """It takes new streams."""
        ...

    @property
    def is_closed(self) -> bool: ...
    def flush(self) -> None: ...
    def retire(self) -> None: ...
    def abort(self, error: H2WSError) -> None: ...
    def departure(self) -> Departure:
        """Of a PING that was just queued."""
        ...

    def on_silent(self, error: H2WSError) -> None:
        """Calls that can be repeated should leave it, with this error."""
        ...


class Keepalive:
    """Of one connection. `changed()` is called when it may take new streams again, or has become silent."""

    def __init__(self, connection: KeepaliveOwner, changed: Callable[[], None]) -> None:
        self._connection = connection
        self._changed = changed
        self.last_received = trio.current_time()  # the reader updates it
        self.idle_since: float | None = trio.current_time()  # None while there are streams
        self._idle_timer: Timer | None = None
        self._sent: float | None = None  # when the unanswered PING was queued
        self._departure: Departure | None = None
        self._waits_since = 0.0  # from here its time-out runs
        self._payload = b""
        self._count = itertools.count(1)
        self.doubted = False  # there was doubt; whether there still is: `in_doubt`
        self._silent = False
        self._received_before_doubt = 0
        self._probe: int | None = None  # bytes received when it began

    def start(self) -> None:
        connection = self._connection
        timeouts, timers = connection.timeouts, connection.timers
        if connection.engine.can_ping:
            self._ping()
            if timeouts.ping_interval is not None:
                timers.add(timeouts.ping_interval, self._keep_alive)
        if timeouts.idle is not None:
            self._check_idle_in(max(timeouts.idle, _IDLE_CHECK))

    def on_ping_ack(self, payload: bytes) -> None:
        if self._sent is not None and payload == self._payload:
            self._connection.engine.round_trip = trio.current_time() - self._sent
            self._sent = self._departure = None
        self._changed()  # there is no doubt any more

    def forget(self) -> None:
        """The connection is gone: keep nothing of its transport."""
        self._departure = None

    def check(self) -> None:
        """The server has said that it will go: a PING now shows whether it still serves what is open."""
        if self._connection.engine.can_ping:
            self._ping()

    def doubt(self) -> None:
        """A call is given up before it had its answer: see the top of this module."""
        connection = self._connection
        engine = connection.engine
        quiet = trio.current_time() - self.last_received
        if not (engine.can_ping and connection.is_open) or quiet < max(_SILENCE, 2 * engine.round_trip):
            return
        if not (self.doubted and self.in_doubt()):
            self.doubted, self._silent = True, False
            self._received_before_doubt = engine.bytes_received
            self._ping()
            connection.timers.add(max(_PATIENCE, 4 * engine.round_trip), self._lose_patience)

    @property
    def is_stale(self) -> bool:
        """Nothing has come for so long that the connection may be dead."""
        seconds = self._connection.timeouts.probe_after
        return seconds is not None and trio.current_time() - self.last_received >= seconds

    def probe(self) -> None:
        """A call was opened on a stale connection."""
        seconds = self._connection.timeouts.probe_timeout
        if self._probe is None and seconds is not None:
            self._probe = self._connection.engine.bytes_received
            self._ping()
            self._connection.timers.add(seconds, self._end_probe)

    @property
    def is_probing(self) -> bool:
        """A probe is under way, and nothing has come since it began."""
        return self._probe is not None and self._connection.engine.bytes_received == self._probe

    def give_up_probe(self) -> None:
        """A call can't wait for its end."""
        if self.is_probing:
            self._become_silent()

    def _end_probe(self) -> None:
        connection = self._connection
        seconds = connection.timeouts.probe_timeout
        if seconds is None or not self.is_probing or connection.is_closed:
            self._probe = None
        elif self._departure is not None and self._departure.delays():
            connection.timers.add(seconds, self._end_probe)
        else:
            self._become_silent()

    def _become_silent(self) -> None:
        connection = self._connection
        self._probe = None
        self.doubted = self._silent = True
        self._received_before_doubt = connection.engine.bytes_received
        quiet = trio.current_time() - self.last_received
        message = (
            f"{connection.origin}: nothing came on the connection for {quiet:.1f} s, and a PING was not answered"
        )
        connection.on_silent(ConnectionSilent(message))
        self._changed()

    def in_doubt(self) -> bool:
        """No new stream now: nothing was received since a call was given up."""
        if self.doubted and self._connection.engine.bytes_received != self._received_before_doubt:
            self.doubted = self._silent = False
        return self.doubted

    @property
    def is_silent(self) -> bool:
        """It is in doubt, and a PING was not answered: new calls need another connection."""
        return self._silent and self.in_doubt()

    def _lose_patience(self) -> None:
        self._silent = self.in_doubt()
        self._changed()

    def _ping(self) -> None:
        if self._sent is None and not self._connection.is_closed:
            self._sent = self._waits_since = trio.current_time()
            self._payload = next(self._count).to_bytes(8, "big")
            self._connection.engine.ping(self._payload)
            self._connection.flush()
            self._departure = self._connection.departure()
            timeouts = self._connection.timeouts
            seconds = min(timeouts.ping_timeout or math.inf, timeouts.probe_timeout or math.inf)
            self._connection.timers.add(soon(seconds), self._departure.settle)

    def _keep_alive(self) -> None:
        connection = self._connection
        interval, timeout = connection.timeouts.ping_interval, connection.timeouts.ping_timeout
        if interval is None or connection.is_closed:
            return
        now = trio.current_time()
        quiet = now - self.last_received
        if self._sent is not None and timeout is not None:
            silent_since = max(self._waits_since, self.last_received)
            if now >= silent_since + timeout and self._departure is not None and self._departure.delays():
                self._waits_since = silent_since = now
            if now >= silent_since + timeout:
                message = f"the server sent nothing for {quiet:.1f} s and did not answer a PING"
                connection.abort(ConnectionTimedOut(message))
                return
            again = silent_since + timeout - now
        elif quiet >= interval and connection.engine.streams:
            self._ping()
            again = timeout if timeout is not None else interval
        else:
            again = interval - quiet if quiet < interval else interval
        connection.timers.add(again, self._keep_alive)

    # The idle end.

    def begin_idle(self) -> None:
        """The last stream has ended."""
        self.idle_since = trio.current_time()
        limit, timer = self._idle_limit(), self._idle_timer
        if limit is not None and (timer is None or self.idle_since + limit < timer.time):
            self._check_idle_in(limit)

    @property
    def overdue(self) -> bool:
        """Whether the server is about to close this idle connection, or has done so."""
        timeout = self._connection.engine.idle_timeout
        if timeout is None or self.idle_since is None:
            return False
        return trio.current_time() >= self.idle_since + timeout - _margin(timeout)

    def _idle_limit(self) -> float | None:
        idle, timeout = self._connection.timeouts.idle, self._connection.engine.idle_timeout
        if timeout is None:
            return idle
        timeout -= _margin(timeout)
        return timeout if idle is None else min(idle, timeout)

    def _check_idle_in(self, seconds: float) -> None:
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._idle_timer = self._connection.timers.add(max(seconds, _LEAST), self._end_if_idle)

    def _end_if_idle(self) -> None:
        connection = self._connection
        limit = self._idle_limit()
        if limit is None or not connection.is_open:
            return
        left = max(limit, _IDLE_CHECK)
        if self.idle_since is not None and not connection.reserved:
            left = self.idle_since + limit - trio.current_time()
        if left <= 0:
            connection.retire()
        else:
            self._check_idle_in(left)


def _margin(timeout: float) -> float:
    return min(_MARGIN, timeout / 2)
