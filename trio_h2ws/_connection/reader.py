"""The reader of one connection: the task that reads, dispatches what came, and runs the timers.

It awaits nothing but the transport (and, over HTTP/1.1, the application that must first take what is here). All that
the bytes cause happens inside `engine.receive`, synchronously: hooks of streams fill inboxes and wake tasks. The
output of one dispatch is held back and leaves in one write.

It sleeps in a cancel scope whose deadline is that of the next timer, so timers need no task.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from .._network.transport import BROKEN, Transport
from .._protocols.engine import Engine, TransportEnd
from .keepalive import Keepalive
from .timers import Timers
from .wakeups import ParkedTask, Wakeups
from .writer import Writer


class Reader:
    """`run` is its task; everything else is synchronous."""

    __slots__ = ("_keepalive", "_paused", "_stopped", "_timers", "_transport", "_wakeups", "_writer", "engine")

    def __init__(
        self,
        transport: Transport,
        engine: Engine,
        writer: Writer,
        timers: Timers,
        keepalive: Keepalive,
        wakeups: Wakeups,
    ) -> None:
        self._transport = transport
        self.engine = engine
        self._writer = writer
        self._timers = timers
        self._keepalive = keepalive
        self._wakeups = wakeups
        self._paused = ParkedTask()
        self._stopped = False

    async def run(self) -> None:
        """Until the transport has ended, the engine found a fault, or `stop`. Raises what the transport raises."""
        transport, engine, timers, writer = self._transport, self.engine, self._timers, self._writer
        keepalive, wakeups = self._keepalive, self._wakeups
        while not self._stopped:
            with timers.new_scope():
                while True:
                    while engine.paused:
                        await self._paused.park()
                    try:
                        data = await transport.receive()
                    except BROKEN:
                        if not transport.inside_record:
                            engine.receive_end(TransportEnd.BROKEN)
                        raise
                    if not data:
                        engine.receive_end(_end_of(transport, broken=writer.broken))
                        return
                    keepalive.last_received = trio.current_time()
                    wakeups.count = 0
                    writer.hold()
                    engine.receive(data)
                    if engine.fault is not None:
                        return
                    writer.resume(wakeups.count)
            timers.run_due()

    def resume(self) -> None:
        """The application has taken enough: read on."""
        self._paused.wake()

    def when_silent(self, seconds: float, call: Callable[[], None]) -> None:
        """`call()` once nothing has come for this long, while the application holds up nothing that has come."""

        def look() -> None:
            quiet = trio.current_time() - self._keepalive.last_received
            if self.engine.paused or quiet < seconds:
                self._timers.add(seconds, look)
            else:
                call()

        self._timers.add(seconds, look)

    def stop(self) -> None:
        """The connection is closed: end when the next timer is due. Until then what arrives is read and dropped."""
        self._stopped = True


def _end_of(transport: Transport, *, broken: bool) -> TransportEnd:
    if transport.inside_record:
        return TransportEnd.INSIDE_RECORD
    if broken:  # the write has got the error, so reading shows a plain end
        return TransportEnd.BROKEN
    return TransportEnd.WITHOUT_CLOSE_NOTIFY if transport.truncated else TransportEnd.CLEAN
