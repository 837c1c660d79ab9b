"""The steps of a dial that the ways to an origin and to a proxy share: the connection, and TLS on it.

Each failure is a ConnectFailed that begins with whom it was about. A dial that takes too long is ended from outside,
and nothing is raised here that could tell where it was: so every step says first what it waits for.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import trio

from .._errors import ConnectFailed
from .tls import TLSTransport
from .transport import BROKEN, Transport, transport_for


class DialProgress:
    """Where one dial stands."""

    __slots__ = ("waiting_for",)

    def __init__(self) -> None:
        self.waiting_for = "its first step"


@contextmanager
def connecting(name: str) -> Iterator[None]:
    """What fails to connect in this block is a ConnectFailed."""
    try:
        yield
    except (OSError, trio.BrokenResourceError, UnicodeError) as error:  # UnicodeError: no name of a host
        cause = root_cause(error)
        raise ConnectFailed(f"{name}: could not connect: {cause}") from cause


def root_cause(error: BaseException) -> BaseException:
    """Trio makes one attempt an address, and a group of what they raised: the first says enough."""
    while isinstance(error.__cause__, BaseExceptionGroup):
        error = error.__cause__.exceptions[0]
    return error


async def connect_tcp(name: str, host: str, port: int, progress: DialProgress) -> Transport:
    # Trio looks the name up and connects in one call, so of a name it can't be told which of the two is slow.
    lookup = "" if _is_address(host) else ", or the lookup of its name"
    progress.waiting_for = f"a TCP connection to {name}{lookup}"
    with connecting(name):
        return transport_for(await trio.open_tcp_stream(host, port))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def start_tls(
    name: str, transport: Transport, context: ssl.SSLContext, host: str, alpn: list[str], progress: DialProgress
) -> TLSTransport:
    """TLS on the transport, which stays the caller's to close when this fails."""
    progress.waiting_for = f"the TLS handshake with {name}"
    try:
        tls = TLSTransport(transport, context, host, alpn)
        await tls.handshake()
    except ssl.SSLCertVerificationError as error:
        raise ConnectFailed(
            f"{name}: its certificate was not accepted: {error.verify_message.rstrip('.')}. If it is your own, "
            f"give open_client an ssl_context that trusts it."
        ) from error
    except (*BROKEN, ValueError) as error:
        raise ConnectFailed(f"{name}: TLS handshake failed: {error}") from error
    return tls


async def close(transport: Transport) -> None:
    """Close it, whatever ends the dial."""
    with trio.CancelScope(shield=True):
        await transport.aclose()
