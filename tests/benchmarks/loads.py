"""The workloads, written once for every client: each drives a kit (`kits`) and returns what it cost.

A load does not know whether it runs on Trio or asyncio: what it needs from an event loop (running several coroutines
at once), the kit provides. It returns a dict of numbers for one operation: "cpu" and "wall" in seconds, and whatever
else it measures.
"""

from __future__ import annotations

import itertools
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from typing import Any

from .kits.kit import Kit, Socket, expect
from .meter import Meter, resident
from .servers.site import Site
from .servers.start import ROUND_TRIP

Numbers = dict[str, float]
Load = Callable[..., Awaitable[Numbers]]


async def requests(kit: Kit, site: Site, *, n: int, at_once: int, distinct: bool = False) -> Numbers:
    """`n` GETs of 1 KiB, `at_once` at a time, on one connection; with `distinct`, each of a different URL."""
    urls = itertools.count()
    async with kit.client(site) as client:

        async def some(count: int) -> None:
            for _ in range(count):
                url = f"{site.small}?item={next(urls)}" if distinct else site.small
                body = await client.get(url)
                expect(len(body), 1024)

        await some(1)  # the dial
        await kit.gather([lambda: some(5)] * at_once)
        with Meter() as meter:
            await kit.gather([lambda: some(n // at_once)] * at_once)
    return meter.each(n // at_once * at_once)


async def pages(kit: Kit, site: Site, *, n: int, at_once: int) -> Numbers:
    """`n` GETs by `at_once` tasks, from the first dial to the last page."""
    async with kit.client(site) as client:

        async def some() -> None:
            for _ in range(n // at_once):
                expect(len(await client.get(site.small)), 1024)

        with Meter() as meter:
            await kit.gather([some] * at_once)
    return {"cpu": meter.cpu / n, "wall": meter.wall}


async def _open(kit: Kit, client: Any, site: Site, n: int, at_once: int) -> list[Socket]:
    sockets: list[Socket] = []
    left = n

    async def some() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            sockets.append(await client.websocket(site.echo))

    await kit.gather([some] * min(at_once, n))
    return sockets


async def first(kit: Kit, site: Site) -> Numbers:
    """The first request of a client, its dial included, over a link of ROUND_TRIP."""
    async with kit.client(site) as client:
        with Meter() as meter:
            expect(len(await client.get(site.small)), 1024)
    return {**meter.each(1), "trips": meter.wall / ROUND_TRIP}


async def opening(kit: Kit, site: Site, *, n: int, at_once: int, first: int = 10) -> Numbers:
    """After the `first` ones, open `n` WebSockets, `at_once` handshakes at a time, and keep them all open."""
    async with kit.client(site) as client:
        kept = await _open(kit, client, site, first, first)
        before = resident()
        with Meter() as meter:
            kept += await _open(kit, client, site, n, at_once)
        after = resident()
        del kept
    return {**meter.each(n), "memory": (after - before) / n}


async def allocated(kit: Kit, site: Site, *, n: int) -> Numbers:
    """What Python itself allocates for an idle WebSocket."""
    async with kit.client(site) as client:
        kept = await _open(kit, client, site, 10, 10)
        resident()
        tracemalloc.start()
        kept += await _open(kit, client, site, n, 100)
        resident()  # for the garbage collection in it
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        del kept
    return {"memory": size / n}


async def growth(kit: Kit, site: Site, *, n: int) -> Numbers:
    """The cost of opening the last of `n` WebSockets, compared with the 100th."""
    window = min(400, n // 5)
    async with kit.client(site) as client:
        kept = await _open(kit, client, site, 100, 20)
        with Meter() as early:
            kept += await _open(kit, client, site, window, 20)
        kept += await _open(kit, client, site, n - 100 - 2 * window, 20)
        with Meter() as late:
            kept += await _open(kit, client, site, window, 20)
        del kept
    return {**late.each(window), "early": early.cpu / window, "growth": late.cpu / early.cpu}


async def echo(kit: Kit, site: Site, *, n: int, sockets: int, size: int, text: str = "") -> Numbers:
    """`n` messages over `sockets` WebSockets, each waiting for an echo before it sends the next."""
    message = text or "x" * size
    async with kit.client(site) as client:
        opened = await _open(kit, client, site, sockets, 20)

        async def some(socket: Socket, count: int) -> None:
            send, receive = socket
            for _ in range(count):
                await send(message)
                if await receive() != message:
                    raise ValueError("an echo differs from its message")

        def turns(count: int) -> list[Callable[[], Awaitable[None]]]:
            return [lambda socket=socket: some(socket, count) for socket in opened]  # type: ignore[misc]

        each = max(1, n // sockets)
        await kit.gather(turns(max(1, each // 20)))
        with Meter() as meter:
            await kit.gather(turns(each))
    return meter.each(each * sockets)


async def pipelined(kit: Kit, site: Site, *, n: int, size: int) -> Numbers:
    """One WebSocket: `n` messages sent as fast as `send` accepts them, while their echoes are received."""
    message = "x" * size
    async with kit.client(site) as client:
        send, receive = await client.websocket(site.echo)

        async def sender(count: int) -> None:
            for _ in range(count):
                await send(message)

        async def receiver(count: int) -> None:
            for _ in range(count):
                if await receive() != message:
                    raise ValueError("an echo differs from its message")

        await kit.gather([lambda: sender(200), lambda: receiver(200)])
        with Meter() as meter:
            await kit.gather([lambda: sender(n), lambda: receiver(n)])
    return meter.each(n)


async def download(kit: Kit, site: Site, *, size: int, seconds: float) -> Numbers:
    """Read a large body in pieces and drop them; after `seconds`, stop and extrapolate."""
    async with kit.client(site) as client:
        await client.get(site.small)  # the dial
        received = 0
        end = time.monotonic() + seconds
        with Meter() as meter:
            async with client.stream(site.large) as pieces:
                async for piece in pieces:
                    received += len(piece)
                    if received >= size or time.monotonic() > end:
                        break
    expect(received >= size or time.monotonic() > end, True)
    whole = size / received
    return {"cpu": meter.cpu * whole, "wall": meter.wall * whole, "rate": received / meter.wall}


async def upload(kit: Kit, site: Site, *, size: int) -> Numbers:
    """Send a large body in pieces."""
    async with kit.client(site) as client:
        await client.get(site.small)  # the dial
        with Meter() as meter:
            await _upload(client, site, size)
    return {**meter.each(1), "rate": size / meter.wall}


async def _upload(client: Any, site: Site, size: int) -> None:
    arrived = int(await client.upload(site.upload, size))
    if not size <= arrived < size * 1.01:  # with the headers, and what HTTP/2's frames or chunks add
        raise ValueError(f"{arrived} bytes arrived instead of {size}")


def _share(waits: list[float], share: float) -> float:
    return waits[min(int(len(waits) * share), len(waits) - 1)]


async def mixed(kit: Kit, site: Site, *, sockets: int, size: int, seconds: float, uploading: bool = False) -> Numbers:
    """Echoes on `sockets` WebSockets at an easy pace, first alone and then during a download or an upload."""
    async with kit.client(site) as client:
        opened = await _open(kit, client, site, sockets, 20)
        waits: list[float] = []
        running = True

        async def some(socket: Socket, phase: float) -> None:
            send, receive = socket
            await kit.sleep(phase)
            while running:
                start = time.perf_counter()
                await send("x" * 64)
                await receive()
                waits.append(time.perf_counter() - start)
                await kit.sleep(0.1)

        async def quiet() -> None:
            nonlocal running
            await kit.sleep(seconds)
            running = False

        async def busy() -> None:
            nonlocal running
            if uploading:
                await _upload(client, site, size)
                running = False
                return
            received = 0
            async with client.stream(site.large) as pieces:
                async for piece in pieces:
                    received += len(piece)
                    if received >= size:
                        break
            running = False

        def echoes() -> list[Callable[[], Awaitable[None]]]:
            return [
                lambda socket=socket, i=i: some(socket, 0.1 * i / sockets)  # type: ignore[misc]
                for i, socket in enumerate(opened)
            ]

        await kit.gather([quiet, *echoes()])
        calm = sorted(waits)
        waits.clear()
        running = True
        with Meter() as meter:
            await kit.gather([busy, *echoes()])
        waits.sort()
    return {
        "cpu": meter.cpu,
        "wall": meter.wall,
        "quiet": calm[-1],
        "busy": waits[-1],
        "quiet_p50": _share(calm, 0.5),
        "busy_p50": _share(waits, 0.5),
        "quiet_p99": _share(calm, 0.99),
        "busy_p99": _share(waits, 0.99),
        "slowdown": waits[-1] / calm[-1],
    }


LOADS: dict[str, Load] = {
    load.__name__: load
    for load in (requests, pages, first, opening, allocated, growth, echo, pipelined, download, upload, mixed)
}
