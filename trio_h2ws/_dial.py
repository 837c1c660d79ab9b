"""One dial: from an origin to a connection that is ready, with the server's first SETTINGS here.

The dial ends with the first SETTINGS, for requests too: only then is it known how many streams may be opened, and
whether the server takes WebSockets. Everything that can go wrong until then is a ConnectFailed, and nothing was sent.
"""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

import trio

from ._config import Limits, Timeouts
from ._errors import ConnectFailed, H2WSError, HTTP2NotAvailable
from ._h2.connection import BROKEN, Connection
from ._tls import TLSTransport
from ._transport import Transport, transport_for
from ._url import Origin

OpenStream: TypeAlias = Callable[[str, int], Awaitable[trio.abc.Stream]]


@dataclass(frozen=True, slots=True)
class DialConfig:
    """What every dial of a client needs."""

    ssl_context: ssl.SSLContext | None
    open_stream: OpenStream | None
    limits: Limits
    timeouts: Timeouts


def default_context() -> ssl.SSLContext:
    """The system's trust, TLS 1.2 or newer (RFC 9113, section 9.2)."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


class Dialer:
    """Opens connections for the pool. It makes the default SSL context once, when it is first needed."""

    def __init__(self, config: DialConfig, nursery: trio.Nursery, changed: Callable[[Connection], None]) -> None:
        self._config = config
        self._nursery = nursery
        self._changed = changed
        self._context = config.ssl_context

    async def dial(self, origin: Origin) -> Connection:
        """A ready connection. Raises ConnectFailed or HTTP2NotAvailable."""
        seconds = self._config.timeouts.connect
        try:
            with trio.fail_after(seconds if seconds is not None else float("inf")):
                return await self._dial(origin)
        except trio.TooSlowError:
            raise ConnectFailed(f"{origin}: no connection within {seconds} s (Timeouts.connect)") from None

    async def _dial(self, origin: Origin) -> Connection:
        transport = await self._open(origin)
        try:
            if origin.scheme == "https":
                transport = await self._secure(transport, origin)
        except BaseException:
            await _close(transport)
            raise
        config = self._config
        connection = Connection(transport, str(origin), config.limits, config.timeouts, self._changed)
        connection.start(self._nursery)
        try:
            await connection.wait_ready()
        except ConnectFailed as error:
            raise ConnectFailed(f"{origin}: {error}") from error.__cause__
        except BaseException:
            connection.abort(ConnectFailed(f"{origin}: the dial was given up"))
            raise
        return connection

    async def _open(self, origin: Origin) -> Transport:
        open_stream = self._config.open_stream or trio.open_tcp_stream
        try:
            stream = await open_stream(origin.host, origin.port)
        except H2WSError:
            raise
        except (OSError, trio.BrokenResourceError) as error:
            cause = error
            while isinstance(cause.__cause__, BaseExceptionGroup):  # one attempt an address: the first says enough
                cause = cause.__cause__.exceptions[0]  # type: ignore[assignment]
            raise ConnectFailed(f"{origin}: could not connect: {cause}") from cause
        return transport_for(stream)

    async def _secure(self, transport: Transport, origin: Origin) -> Transport:
        if self._context is None:
            self._context = default_context()
        try:
            tls = TLSTransport(transport, self._context, origin.host, ["h2", "http/1.1"])
            await tls.handshake()
        except ssl.SSLCertVerificationError as error:
            raise ConnectFailed(
                f"{origin}: the server's certificate was not accepted: {error.verify_message}. If it is your own, "
                f"give open_client an ssl_context that trusts it."
            ) from error
        except (*BROKEN, ValueError) as error:
            raise ConnectFailed(f"{origin}: TLS handshake failed: {error}") from error
        if tls.alpn != "h2":
            raise HTTP2NotAvailable("alpn", f"{origin} chose {tls.alpn or 'nothing'} in the TLS handshake")
        return tls


async def _close(transport: Transport) -> None:
    with trio.CancelScope(shield=True):
        await transport.aclose()
