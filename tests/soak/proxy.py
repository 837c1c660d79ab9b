"""A TCP proxy that does to bytes what networks do to them, on demand.

Each connection has two pipes, one for each direction, and each pipe has its own faults. Nothing is buffered without
bound: a pipe that stalls stops reading, and TCP's flow control stops the sender.

What a black hole swallows is lost, and TCP never delivers bytes after a gap, so a black hole stays for the rest of
the connection, as with a host whose packets are dropped until TCP gives up. All other faults can be lifted.
"""

from __future__ import annotations

import socket
import struct
from random import Random

import trio

READ = 16 * 1024
QUEUE = 16
"""The most pieces that a pipe holds."""


class Pipe:
    """One direction: what `source` sends reaches `sink`, later and in different pieces."""

    def __init__(self, source: trio.SocketStream, sink: trio.SocketStream, random: Random) -> None:
        self.delay = 0.0
        self.jitter = 0.0
        self.hold = 0.0
        """Seconds to wait for more after the first byte, so that several writes arrive as one."""
        self.rate: float | None = None
        """Bytes a second."""
        self.piece = 0
        """The largest size of the next `splits` writes."""
        self.splits = 0
        self.hole = False
        self.carried = 0
        self._source = source
        self._sink = sink
        self._random = random
        self._paused: trio.Event | None = None
        self._give, self._take = trio.open_memory_channel[tuple[float, bytes]](QUEUE)
        self._last = 0.0

    def pause(self) -> None:
        if self._paused is None:
            self._paused = trio.Event()

    def resume(self) -> None:
        if self._paused is not None:
            self._paused.set()
            self._paused = None

    def clear(self) -> None:
        """Lift every fault that can be lifted."""
        self.delay = self.jitter = self.hold = 0.0
        self.rate = None
        self.splits = 0
        self.resume()

    def end(self) -> None:
        """Send FIN in this direction, and carry nothing more."""
        self.hole = True
        self.resume()
        self._sink.socket.shutdown(trio.socket.SHUT_WR)

    async def read(self) -> bool:
        """Read until the source ends. True if the end should be passed on."""
        with self._give:
            while data := await self._source.receive_some(READ):
                if self.hole:
                    continue
                # Never earlier than the piece before, whatever the jitter: TCP keeps the order.
                due = trio.current_time() + self.delay + self._random.uniform(0, self.jitter)
                self._last = max(self._last, due)
                await self._give.send((self._last, data))
        return not self.hole

    async def write(self) -> None:
        with self._take:
            async for due, data in self._take:
                if due > trio.current_time():
                    await trio.sleep_until(due)
                if self.hold:
                    data = await self._held(data)
                await self._send(data)
        if not self.hole:
            await self._sink.send_eof()

    async def _held(self, data: bytes) -> bytes:
        await trio.sleep(self.hold)
        pieces = [data]
        try:
            while True:
                pieces.append(self._take.receive_nowait()[1])
        except (trio.WouldBlock, trio.EndOfChannel):
            return b"".join(pieces)

    async def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            while self._paused is not None:
                await self._paused.wait()
            if self.hole:
                return
            n = len(rest)
            if self.splits > 0:
                self.splits -= 1
                n = self._random.randint(1, self.piece)
            if self.rate is not None:
                n = min(n, max(1, int(self.rate / 50)))
            try:
                await self._sink.send_all(rest[:n])
            except trio.BrokenResourceError:
                if self.hole:  # `end` was called meanwhile
                    return
                raise
            sent = len(rest[:n])
            self.carried += sent
            rest = rest[n:]
            if self.rate is not None:
                await trio.sleep(sent / self.rate)


class Link:
    """One connection through the proxy: `up` carries to the server, `down` to the client."""

    def __init__(self, client: trio.SocketStream, server: trio.SocketStream, random: Random) -> None:
        self.client = client
        self.server = server
        self.up = Pipe(client, server, random)
        self.down = Pipe(server, client, random)
        self.client_port: int = client.socket.getpeername()[1]
        """The client's port; `server_port` is the one that the server sees. They identify the connection."""
        self.server_port: int = server.socket.getsockname()[1]
        self.slow = False
        """The kernel's buffers for it are small for good, so TCP itself stalls for a second now and then."""
        self._scope = trio.CancelScope()

    @property
    def pipes(self) -> tuple[Pipe, Pipe]:
        return self.up, self.down

    @property
    def dead(self) -> bool:
        """It swallows bytes, so it can't recover."""
        return self.up.hole or self.down.hole

    def cut(self, *, client: bool = True, server: bool = True) -> None:
        """End both sides now: with RST where the argument is true, else with FIN."""
        for side, stream in ((client, self.client), (server, self.server)):
            if side and stream.socket.fileno() >= 0:
                reset_on_close(stream)
        self._scope.cancel()

    async def run(self) -> None:
        with self._scope:
            try:
                async with trio.open_nursery() as nursery:
                    for pipe in self.pipes:
                        nursery.start_soon(self._read, pipe)
                        nursery.start_soon(pipe.write)
            except* (OSError, trio.BrokenResourceError, trio.ClosedResourceError):
                # One side has ended: end the other in the same way.
                self.cut()
        await trio.aclose_forcefully(self.client)
        await trio.aclose_forcefully(self.server)

    async def _read(self, pipe: Pipe) -> None:
        if not await pipe.read():
            self.cut()  # the FIN was swallowed as well, so nothing would ever close the other side


def reset_on_close(stream: trio.SocketStream) -> None:
    stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class Proxy:
    """Listens on a free port of the loopback interface. `links` are the live connections."""

    def __init__(self, server_port: int, random: Random) -> None:
        self.port = 0
        self.links: list[Link] = []
        self.refuse_until = 0.0
        """Until this time, new connections are reset at once."""
        self.swallow_until = 0.0
        """Until this time, new connections are accepted, and all their bytes are swallowed."""
        self.small_buffers = 0
        """The kernel's buffers of new connections, in bytes; 0 for its own choice."""
        self._server_port = server_port
        self._random = random

    def clear(self) -> None:
        self.refuse_until = self.swallow_until = 0.0
        self.small_buffers = 0
        for link in self.links:
            for pipe in link.pipes:
                pipe.clear()

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        await trio.serve_listeners(self._carry, listeners, task_status=task_status)

    async def _carry(self, client: trio.SocketStream) -> None:
        if trio.current_time() < self.refuse_until:
            reset_on_close(client)
            await client.aclose()
            return
        server = await trio.open_tcp_stream("127.0.0.1", self._server_port)
        if self.small_buffers:
            for stream in (client, server):
                for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                    stream.socket.setsockopt(socket.SOL_SOCKET, option, self.small_buffers)
        try:
            link = Link(client, server, self._random)
        except OSError:  # the client has already disconnected
            await trio.aclose_forcefully(client)
            await trio.aclose_forcefully(server)
            return
        link.slow = bool(self.small_buffers)
        link.up.hole = link.down.hole = trio.current_time() < self.swallow_until
        self.links.append(link)
        try:
            await link.run()
        finally:
            self.links.remove(link)
