"""What a connection reads from and writes to: a socket of the operating system, or any Trio stream.

A transport has two halves that never wait for each other:
- `await receive()` returns the bytes that have arrived, b"" at the end. Only one task may call it at a time.
- `write(data)` accepts all of `data` and never waits. It sends what it can and keeps the rest; `blocked` is then true
  until `await drain()` has sent the rest. A blocked transport must not be written to.

The socket is used directly, without trio.SocketStream. With a synchronous, non-blocking send a single message leaves
without a switch to the writer task, and because the send contains no `await`, it can't be cancelled halfway.
"""

from __future__ import annotations

import math
import socket
import struct
import sys
from typing import Protocol

import trio

if sys.platform == "linux":
    import fcntl
    import termios

# Bytes of a socket's buffer: the first until it was full once, because most connections get little at a time.
_FIRST_SIZE = 16 * 1024
_RECEIVE_SIZE = 128 * 1024
# Seconds of silence before a probe, and between probes, and how many are sent. A system may lack some of them; macOS
# calls the first TCP_KEEPALIVE.
_KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPALIVE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4}
_MOST_MILLISECONDS = 2**31 - 1
BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)
"""The exceptions of a broken transport (ssl.SSLError is an OSError)."""


class NotConnected(OSError):
    """The peer ended the connection before it was complete, so it has processed nothing."""


class Transport(Protocol):
    """What a connection needs of a transport."""

    @property
    def blocked(self) -> bool:
        """Whether `write` has kept bytes that only `drain` can send."""
        ...

    @property
    def has_pending_input(self) -> bool:
        """Whether bytes, or the end, have arrived that `receive` has not returned yet. False if that is not known."""
        ...

    @property
    def written(self) -> int:
        """Bytes that `write` was given so far; below TLS, if there is TLS."""
        ...

    @property
    def acknowledged(self) -> int:
        """How many of them the peer's system has received; where that is not known, how many ours has taken."""
        ...

    @property
    def truncated(self) -> bool:
        """Whether TLS ended without the peer's close_notify, so what was received may be cut."""
        ...

    @property
    def inside_record(self) -> bool:
        """Whether a part of a TLS record has arrived, and not all of it. Not known, and False, over HTTP/2."""
        ...

    async def receive(self) -> bytes:
        """The bytes that have arrived, b"" at the end. Raises OSError or trio.BrokenResourceError if broken."""
        ...

    async def receive_view(self) -> bytes | memoryview:
        """The same without a copy: what it returns may change with the next call."""
        ...

    def write(self, data: bytes | memoryview) -> None:
        """Send as much of `data` as possible, and keep the rest. Raises OSError or trio.BrokenResourceError."""
        ...

    async def drain(self) -> None:
        """Send what `write` has kept. A task that cancels this must close the transport next."""
        ...

    def limit_unacknowledged(self, seconds: float | None) -> None:
        """End the connection if bytes that were sent are not acknowledged in this time; None: as the system does it.
        Does nothing where that is not known."""
        ...

    async def aclose(self) -> None:
        """Close at once, without close_notify. A task waiting in `receive` or `drain` gets
        trio.ClosedResourceError."""
        ...


class SocketTransport:
    """A connected, non-blocking socket."""

    __slots__ = ("_buffer", "_filled", "_socket", "_unsent", "_view", "blocked", "written")
    truncated = False  # without TLS this is not known
    inside_record = False

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            _keep_alive(sock)
        self._socket = sock
        self._buffer = bytearray(_FIRST_SIZE)
        self._view = memoryview(self._buffer)
        self._filled = False
        self._unsent: bytes | memoryview = b""
        self.blocked = False
        self.written = 0

    @property
    def acknowledged(self) -> int:
        return self.written - len(self._unsent) - _system_queue(self._socket)

    @property
    def peer(self) -> tuple[str, int] | None:
        """The address and port of the peer; None for a Unix socket, or if the connection has been reset."""
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
            pass  # `receive` will raise this error at once
        return True

    async def receive(self) -> bytes:
        return bytes(await self.receive_view())

    async def receive_view(self) -> memoryview:
        while True:
            # A read that filled the buffer has probably left more, so it is worth trying again without polling first.
            if self._filled:
                await trio.lowlevel.checkpoint()
                self._filled = False
            else:
                await trio.lowlevel.wait_readable(self._socket)
            try:
                n = self._socket.recv_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                continue
            data = self._view[:n]
            self._filled = n == len(self._buffer)
            if self._filled and n < _RECEIVE_SIZE:
                self._buffer = bytearray(_RECEIVE_SIZE)
                self._view = memoryview(self._buffer)
            return data

    def write(self, data: bytes | memoryview) -> None:
        self.written += len(data)
        try:
            sent = self._socket.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]  # no copy of what the next call sends a part of
            self.blocked = True

    async def drain(self) -> None:
        while self._unsent:
            await trio.lowlevel.wait_writable(self._socket)
            try:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except (BlockingIOError, InterruptedError):
                continue
        self._unsent = b""
        self.blocked = False

    def limit_unacknowledged(self, seconds: float | None) -> None:
        if hasattr(socket, "TCP_USER_TIMEOUT") and self._socket.family != getattr(socket, "AF_UNIX", None):
            milliseconds = 0 if seconds is None else min(math.ceil(seconds * 1000), _MOST_MILLISECONDS)
            try:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            except OSError:
                pass  # it is closed, or no TCP socket

    async def aclose(self) -> None:
        if self._socket.fileno() >= 0:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._view = memoryview(b"")  # a task that was in `receive` gets its exception before it looks
            self._buffer = bytearray()
            self._unsent = b""
        await trio.lowlevel.checkpoint()


