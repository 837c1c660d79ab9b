"""What a connection reads from and writes to: a socket of the operating system, or any Trio stream.

A transport has two halves that never wait for each other:
- `await receive()`: whatever has arrived, as much of it as there is; b"" at the end. One task at a time.
- `write(data)`: takes all of it at once and never waits. What could be sent was sent; the rest is kept, and
  `blocked` is true until `await drain()` has sent that, too. Nobody writes to a blocked transport.

The socket is used directly, without trio.SocketStream: a synchronous, non-blocking send is what lets a lone message
leave without a hop to the writer task, and there is no `await` in it, so there is nothing to cancel.
"""

from __future__ import annotations

import socket
from typing import Protocol

import trio

_RECEIVE_SIZE = 128 * 1024
BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""What a transport raises when it is broken (ssl.SSLError is an OSError)."""


class Transport(Protocol):
    @property
    def blocked(self) -> bool:
        """Whether `write` has kept bytes that only `drain` can send."""
        ...

    @property
    def has_pending_input(self) -> bool:
        """Whether bytes, or the end, are here that `receive` has not given yet, as far as can be seen at once."""
        ...

    async def receive(self) -> bytes:
        """Bytes that have arrived, b"" at the end. Raises OSError or trio.BrokenResourceError if it is broken."""
        ...

    def write(self, data: bytes) -> None:
        """Take `data`; send what can be sent now. Raises OSError or trio.BrokenResourceError if it is broken."""
        ...

    async def drain(self) -> None:
        """Send what `write` could not. Only who is about to close the transport may cancel it."""
        ...

    async def aclose(self) -> None:
        """Close at once, without a goodbye. Who waits in `receive` or `drain` gets trio.ClosedResourceError."""
        ...


class SocketTransport:
    """A connected, non-blocking socket."""

    __slots__ = ("_buffer", "_filled", "_socket", "_unsent", "_view", "blocked")

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._buffer = bytearray(_RECEIVE_SIZE)
        self._view = memoryview(self._buffer)
        self._filled = False
        self._unsent = b""
        self.blocked = False

    @property
    def peer(self) -> tuple[str, int] | None:
        """The address and port at the other end; None for a Unix socket, and for a connection that is reset."""
        try:
            name = self._socket.getpeername()
        except OSError:
            return None
        return (name[0], name[1]) if isinstance(name, tuple) else None

    @property
    def has_pending_input(self) -> bool:
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            pass  # broken, and that is news, too
        return True

    async def receive(self) -> bytes:
        while True:
            # After a read that filled the buffer there is probably more; else asking the kernel first costs a call.
            if self._filled:
                await trio.lowlevel.checkpoint()
                self._filled = False
            else:
                await trio.lowlevel.wait_readable(self._socket)
            try:
                n = self._socket.recv_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                continue
            self._filled = n == _RECEIVE_SIZE
            return bytes(self._view[:n])

    def write(self, data: bytes) -> None:
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent < len(data):
            self._unsent = data[sent:]
            self.blocked = True

    async def drain(self) -> None:
        while self._unsent:
            await trio.lowlevel.wait_writable(self._socket)
            try:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except (BlockingIOError, InterruptedError):
                continue
        self.blocked = False

    async def aclose(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
        await trio.lowlevel.checkpoint()


class StreamTransport:
    """Any trio.abc.Stream: memory streams in tests, or a tunnel that somebody else made."""

    __slots__ = ("_stream", "_unsent", "blocked")

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._unsent = b""
        self.blocked = False

    @property
    def has_pending_input(self) -> bool:
        return False  # no Trio stream can tell

    async def receive(self) -> bytes:
        return bytes(await self._stream.receive_some(_RECEIVE_SIZE))

    def write(self, data: bytes) -> None:
        # A Trio stream can only be written with an await, so all of it is the writer task's.
        self._unsent += data
        self.blocked = bool(self._unsent)

    async def drain(self) -> None:
        data, self._unsent = self._unsent, b""
        await self._stream.send_all(data)
        self.blocked = bool(self._unsent)

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)


class EarlyBytes:
    """A transport of which a piece was read too far: that piece comes first."""

    __slots__ = ("_early", "_inner")

    def __init__(self, inner: Transport, early: bytes) -> None:
        self._inner = inner
        self._early = early

    @property
    def blocked(self) -> bool:
        return self._inner.blocked

    @property
    def has_pending_input(self) -> bool:
        return bool(self._early) or self._inner.has_pending_input

    async def receive(self) -> bytes:
        if not self._early:
            return await self._inner.receive()
        await trio.lowlevel.checkpoint()
        early, self._early = self._early, b""
        return early

    def write(self, data: bytes) -> None:
        self._inner.write(data)

    async def drain(self) -> None:
        await self._inner.drain()

    async def aclose(self) -> None:
        await self._inner.aclose()


def transport_for(stream: trio.abc.Stream) -> Transport:
    """The transport for a stream that was just opened. The stream must not be used any more."""
    if isinstance(stream, trio.SocketStream):
        return SocketTransport(socket.socket(fileno=stream.socket.detach()))
    return StreamTransport(stream)
