"""The rounds of a soak: storm, calm, audit."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from random import Random
from typing import Any, Literal

import trio

import trio_h2ws
from trio_h2ws.testing import Server, open_server

from ..support.toolkit import inside
from . import books
from .proxy import Link, Proxy
from .requests import REQUESTS, count_runs
from .sockets import SOCKETS
from .storm import Storm
from .tally import MIB, Memory, Tally
from .worker import BOUND, Caller, Phase, Watchdog

TIMEOUTS = trio_h2ws.Timeouts(
    connect=3.0, handshake=5.0, close=0.5, ping_interval=1.0, ping_timeout=2.0, idle=6.0, remember=1.0
)
DEAD = 3.0
"""Seconds after which the client must know that a peer is dead: ping_interval + ping_timeout."""
SLACK = 0.5

# One client each: the defaults; little of everything; windows that must grow from almost nothing.
LIMITS: dict[str, trio_h2ws.Limits] = {
    "default": trio_h2ws.Limits(),
    "tight": trio_h2ws.Limits(
        stream_window=10_000,
        max_stream_window=40_000,
        connection_window=65535,
        max_send_buffer=1000,
        max_queued_messages=2,
        max_queued_bytes=3000,
        max_streams=6,
        max_connections_per_origin=3,
    ),
    "growing": trio_h2ws.Limits(stream_window=4000, max_stream_window=1024 * 1024, max_queued_messages=1000),
    "http/1.1": trio_h2ws.Limits(),
}


@dataclass(frozen=True, slots=True)
class Plan:
    seconds: float
    seed: int
    storm: float = 8.0
    calm: float = 4.0
    """Seconds of settled calm, not counting the time that it takes to settle."""
    workers: int = 5
    """Concurrent calls of each client."""
    drain_every: int = 3
    """Rounds from one audit with drained connections to the next."""
    flat: bool = True
    """Whether memory is judged, which needs a long enough run."""


class Soak:
    def __init__(self, plan: Plan, tally: Tally, progress: Callable[[str], None]) -> None:
        self.plan = plan
        self.tally = tally
        self.progress = progress
        self.random = Random(plan.seed)
        self.phase = Phase()
        self.clients: dict[str, trio_h2ws.Client] = {}
        self.callers: list[Caller] = []
        self.ran: dict[str, int] = {}
        self.server: Server
        self.proxy: Proxy
        self._nursery: trio.Nursery

    async def run(self) -> None:
        trio.lowlevel.add_instrument(self.phase)
        with count_runs(self.ran):
            async with open_server(alpn=("h2", "http/1.1"), close_timeout=2.0) as self.server:
                self.proxy = Proxy(self.server.port, Random(self.random.random()))
                self.storm = Storm(self.proxy, self.server, Random(self.random.random()), self.tally, self._swallowed)
                async with trio.open_nursery() as nursery:
                    await nursery.start(self.proxy.serve)
                    await self._with_clients()
                    nursery.cancel_scope.cancel()
        trio.lowlevel.remove_instrument(self.phase)

    async def _with_clients(self) -> None:
        descriptors, tasks = books.descriptors(), books.all_tasks()
        async with AsyncExitStack() as stack:
            context = self.server.ssl_context
            for name, limits in LIMITS.items():
                http2: Literal["auto", "never"] = "never" if name == "http/1.1" else "auto"
                self.clients[name] = await stack.enter_async_context(
                    trio_h2ws.open_client(ssl_context=context, http2=http2, limits=limits, timeouts=TIMEOUTS)
                )
            async with trio.open_nursery() as self._nursery:
                for name in self.clients:
                    for number in range(self.plan.workers):
                        self.callers.append(self._caller(name, number, Random(self.random.random())))
                        self._nursery.start_soon(self._work, self.callers[-1])
                self._nursery.start_soon(Watchdog(self.callers, self.phase, self.tally).run)
                self._nursery.start_soon(self._check_books)
                await self._rounds()
                self._nursery.cancel_scope.cancel()
        self.clients.clear()
        await self._settle(lambda: self._nothing_left(descriptors, tasks), "after the clients were left")

    def _caller(self, name: str, number: int, random: Random) -> Caller:
        http2: Literal["require", "never"] = "never" if name == "http/1.1" else "require"
        client = self.clients[name]
        return Caller(f"{name} {number}", client, http2, self.proxy.port, random, self.phase, self.tally)

    async def _work(self, caller: Caller) -> None:
        jobs = {**REQUESTS, **SOCKETS}
        weights = [weight for weight, _ in jobs.values()]
        while True:
            await self.phase.may_work()
            ((kind, (_, job)),) = caller.random.choices(list(jobs.items()), weights)
            cancel_after = caller.random.choice((0, 0.001, 0.01, 0.1, 1)) * caller.random.random()
            await caller.call(kind, job, cancel_after=cancel_after if caller.random.random() < 0.2 else None)
            await trio.sleep(caller.random.uniform(0, 0.02))

    # The rounds.

    async def _rounds(self) -> None:
        plan, phase, start = self.plan, self.phase, trio.current_time()
        while trio.current_time() < start + plan.seconds:
            self.tally.rounds += 1
            phase.work(True)
            await self.storm.rage(min(plan.storm, max(1.0, start + plan.seconds - trio.current_time())))
            self.storm.clear()
            await trio.sleep(DEAD + SLACK + phase.lag)
            # Dead links with nothing under way, which no client can notice, and links that calm does not cure.
            self._cut_the_dead(and_slow=True)
            await trio.sleep(0.2)
            phase.settle(True)
            await self.storm.drain_in_calm(plan.calm)
            await self._audit(start)
            phase.settle(False)
            self.progress(
                f"{trio.current_time() - start:5.0f} s, round {self.tally.rounds}: {self.tally.total} calls, "
                f"{self.tally.faults.total()} faults, {len(self.tally.failures)} failures"
            )

    async def _audit(self, start: float) -> None:
        self.phase.work(False)
        await self._until(lambda: not any(caller.running for caller in self.callers), BOUND + 5)
        self.tally.audits += 1
        self.ran.clear()
        await self._settle(self._idle, "at an audit")
        await self._settle(self._nothing_kept, "at an audit")
        await self._next_one_works()
        if self.tally.rounds % self.plan.drain_every == 0 or trio.current_time() > start + self.plan.seconds:
            self.tally.drains += 1
            self.storm.drain(http1=True)
            await self._settle(self._all_drained, "after every connection was drained")
            self.tally.memory.append(Memory(trio.current_time() - start, *books.memory()))

    async def _next_one_works(self) -> None:
        for name in self.clients:
            caller = self._caller(name, self.plan.workers, self.random)
            self.callers.append(caller)
            for kind, job in (("small", REQUESTS["small"][1]), ("ws closes", SOCKETS["ws closes"][1])):
                await caller.call(kind, job, cancel_after=None)
            self.callers.remove(caller)

    # The books.

    def _connections(self) -> Iterator[tuple[str, Any]]:
        for name, client in self.clients.items():
            for connection in inside.connections_of(client):
                yield name, connection

    async def _check_books(self) -> None:
        while True:
            await trio.sleep(0.1)
            self._check_once()
            self._check_server()

    def _check_once(self) -> None:
        # Not in the loop above, whose variables would keep the last connection alive while it sleeps.
        for name, connection in self._connections():
            self.tally.books += 1
            self._record(name, books.working(connection))

    def _record(self, name: str, problems: Iterable[str]) -> None:
        for problem in problems:
            self.tally.fail(f"{trio.current_time():.2f} {name}: {problem}")

    def _check_server(self) -> None:
        stats = self.server.stats
        for problem in stats.protocol_errors:
            self.tally.fail(f"{trio.current_time():.2f} the server found a protocol error: {problem}")
        for error in stats.errors:
            self.tally.fail(f"{trio.current_time():.2f} a bug of the testing server: {error!r}")
        for grown in (stats.protocol_errors, stats.errors, stats.resets, stats.goaways):
            grown.clear()  # type: ignore[attr-defined]

    def _idle(self) -> list[str]:
        """What shows that the clients are not idle."""
        problems = []
        links = {link.client_port: link for link in self.proxy.links}
        served = {c.transport.transport_stream.socket.getpeername()[1]: c for c in self.server.connections}
        for name, connection in self._connections():
            problems += [f"{name}: {problem}" for problem in books.idle(connection)]
            link = links.get(books.port_of(connection))
            theirs = served.get(link.server_port) if link is not None else None
            if link is not None and not link.dead and theirs is not None:
                problems += [f"{name}: {problem}" for problem in books.pair(connection, theirs)]
        for name, client in self.clients.items():
            problems += [f"{name}: {problem}" for problem in books.pool(client)]
        if self.phase.open_bodies:
            problems.append(f"{self.phase.open_bodies} bodies were started and not closed")
        return problems

    def _nothing_kept(self) -> list[str]:
        """What live connections still hold of calls that are over."""
        gc.collect()
        left = {kind: count for kind, count in books.leftovers().items() if kind in inside.CLASSES_OF_A_CALL}
        return [f"{count} objects of type {kind.__name__} are left" for kind, count in left.items()]

    def _all_drained(self) -> list[str]:
        """What is left when every connection has ended."""
        self._cut_the_dead()  # their ends are never delivered
        stats, problems = self.server.stats, self._idle()
        problems += [f"{name}: {connection!r} is still there" for name, connection in self._connections()]
        if stats.connections_open or stats.streams_open or stats.websockets_open:
            problems.append(
                f"the server has {stats.connections_open} connections, {stats.streams_open} streams and "
                f"{stats.websockets_open} WebSockets"
            )
        if not problems:
            gc.collect()
            left = books.leftovers()
            if left:
                found = ", ".join(f"{count} {kind.__name__}" for kind, count in left.items())
                problems.append(f"objects are left: {found}")
        return problems

    def _nothing_left(self, descriptors: int, tasks: int) -> list[str]:
        problems = self._all_drained()
        if books.descriptors() != descriptors:
            problems.append(f"{books.descriptors()} file descriptors, {descriptors} before")
        if books.all_tasks() != tasks:
            problems.append(f"{books.all_tasks()} tasks, {tasks} before")
        return problems

    async def _settle(self, problems: Callable[[], list[str]], when: str) -> None:
        """Give the last frames a moment to arrive; whatever is still wrong then is a failure."""
        await self._until(lambda: not problems(), 3.0 + 2 * self.phase.lag)
        for problem in problems():
            self.tally.fail(f"{trio.current_time():.2f} {when}: {problem}")

    async def _until(self, reached: Callable[[], bool], seconds: float) -> None:
        with trio.move_on_after(seconds):
            while not reached():  # noqa: ASYNC110 - no single event covers it
                await trio.sleep(0.05)

    # Dead peers.

    def _cut_the_dead(self, *, and_slow: bool = False) -> None:
        for link in self.proxy.links:
            if link.dead or (and_slow and link.slow):
                link.cut()

    def _swallowed(self, link: Link) -> None:
        """A link has died. While there is work on it, its client must notice in time."""
        for name, connection in self._connections():
            if inside.is_closed(connection) or not inside.can_ping(connection):
                continue
            if books.port_of(connection) == link.client_port:
                self._nursery.start_soon(self._must_notice, name, connection)

    async def _must_notice(self, name: str, connection: Any) -> None:
        since = trio.current_time()
        while not inside.is_closed(connection):
            now = trio.current_time()
            # What had already passed the proxy may still arrive.
            since = max(since, inside.last_received_on(connection))
            if not inside.streams_of(connection):
                since = now
            elif now > since + DEAD + SLACK + 2 * self.phase.lag:
                self.tally.fail(f"{now:.2f} {name}: a dead peer was not noticed in {now - since:.2f} s")
                return
            await trio.sleep(0.02)
        if trio.current_time() > since + 0.1:
            self.tally.noticed.append(trio.current_time() - since)


def judge_memory(tally: Tally) -> None:
    """Memory must not grow from the middle of the run to its end."""
    if len(tally.memory) < 4:
        return
    middle, end = tally.memory[len(tally.memory) // 2], tally.memory[-1]
    if end.blocks - middle.blocks > 10_000:
        tally.fail(f"memory grew by {end.blocks - middle.blocks:,} blocks from the middle to the end")
    if end.resident - middle.resident > 8 * MIB:
        tally.fail(f"memory grew by {(end.resident - middle.resident) / MIB:.1f} MiB from the middle to the end")


async def soak(plan: Plan, progress: Callable[[str], None] = lambda line: None) -> Tally:
    """Run a soak. What failed is in `tally.failures`."""
    tally = Tally(progress)
    await Soak(plan, tally, progress).run()
    if plan.flat:
        judge_memory(tally)
    return tally
