"""A link between a client and a server on this machine: a TCP proxy that delays and shapes.

    python -m tests.benchmarks.servers.link PORT SERVER_PORT ROUND_TRIP RATE

Each direction sends at most RATE bytes a second and delivers half a ROUND_TRIP later. What arrives faster than the
rate waits in a short queue; when the queue is full the link stops reading, so nothing is ever lost and TCP's flow
control slows the sender: a clean link with a small buffer.
"""

from __future__ import annotations

import socket
import sys
from collections import deque

import trio

_PIECE = 16 * 1024
_QUEUE = 0.02  # seconds of sending that may wait in the link


async def _direction(source: trio.SocketStream, sink: trio.SocketStream, delay: float, rate: float) -> None:
    under_way: deque[tuple[float, bytes]] = deque()
    more = trio.Event()
    ended = False

    async def deliver() -> None:
        nonlocal more
        while True:
            while not under_way:
                if ended:
                    await sink.send_eof()
                    return
                more = trio.Event()
                await more.wait()
            due, _ = under_way[0]
            await trio.sleep_until(due)
            now = trio.current_time()
            ready = []
            while under_way and under_way[0][0] <= now:
                ready.append(under_way.popleft()[1])
            await sink.send_all(b"".join(ready))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(deliver)
        sent = trio.current_time()  # when the last byte so far has left the near end
        while data := await source.receive_some(_PIECE):
            now = trio.current_time()
            sent = max(sent, now) + len(data) / rate
            under_way.append((sent + delay, data))
            more.set()
            if sent - now > _QUEUE:
                await trio.sleep(sent - now - _QUEUE)
        ended = True
        more.set()


async def _serve(near: trio.SocketStream, server: int, delay: float, rate: float) -> None:
    try:
        far = await trio.open_tcp_stream("127.0.0.1", server)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(_direction, near, far, delay, rate)
            nursery.start_soon(_direction, far, near, delay, rate)
    except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
        pass  # one end has closed, and this closes the other


async def _main(port: int, server: int, round_trip: float, rate: float) -> None:
    async def handler(near: trio.SocketStream) -> None:
        near.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await _serve(near, server, round_trip / 2, rate)

    await trio.serve_tcp(handler, port, host="127.0.0.1")


if __name__ == "__main__":
    trio.run(_main, int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