class StreamTransport:
    """Any trio.abc.Stream: a memory stream in a test, or what the user's `open_stream` returned."""

    __slots__ = ("_stream", "_unsent", "acknowledged", "blocked", "written")
    truncated = False  # without TLS this is not known
    inside_record = False

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._unsent = b""
        self.blocked = False
        self.written = self.acknowledged = 0

    @property
    def has_pending_input(self) -> bool:
        return False  # a trio.abc.Stream does not show it

    async def receive(self) -> bytes:
        return bytes(await self._stream.receive_some(_RECEIVE_SIZE))

    async def receive_view(self) -> bytes:
        return await self.receive()

    def write(self, data: bytes | memoryview) -> None:
        # Sending on a Trio stream needs an await, so the writer task sends everything, in `drain`.
        self._unsent += data
        self.written += len(data)
        self.blocked = bool(self._unsent)

    async def drain(self) -> None:
        data, self._unsent = self._unsent, b""
        await self._stream.send_all(data)
        self.acknowledged += len(data)
        self.blocked = bool(self._unsent)

    def limit_unacknowledged(self, seconds: float | None) -> None:
        pass  # not known for a trio.abc.Stream

    async def aclose(self) -> None:
        await trio.aclose_forcefully(self._stream)


class EarlyBytes:
    """A transport from which too much was read: `receive` returns those bytes first."""

    __slots__ = ("_early", "_inner")
    truncated = False  # without TLS this is not known
    inside_record = False

    def __init__(self, inner: Transport, early: bytes) -> None:
        self._inner = inner
        self._early = early

    @property
    def blocked(self) -> bool:
        return self._inner.blocked

    @property
    def written(self) -> int:
        return self._inner.written

    @property
    def acknowledged(self) -> int:
        return self._inner.acknowledged

    @property
    def has_pending_input(self) -> bool:
        return bool(self._early) or self._inner.has_pending_input

    async def receive(self) -> bytes:
        if not self._early:
            return await self._inner.receive()
        await trio.lowlevel.checkpoint()
        early, self._early = self._early, b""
        return early

    async def receive_view(self) -> bytes | memoryview:
        return await self.receive() if self._early else await self._inner.receive_view()

    def write(self, data: bytes | memoryview) -> None:
        self._inner.write(data)

    async def drain(self) -> None:
        await self._inner.drain()

    def limit_unacknowledged(self, seconds: float | None) -> None:
        self._inner.limit_unacknowledged(seconds)

    async def aclose(self) -> None:
        await self._inner.aclose()


def _system_queue(sock: socket.socket) -> int:
    """Bytes that the system has taken, and the peer's has not acknowledged; 0 where that is not known."""
    if sys.platform != "linux":
        return 0
    try:
        size: int = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)))[0]
    except (OSError, ValueError):
        return 0  # it is closed
    return size


def _keep_alive(sock: socket.socket) -> None:
    """TCP keepalive: over HTTP/1.1, which has no PING, only TCP notices that a peer is gone while nothing is sent."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    except OSError:
        pass  # it was reset already: the first read says so


def transport_for(stream: trio.abc.Stream) -> Transport:
    """The transport for a newly opened stream, which must not be used directly any more."""
    if isinstance(stream, trio.SocketStream):
        return SocketTransport(socket.socket(fileno=stream.socket.detach()))
    return StreamTransport(stream)
