"""A listener on the loopback interface: TCP or a Unix socket, with or without TLS.

It counts the connections and hands each transport to the test's function. An exception from that function fails the
test, unless it only means that the client has closed the connection.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
import trustme

import trio_h2ws

Serve = Callable[[trio.abc.Stream, str | None], Awaitable[None]]
"""Serves one transport. The second argument is what ALPN chose."""

GONE = (trio.BrokenResourceError, trio.ClosedResourceError)


@functools.cache
def authority() -> trustme.CA:
    """The certificate authority of the test run."""
    return trustme.CA()


def client_context() -> ssl.SSLContext:
    """A context that trusts that authority and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return context


def server_context(names: Sequence[str], alpn: Sequence[str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert(*names).configure_cert(context)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


async def until(condition: Callable[[], object]) -> None:
    """Wait until another task or process has made the condition true."""
    while True:
        if condition():
            return
        await trio.sleep(0.001)


class Listener:
    """What a test can ask about the server, and where clients find it."""

    def __init__(self, scheme: str) -> None:
        self._scheme = scheme
        self.port = 0
        self.ssl_context = client_context()
        self.accepted = 0
        """Connections so far."""
        self.alive = 0
        """Connections that are open now."""
        self.resumed = 0
        """Connections whose TLS session was resumed."""
        self.offers: list[list[str]] = []
        """What each ClientHello offered by ALPN, in order of arrival."""
        self.names: list[str | None] = []
        """The name that each ClientHello asked for (SNI)."""

    @property
    def url(self) -> str:
        return f"{self._scheme}://localhost:{self.port}"

    def open_client(self, **options: Any) -> Any:
        """`trio_h2ws.open_client`, trusting this server and resolving relative URLs against it."""
        return trio_h2ws.open_client(**{"ssl_context": self.ssl_context, "base_url": self.url, **options})

    @property
    def ws_url(self) -> str:
        return f"ws{self._scheme.removeprefix('http')}://localhost:{self.port}"


class _Tapped(trio.abc.Stream):
    """A stream that keeps its first bytes: the ClientHello, which Python's ssl module does not show to a server."""

    def __init__(self, inner: trio.abc.Stream) -> None:
        self.inner = inner
        self.first = b""

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self.inner.receive_some(max_bytes)
        if len(self.first) < 4096:
            self.first += data
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.inner.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self.inner.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self.inner.aclose()


def _offer(hello: bytes) -> list[str]:
    """The ALPN extension of a ClientHello (RFC 7301, section 3.1), as our clients write it."""
    if b"\x00\x0c\x02h2\x08http/1.1" in hello:
        return ["h2", "http/1.1"]
    if b"\x00\x09\x08http/1.1" in hello:
        return ["http/1.1"]
    return ["h2"] if b"\x00\x03\x02h2" in hello else []


@asynccontextmanager
async def listening(
    serve: Serve,
    *,
    tls: bool = True,
    alpn: Sequence[str] = ("h2", "http/1.1"),
    names: Sequence[str] = ("localhost", "127.0.0.1"),
    context: ssl.SSLContext | None = None,
    uds: str | None = None,
) -> AsyncIterator[Listener]:
    """A server until the end of the block. `context` replaces the one made from `names` and `alpn`."""
    listener = Listener("https" if tls else "http")
    inside = context or server_context(names, alpn)

    def note_name(_: ssl.SSLObject, name: str | None, __: ssl.SSLContext) -> None:
        listener.names.append(name)

    inside.sni_callback = note_name

    async def accept(stream: trio.abc.Stream) -> None:
        listener.accepted += 1
        listener.alive += 1
        try:
            if tls:
                tapped = _Tapped(stream)
                # Not https_compatible, so aclose sends close_notify, and an end without it is an error.
                secure = trio.SSLStream(tapped, inside, server_side=True)
                try:
                    await secure.do_handshake()
                finally:
                    listener.offers.append(_offer(tapped.first))
                listener.resumed += secure.session_reused
                await serve(secure, secure.selected_alpn_protocol())
            else:
                await serve(stream, None)
        except GONE:
            pass  # the client closed the connection: the test knows why
        finally:
            listener.alive -= 1
            await trio.aclose_forcefully(stream)

    failure: BaseException | None = None
    async with trio.open_nursery() as nursery:
        if uds is None:
            listeners: list[trio.SocketListener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            listener.port = listeners[0].socket.getsockname()[1]
        else:
            sock = trio.socket.socket(trio.socket.AF_UNIX)
            await sock.bind(uds)
            sock.listen()
            listeners = [trio.SocketListener(sock)]
        nursery.start_soon(functools.partial(trio.serve_listeners, accept, listeners, handler_nursery=nursery))
        # The test's own exception never enters the nursery, so it comes out bare.
        try:
            yield listener
        except BaseException as error:
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
