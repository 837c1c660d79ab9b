"""How many connections a client may have, all origins together: `Limits.max_connections`, and the open files that the
operating system allows.

A dial takes a place before it begins. Its connection keeps the place until its socket is closed.

When no place is left, the connection that has been idle longest is closed, whatever its origin. If none is idle, the
origin takes its place in a queue, and has one turn each time it comes to the front, however many calls it has. An
origin without any connection is served before the others, because nothing will come free for it: for its sake a
connection ends between two exchanges even if further calls to its own origin wait. If WebSockets are on all
connections, a place may never come free, and the calls fail with LimitExceeded.

When the operating system refuses another file (EMFILE, ENFILE), the dial that met this waits, and tries again when a
connection of the client has ended; an idle one is closed for it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import trio

from .._connection.connection import Connection, State
from .._connection.wakeups import ParkedTask
from .._errors import LimitExceeded, fresh


class Claimant(Protocol):
    """What waits for a place: an origin, or a WebSocket that needs a connection to itself."""

    @property
    def is_starved(self) -> bool:
        """It is served first: without this place it gets no connection."""
        ...

    def advance(self) -> None:
        """Call `take` again, if a place is still needed."""
        ...

    def fail(self, error: BaseException) -> None:
        """There will be no place."""
        ...


class _Turn(ParkedTask):
    """The claim of a dial for a single call."""

    __slots__ = ("_capacity", "error", "taken")
    is_starved = True

    def __init__(self, capacity: Capacity) -> None:
        super().__init__()
        self._capacity = capacity
        self.taken = False
        self.error: BaseException | None = None

    def advance(self) -> None:
        if self._capacity.take(self):
            self.taken = True
            self.wake()

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.wake()

    def on_cancelled(self) -> None:
        self._capacity.withdraw(self)


class _WaitForFile(ParkedTask):
    """A dial that met the bound of the operating system."""

    __slots__ = ("_queue", "is_wanted")

    def __init__(self, queue: OrderedDict[_WaitForFile, None], is_wanted: Callable[[], bool]) -> None:
        super().__init__()
        self._queue = queue
        self.is_wanted = is_wanted

    def on_cancelled(self) -> None:
        self._queue.pop(self, None)


class Capacity:
    """The places of one client."""

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._taken = 0
        self._held: dict[Connection, None] = {}  # connections with a place; the others are those of dials
        self._leaving: set[Connection] = set()  # those of them whose sockets will soon be closed
        # The longest idle first. Some may have been used again since: that is seen when one is to be closed.
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._starved: OrderedDict[Claimant, None] = OrderedDict()
        self._others: OrderedDict[Claimant, None] = OrderedDict()
        self._for_file: OrderedDict[_WaitForFile, None] = OrderedDict()
        self._without_websocket: Connection | None = None  # the one that was found last
        self._closed = False

    # Places.

    def take(self, claimant: Claimant) -> bool:
        """Take a place for a dial. If it returns False, `claimant.advance()` is called when it is its turn, or
        `claimant.fail()`, perhaps at once."""
        self.withdraw(claimant)
        if self._most is None or self._taken < self._most:
            self._taken += 1
            return True
        (self._starved if claimant.is_starved else self._others)[claimant] = None
        self._make_room()
        self._fail_if_hopeless()
        return False

    async def wait_for_place(self) -> None:
        """The same, for a dial that serves a single call. Raises LimitExceeded, or the error given to `close`."""
        turn = _Turn(self)
        turn.advance()
        if not turn.taken and turn.error is None:
            await turn.park()
        if turn.error is not None:
            raise turn.error

    def withdraw(self, claimant: Claimant) -> None:
        """It needs no place any more. Idempotent."""
        if self._starved or self._others:
            self._starved.pop(claimant, None)
            self._others.pop(claimant, None)

    def give_back(self) -> None:
        """The place of a dial that made no connection."""
        self._taken -= 1
        self._place_came_free()

    def hold(self, connection: Connection) -> None:
        """The dial has ended, and its connection takes over its place."""
        if connection.gone:
            self.give_back()
            return
        self._held[connection] = None
        if connection.state is State.CLOSED:
            self._leaving.add(connection)

    def end_dial(self, connection: Connection | None) -> None:
        """A dial has ended, with this connection, or without one of its own."""
        if connection is None:
            self.give_back()
        else:
            self.hold(connection)

    def _place_came_free(self) -> None:
        while self._most is not None and self._taken < self._most and (self._starved or self._others):
            claimant, _ = (self._starved or self._others).popitem(last=False)
            claimant.advance()
        self._wake_for_file()
        self._fail_if_hopeless()

    # Connections.

    def on_closed(self, connection: Connection) -> None:
        """Its state has become CLOSED. Its socket is closed a little later: then `on_gone`."""
        self._idle.pop(connection, None)
        if connection in self._held:
            self._leaving.add(connection)

    def on_gone(self, connection: Connection) -> None:
        """Its socket is closed."""
        if connection in self._held:
            del self._held[connection]
            self._leaving.discard(connection)
            self._taken -= 1
        self._place_came_free()  # even if the connection of a failed dial had no place: its file is free now

    def on_idle(self, connection: Connection) -> None:
        """It has no streams now. It is closed at once if its place or its file is needed."""
        self._idle[connection] = None
        self._idle.move_to_end(connection)
        if self._starved or self._others or self._for_file:
            self._make_room()

    def ends(self, connection: Connection) -> bool:
        """End a connection that is between two exchanges, if an origin without any waits for its place."""
        if len(self._starved) <= len(self._leaving) or connection not in self._held or not is_idle(connection):
            return False
        self._end(connection)
        return True

    def _end(self, connection: Connection) -> None:
        self._leaving.add(connection)
        connection.retire()  # and not `shut_down`: its reader may be in the middle of a dispatch

    def on_changed(self) -> None:
        """A connection may have become one with a WebSocket."""
        if self._starved or self._others:
            self._fail_if_hopeless()

    def _make_room(self) -> None:
        """Close idle connections, as many as are needed."""
        while len(self._leaving) < len(self._starved) + len(self._others) + self._wanted_files():
            if not self._close_longest_idle():
                return

    def _close_longest_idle(self) -> bool:
        while self._idle:
            connection, _ = self._idle.popitem(last=False)
            if is_idle(connection):
                self._end(connection)
                return True
        return False

    def _fail_if_hopeless(self) -> None:
        """Fail every claim if no place will come free by itself."""
        if not (self._starved or self._others) or self._leaving or self._taken > len(self._held):
            return
        one = self._without_websocket
        if one is None or one not in self._held or one.websockets:
            one = next((connection for connection in self._held if not connection.websockets), None)
            self._without_websocket = one
        if one is None:
            assert self._most is not None
            claimants = [*self._starved, *self._others]
            self._starved.clear()
            self._others.clear()
            for claimant in claimants:
                message = f"WebSockets are open on all {self._most} connections of the client"
                claimant.fail(LimitExceeded("max_connections", self._most, message))

    # Files.

    async def wait_for_file(self, is_wanted: Callable[[], bool]) -> bool:
        """The operating system allowed no further file: wait until a connection has ended, so that the dial may try
        again. False if it should not: no call wants it any more, or the client has nothing that could end."""
        if self._closed:
            raise trio.ClosedResourceError("the client is closed")
        if self._taken - len(self._for_file) <= 1:  # all but this dial wait here as well
            await trio.lowlevel.checkpoint()
            return False
        waiting = _WaitForFile(self._for_file, is_wanted)
        self._for_file[waiting] = None
        self._make_room()  # which may have sent this one away, if no call wants it any more
        if waiting in self._for_file:
            await waiting.park()
        else:
            await trio.lowlevel.checkpoint()
        if self._closed:
            raise trio.ClosedResourceError("the client is closed")
        return is_wanted()

    def _wanted_files(self) -> int:
        """How many dials wait for a file. Those that are not wanted any more are sent away."""
        while self._for_file and not next(iter(self._for_file)).is_wanted():
            self._wake_for_file()
        return len(self._for_file)

    def _wake_for_file(self) -> None:
        if self._for_file:
            waiting, _ = self._for_file.popitem(last=False)
            waiting.wake()

    # The end.

    def close(self, error: BaseException) -> None:
        """The client is closed: every claim fails with `error`."""
        self._closed = True
        for claimant in [*self._starved, *self._others]:
            self.withdraw(claimant)
            claimant.fail(fresh(error))
        while self._for_file:
            self._wake_for_file()


def is_idle(connection: Connection) -> bool:
    """It could be closed without harm."""
    is_free = connection.state is State.OPEN and not connection.engine.streams and not connection.reserved
    return is_free and connection.engine.settings_received  # else its dial is still under way
