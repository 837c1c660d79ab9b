"""The writer of one connection: what is sent, and when.

A hop to the writer's task costs a scheduler pass, which a lone message should not pay: if nothing is queued and the
transport is free, `flush` writes at once, synchronously, without waiting. But a hundred tasks that send in one
scheduler pass should share one system call. So only the first `flush` after a pause writes; until the reader or the
writer has run again, the others wake the writer. It runs after all tasks of that pass, waits a few more passes while
they produce more, and takes everything in one write. When the reader has woken several tasks at once, a burst is to
be expected, and all of it is left to the writer.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from .._network.tls import TLSTransport
from .._network.transport import BROKEN, Transport
from .._protocols.engine import Engine
from .wakeups import ParkedTask

_WRITE = 64 * 1024
_WRITES = 4
_GATHER_PASSES = 8
_GATHER_SECONDS = 0.0005


class Writer:
    """`run` is its task; everything else is synchronous. `failed(error)` is called once, when nothing more can be
    sent."""

    __slots__ = (
        "_awake",
        "_closing",
        "_direct",
        "_dispatching",
        "_failed",
        "_kept",
        "_more",
        "_sleeping",
        "_transport",
        "broken",
        "engine",
    )

    def __init__(self, transport: Transport, engine: Engine, failed: Callable[[Exception], None]) -> None:
        self.broken = False
        self._transport = transport
        self.engine = engine
        self._failed = failed
        self._closing = False
        self._kept: list[bytes | memoryview] = []  # what was queued when the connection was shut down
        self._sleeping = ParkedTask()
        self._awake = True  # it looks for output when it starts
        self._more = False  # flush was called since the writer looked
        self._direct = True
        self._dispatching = False

    def flush(self) -> None:
        """There may be bytes to write: write them now if no other task loses by it, else leave them to the writer."""
        self._more = True
        if self._dispatching or self._awake or self.broken:
            return  # the reader asks when it has dispatched all; the writer asks before it sleeps
        engine = self.engine
        if self._direct and not self._transport.blocked:
            self._direct = False
            try:
                data, more = engine.produce(_WRITE)
                if not data:
                    return
                self._transport.write(data)
            except Exception as error:
                self._break(error)
                return
            if not (more or self._transport.blocked):
                return
        self._wake()

    # The reader's dispatch.

    def hold(self) -> None:
        """The reader begins to dispatch what it has read: what that queues is sent together."""
        self._dispatching = True

    def resume(self, woken: int) -> None:
        """The reader has dispatched, and has woken this many tasks, which will probably send."""
        self._dispatching = False
        self._direct = woken <= 1
        if self.engine.has_output or self._transport.blocked:
            if woken:
                self._wake()
            else:
                self.flush()

    # The task.

    async def run(self) -> None:
        """Until `close`, and until everything is sent; or until a write fails."""
        transport, engine = self._transport, self.engine
        try:
            while True:
                if transport.blocked:
                    await transport.drain()
                elif self._kept:
                    transport.write(self._kept.pop(0))
                elif engine.has_output:
                    if not self._closing:  # then nothing can be added, and a cancelled client still sends GOAWAY
                        await self._gather()
                    if not self._kept:  # else the connection was shut down meanwhile, and that was queued first
                        self._write_some()
                elif self._closing:
                    break
                else:
                    await self._sleep()
            self._send_close_notify()
            if transport.blocked:
                await transport.drain()
        except BROKEN as error:
            self._break(error)

    def _write_some(self) -> None:
        """What there is, in a few writes if it is much: a pass of the scheduler for each would cost half as much as
        the write."""
        transport, engine = self._transport, self.engine
        for _ in range(_WRITES):
            data, more = engine.produce(_WRITE)
            transport.write(data)
            if not more or transport.blocked:
                return

    async def _gather(self) -> None:
        """Let the tasks that are sending run for a few passes, as long as each pass brings more to write."""
        latest = trio.current_time() + _GATHER_SECONDS
        for _ in range(_GATHER_PASSES):
            self._more = False
            await trio.lowlevel.checkpoint()
            if not self._more or trio.current_time() > latest:
                return

    async def _sleep(self) -> None:
        self._direct = True
        self._awake = False
        await self._sleeping.park()

    def _wake(self) -> None:
        self._awake = True
        self._sleeping.wake()

    # Ends.

    def keep_queued(self) -> None:
        """What is queued now is still sent, although its streams end, as far as the peer's windows allow."""
        more = self.engine.has_output
        while more:
            data, more = self.engine.produce(_WRITE)
            self._kept.append(data)

    def close(self) -> None:
        """Send what is queued, then the close_notify of TLS, and end."""
        self._closing = True
        self._wake()

    def close_at_once(self) -> None:
        """The same without waiting: what the socket does not take now is lost."""
        if self.broken or self._transport.blocked:
            return
        try:
            self._transport.write(self.engine.produce(_WRITE)[0])
            self._send_close_notify()
        except Exception:
            pass  # the connection is ending already, for another reason; these bytes were a courtesy

    def _send_close_notify(self) -> None:
        if isinstance(self._transport, TLSTransport):
            self._transport.send_close_notify()

    def _break(self, error: Exception) -> None:
        if not self.broken:
            self.broken = True
            self._failed(error)
