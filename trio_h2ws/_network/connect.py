"""The two steps that a dial to an origin and a dial to a proxy share: a TCP connection, and TLS on it.

Each failure is a ConnectFailed whose message begins with the name of the origin or proxy. A dial that takes too long
is cancelled from outside, so no exception raised here could say how far it got: each step first records what it will
wait for.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from .._errors import ConnectFailed
from .open_files import find_refused_file, open_tcp_stream
from .tls import TLSTransport
from .tls_sessions import TLSSessions
from .transport import BROKEN, Transport, transport_for

_FIRST_PAUSE, _LONGEST_PAUSE = 0.005, 0.1  # seconds, between two tries on a Unix socket whose queue is full


class DialProgress:
    """What a dial is waiting for now, for the message of a timeout; and what all dials share."""

    __slots__ = ("one_at_a_time", "sessions", "waiting_for")

    def __init__(self, one_at_a_time: trio.Lock, sessions: TLSSessions) -> None:
        self.sessions = sessions
        self.waiting_for = "the first step of the dial"
        self.one_at_a_time = one_at_a_time


class TooManyFiles(ConnectFailed):
    """The operating system refused a socket, because the process (EMFILE) or the system (ENFILE) has too many open
    files. Private: to the caller it is a ConnectFailed."""


@contextmanager
def connecting(name: str) -> Iterator[None]:
    """Turn a failure to connect into a ConnectFailed."""
    try:
        yield
    except (OSError, trio.BrokenResourceError, UnicodeError) as error:  # UnicodeError: not a valid host name
        raise could_not_connect(name, error) from root_cause(error)


def could_not_connect(name: str, error: BaseException) -> ConnectFailed:
    """A ConnectFailed that says why."""
    cause = root_cause(error)
    message = f"{name}: could not connect: {cause}"
    refused = find_refused_file(error)
    if refused is None:
        return ConnectFailed(message)
    if refused is not cause:
        message += f", because of {refused}"
    advice = "allow the process more (ulimit -n), or the client fewer connections (Limits.max_connections)"
    return TooManyFiles(f"{message}: {advice}")


def root_cause(error: BaseException) -> BaseException:
    """Trio tries each address and groups the errors of all attempts: the first of them says enough."""
    while isinstance(error.__cause__, BaseExceptionGroup):
        error = error.__cause__.exceptions[0]
    return error


async def connect_tcp(name: str, host: str, port: int, progress: DialProgress) -> Transport:
    """A TCP connection to the host. Raises ConnectFailed."""
    # Trio looks up the name and connects in one call, so it is not known which of the two is slow.
    lookup = "" if _is_address(host) else ", or the lookup of its name"
    progress.waiting_for = f"a TCP connection to {name}{lookup}"
    with connecting(name):
        return transport_for(await open_tcp_stream(host, port, progress.one_at_a_time))


async def connect_unix(path: str | bytes | os.PathLike[str], progress: DialProgress) -> socket.socket:
    """A connection to a Unix socket. While its queue of connections is full, it is tried again. Raises OSError.

    Such a connect() fails at once with EAGAIN; it can't be in progress, as one over TCP can. (trio.open_unix_socket
    takes it for one that is, and returns a socket that is not connected.)
    """
    if not hasattr(socket, "AF_UNIX"):
        raise OSError("this system has no Unix sockets")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        pause = _FIRST_PAUSE
        while True:
            await trio.lowlevel.checkpoint()
            try:
                sock.connect(os.fspath(path))
                return sock
            except BlockingIOError:
                progress.waiting_for = f"a place in the queue of the Unix socket {path!r}, which is full"
            await trio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
    except BaseException:
        sock.close()
        raise


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def start_tls(
    name: str,
    transport: Transport,
    context: ssl.SSLContext,
    host: str,
    alpn: list[str],
    progress: DialProgress,
    via: str = "",
) -> TLSTransport:
    """TLS on the transport; `via` is what leads there, a proxy perhaps.

    Raises ConnectFailed, and then the caller has to close the transport.
    """
    progress.waiting_for = f"the TLS handshake with {name}"
    try:
        tls = TLSTransport(transport, context, host, alpn, progress.sessions, via)
        await tls.handshake()
    except ssl.SSLCertVerificationError as error:
        raise ConnectFailed(
            f"{name}: its certificate was not accepted: {error.verify_message.rstrip('.')}. If you trust this "
            f"certificate, pass open_client an ssl_context that trusts it."
        ) from error
    except (*BROKEN, ValueError) as error:
        raise ConnectFailed(f"{name}: TLS handshake failed: {error}") from error
    return tls


async def close(transport: Transport) -> None:
    """Close the transport of a failed dial, even if the dial was cancelled."""
    with trio.CancelScope(shield=True):
        await transport.aclose()
