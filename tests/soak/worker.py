"""The callers, and how they judge the end of a call."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from random import Random
from typing import ClassVar, Literal
from weakref import WeakSet

import trio

import trio_h2ws

from .tally import Tally, Wrong, format_error

BOUND = 45.0
"""Seconds within which every call must end. A storm is shorter than this, and so is everything that a call may wait
for: dials, keepalive, closing, the pauses between attempts."""

DOCUMENTED: tuple[type[Exception], ...] = (
    trio_h2ws.ConnectFailed,
    trio_h2ws.ConnectionLost,
    trio_h2ws.ConnectionTimedOut,
    trio_h2ws.ConnectionTerminated,
    trio_h2ws.RequestNotProcessed,
    trio_h2ws.StreamReset,
    trio_h2ws.WebSocketError,
    trio_h2ws.WebSocketClosed,
    trio_h2ws.LimitExceeded,
    trio_h2ws.WebSocketRejected,
)
"""All errors that a storm can cause. ProtocolError is not among them, since TCP and TLS corrupt nothing."""


OUT_OF_TIME = (trio_h2ws.ConnectionTimedOut, trio_h2ws.ConnectFailed, trio_h2ws.WebSocketError)


class Phase(trio.abc.Instrument):
    """The phase of the round, as far as a call must know it, and the speed of the event loop."""

    def __init__(self) -> None:
        self.settled = False
        """Nothing may fail now."""
        self.epoch = 0
        """Counts changes, so that a call knows whether the calm was settled all the time."""
        self.lag = 0.0
        """The longest time that the event loop was blocked since the last change."""
        self._may_work = trio.Event()
        self.working = False
        self.open_bodies = 0
        """Generators of request bodies that were started and not closed."""
        self.passes = 0
        """Passes of the scheduler. On a busy machine they are slow, and so is what takes a few of them."""

    def after_io_wait(self, timeout: float) -> None:
        self.passes += 1

    def a_few_passes(self, start: float, passes: int) -> float:
        """Seconds that a few passes of the scheduler take, measured since `start` and `passes`."""
        return 0.5 + 40 * (trio.current_time() - start) / max(1, self.passes - passes)

    def settle(self, settled: bool) -> None:
        self.settled = settled
        self.epoch += 1
        self.lag = 0.0

    def work(self, working: bool) -> None:
        self.working = working
        if working:
            self._may_work.set()
            self._may_work = trio.Event()

    async def may_work(self) -> None:
        while not self.working:
            await self._may_work.wait()


class Running:
    """A call under way."""

    __slots__ = ("deadline", "kind", "scope", "task")

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.deadline = trio.current_time() + BOUND
        self.scope = trio.CancelScope()
        self.task = trio.lowlevel.current_task()


class Caller:
    """Makes calls with one client, one after another."""

    seen: ClassVar[WeakSet[BaseException]] = WeakSet()
    """Every error that a call got: no other call may get the same object."""

    def __init__(
        self,
        name: str,
        client: trio_h2ws.Client,
        http2: Literal["require", "never"],
        port: int,
        random: Random,
        phase: Phase,
        tally: Tally,
    ) -> None:
        self.name = name
        self.client = client
        self.http2 = http2
        self.port = port
        self.random = random
        self.phase = phase
        self.tally = tally
        self.running: Running | None = None
        self._calm: int | None = None  # the epoch in which the call began, if it was settled

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def ws(self, path: str) -> str:
        return f"wss://127.0.0.1:{self.port}{path}"

    def check(self, truth: bool, what: str) -> None:
        if not truth:
            raise Wrong(what)

    def compare(self, got: bytes, wanted: bytes, what: str) -> None:
        self.tally.bytes_checked += len(got)
        if got != wanted:
            raise Wrong(f"{what}: got {_outline(got)}, wanted {_outline(wanted)}, {_first_difference(got, wanted)}")

    async def call(self, kind: str, job: Callable[[Caller], Awaitable[None]], *, cancel_after: float | None) -> None:
        running = self.running = Running(kind)
        start, passes = trio.current_time(), self.phase.passes
        self._calm = self.phase.epoch if self.phase.settled else None
        outcome = ""
        with running.scope, trio.CancelScope() as early:
            if cancel_after is not None:
                early.deadline = trio.current_time() + cancel_after
            try:
                await job(self)
                outcome = "ok"
            except Wrong as wrong:
                outcome = "wrong"
                self.fail(f"{kind}: {wrong}")
            except Exception as error:
                outcome = type(error).__name__
                self.judge(error, kind)
        late = trio.current_time() - early.deadline
        if running.scope.cancel_called:
            outcome = "hung"  # the watchdog has reported it
        elif early.cancelled_caught:
            outcome = "cancelled"
            if late > self.phase.a_few_passes(start, passes):
                self.fail(f"{kind}: it took {late:.2f} s to be cancelled")
        self.running = None
        self.tally.note(kind, outcome, trio.current_time() - start)

    def judge(self, error: BaseException, kind: str) -> None:
        """An error must be documented and bare, belong to this call alone, and have a cause outside the client."""
        calm = self._calm == self.phase.epoch and self.phase.settled
        if type(error) not in DOCUMENTED:
            self.fail(f"{kind}: not a documented error for this: {format_error(error)}")
            return
        bound = error.bound if isinstance(error, trio_h2ws.LimitExceeded) else None
        if "bug in trio_h2ws" in str(error) or bound not in (None, "max_connections_per_origin"):
            self.fail(f"{kind}: {format_error(error)}")
        elif error in self.seen:
            self.fail(f"{kind}: two calls got the same exception object: {format_error(error)}")
        elif calm and bound is None and not self._excused(error, kind):
            self.fail(f"{kind}: failed in settled calm: {format_error(error)}")
        self.seen.add(error)

    def check_bound(self) -> None:
        running = self.running
        if running is not None and trio.current_time() > running.deadline and not running.scope.cancel_called:
            self.fail(f"{running.kind}: not finished after {BOUND:.0f} s. It is waiting here:\n{stack(running.task)}")
            running.scope.cancel()

    def _excused(self, error: BaseException, kind: str) -> bool:
        """What may fail even in calm: a body that can be sent only once and met a GOAWAY, and a timeout if this whole
        process, with the server in it, got no CPU time."""
        if type(error) is trio_h2ws.RequestNotProcessed:
            return kind in ("upload", "echo", "own error")
        return self.phase.lag > 0.3 and isinstance(error, OUT_OF_TIME)

    def fail(self, text: str) -> None:
        self.tally.fail(f"{trio.current_time():.2f} {self.name}, {text}")


class Watchdog:
    """Checks every call, and the event loop itself, several times a second."""

    def __init__(self, callers: list[Caller], phase: Phase, tally: Tally) -> None:
        self._callers = callers
        self._phase = phase
        self._tally = tally

    async def run(self) -> None:
        while True:
            start = trio.current_time()
            await trio.sleep(0.05)
            lag = trio.current_time() - start - 0.05
            self._phase.lag = max(self._phase.lag, lag)
            self._tally.lag = max(self._tally.lag, lag)
            for caller in self._callers:
                caller.check_bound()


def stack(task: trio.lowlevel.Task) -> str:
    """Where a task and its children are waiting."""
    out = io.StringIO()

    def show(task: trio.lowlevel.Task, depth: int) -> None:
        for frame, line in task.iter_await_frames():
            code = frame.f_code
            out.write(f"{'  ' * depth}{code.co_filename}:{line} in {code.co_qualname}\n")
        for nursery in task.child_nurseries:
            for child in nursery.child_tasks:
                show(child, depth + 1)

    show(task, 1)
    return out.getvalue()


async def side_by_side(caller: Caller, kind: str, *functions: Callable[[], Awaitable[None]]) -> None:
    """Run them together. The first error ends the others and comes out bare; each of them is judged."""
    errors: list[Exception] = []

    async def run(function: Callable[[], Awaitable[None]]) -> None:
        try:
            await function()
        except Exception as error:
            errors.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        for function in functions:
            nursery.start_soon(run, function)
    try:
        for error in errors:
            if isinstance(error, Wrong):
                raise error
        for error in errors[1:]:
            caller.judge(error, kind)
        if errors:
            raise errors[0]
    finally:
        errors.clear()  # breaks the cycle of frame and error, since the audit counts objects


def _outline(data: bytes) -> str:
    return f"{len(data)} bytes ({data[:20]!r})"


def _first_difference(a: bytes, b: bytes) -> str:
    if len(a) == len(b):
        return f"first different at {next(i for i in range(len(a)) if a[i] != b[i])}"
    shorter = min(len(a), len(b))
    return "the beginning matches" if a[:shorter] == b[:shorter] else "different from the beginning"
