"""Who makes the calls, and who judges how they end."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable
from random import Random
from typing import ClassVar, Literal
from weakref import WeakSet

import trio

import trio_h2ws

from .tally import Tally, Wrong, told

BOUND = 45.0
"""Seconds in which every call must have ended. A storm is shorter than this, and so is everything that a call may
wait for: dials, keepalive, closing, the pauses between tries."""

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
"""What a storm can cause, exactly these. A ProtocolError is not among them: TCP and TLS corrupt nothing."""


OUT_OF_TIME = (trio_h2ws.ConnectionTimedOut, trio_h2ws.ConnectFailed, trio_h2ws.WebSocketError)


class Sky(trio.abc.Instrument):
    """The time of a round, as far as a call must know it, and how fast time goes."""

    def __init__(self) -> None:
        self.settled = False
        """Nothing may fail now."""
        self.epoch = 0
        """Counts changes, so that a call knows whether all of its life was settled."""
        self.lag = 0.0
        """The longest that the event loop was held up since then."""
        self._may_work = trio.Event()
        self.working = False
        self.open_bodies = 0
        """Generators of request bodies that were begun and not closed."""
        self.passes = 0
        """Of the scheduler. On a busy machine they are slow, and what takes a few of them is slow, too."""

    def after_io_wait(self, timeout: float) -> None:
        self.passes += 1

    def a_moment(self, start: float, passes: int) -> float:
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
    """Makes calls with one client, one after the other."""

    seen: ClassVar[WeakSet[BaseException]] = WeakSet()
    """Every error that somebody got: no other call may get the same object."""

    def __init__(
        self,
        name: str,
        client: trio_h2ws.Client,
        http2: Literal["require", "never"],
        port: int,
        random: Random,
        sky: Sky,
        tally: Tally,
    ) -> None:
        self.name = name
        self.client = client
        self.http2 = http2
        self.port = port
        self.random = random
        self.sky = sky
        self.tally = tally
        self.running: Running | None = None
        self._calm: int | None = None  # the settled time in which the call began

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
        start, passes = trio.current_time(), self.sky.passes
        self._calm = self.sky.epoch if self.sky.settled else None
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
                self.look(error, kind)
        late = trio.current_time() - early.deadline
        if running.scope.cancel_called:
            outcome = "hung"  # the watch has told of it
        elif early.cancelled_caught:
            outcome = "cancelled"
            if late > self.sky.a_moment(start, passes):
                self.fail(f"{kind}: it took {late:.2f} s to be cancelled")
        self.running = None
        self.tally.note(kind, outcome, trio.current_time() - start)

    def look(self, error: BaseException, kind: str) -> None:
        """An error must be one of the tree, bare, its getter's own, and have a reason outside."""
        calm = self._calm == self.sky.epoch and self.sky.settled
        if type(error) not in DOCUMENTED:
            self.fail(f"{kind}: not a documented error for this: {told(error)}")
            return
        bound = error.bound if isinstance(error, trio_h2ws.LimitExceeded) else None
        if "internal error" in str(error) or bound not in (None, "max_connections_per_origin"):
            self.fail(f"{kind}: {told(error)}")
        elif error in self.seen:
            self.fail(f"{kind}: two calls got the same exception object: {told(error)}")
        elif calm and bound is None and not self._excused(error, kind):
            self.fail(f"{kind}: failed in settled calm: {told(error)}")
        self.seen.add(error)

    def check_bound(self) -> None:
        running = self.running
        if running is not None and trio.current_time() > running.deadline and not running.scope.cancel_called:
            self.fail(f"{running.kind}: not done after {BOUND:.0f} s. It waits here:\n{stack(running.task)}")
            running.scope.cancel()

    def _excused(self, error: BaseException, kind: str) -> bool:
        """What may fail in calm, too: a body that can be sent only once, and met a GOAWAY; and what ran out of time
        because this whole process, with the server in it, got none."""
        if type(error) is trio_h2ws.RequestNotProcessed:
            return kind in ("upload", "echo", "own error")
        return self.sky.lag > 0.3 and isinstance(error, OUT_OF_TIME)

    def fail(self, text: str) -> None:
        self.tally.fail(f"{trio.current_time():.2f} {self.name}, {text}")


class Watch:
    """Looks at every call, and at the event loop itself, a few times a second."""

    def __init__(self, callers: list[Caller], sky: Sky, tally: Tally) -> None:
        self._callers = callers
        self._sky = sky
        self._tally = tally

    async def run(self) -> None:
        while True:
            start = trio.current_time()
            await trio.sleep(0.05)
            lag = trio.current_time() - start - 0.05
            self._sky.lag = max(self._sky.lag, lag)
            self._tally.lag = max(self._tally.lag, lag)
            for caller in self._callers:
                caller.check_bound()


def stack(task: trio.lowlevel.Task) -> str:
    """Where a task and its children wait."""
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
    """Run them together. The first error ends the others and comes out bare; each is looked at."""
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
            caller.look(error, kind)
        if errors:
            raise errors[0]
    finally:
        errors.clear()  # no cycle of frame and error: the audit counts objects


def _outline(data: bytes) -> str:
    return f"{len(data)} bytes ({data[:20]!r})"


def _first_difference(a: bytes, b: bytes) -> str:
    if len(a) == len(b):
        return f"first different at {next(i for i in range(len(a)) if a[i] != b[i])}"
    shorter = min(len(a), len(b))
    return "the beginning is right" if a[:shorter] == b[:shorter] else "different from the beginning"
