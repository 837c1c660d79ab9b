"""`open_client`: checks its arguments, and runs the nursery of a client.

The user's own exception never enters that nursery, so it leaves the block as it is, in no ExceptionGroup.
"""

from __future__ import annotations

import math
import os
import ssl
from types import TracebackType

import trio

from .._config import Limits, Timeouts
from .._http.headers import HeaderTypes
from .._network.proxies import ProxyChoice, parse_proxy
from .._pool.dial import DialConfig, OpenStream
from .._requests.prepare import HTTP2, Defaults
from .client import Client


class _OpenClient:
    """`async with open_client() as client`"""

    def __init__(self, defaults: Defaults, dial: DialConfig, coalesce: bool) -> None:
        self._coalesce = coalesce
        self._defaults = defaults
        self._dial = dial
        self._manager = trio.open_nursery()
        self._client: Client | None = None

    async def __aenter__(self) -> Client:
        if self._client is not None:
            raise RuntimeError("open_client() gives one client: call it again for another")
        nursery = await self._manager.__aenter__()
        self._client = Client._create(nursery, self._defaults, self._dial, self._coalesce)
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._client is not None
        is_cancelled = trio.current_effective_deadline() == -math.inf
        self._client._pool.close(gracefully=not is_cancelled and (error is None or isinstance(error, Exception)))
        # The nursery never sees the user's exception, so it can't wrap it. Its tasks raise nothing, except Cancelled
        # when the wait for the last bytes is cancelled, or a KeyboardInterrupt that happened to arrive in one of
        # them: these are raised bare as well.
        try:
            await self._manager.__aexit__(None, None, None)
        except BaseException as raised:
            inner = _most_important(raised)
            if isinstance(inner, trio.Cancelled) and (error is not None or is_cancelled):
                return  # with the user's exception, or the value that the block returns: nothing was waited for
            raise inner from None


def _most_important(error: BaseException) -> BaseException:
    """The first exception in the group that is not Cancelled, if there is one."""
    while isinstance(error, BaseExceptionGroup):
        others = error.split(trio.Cancelled)[1]
        error = (others or error).exceptions[0]
    return error


def open_client(
    *,
    base_url: str | None = None,
    headers: HeaderTypes = None,
    ssl_context: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    proxy: str | None = None,
    trust_env: bool = True,
    uds: str | bytes | os.PathLike[str] | None = None,
    http2: HTTP2 = "auto",
    coalesce: bool = False,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    open_stream: OpenStream | None = None,
) -> _OpenClient:
    """`async with open_client() as client`: a client that owns its connections until the block ends.

    - `base_url`: the URL that relative ones are appended to, after a slash: with `https://example.org/api`, both
      `"users"` and `"/users"` mean `https://example.org/api/users`.
    - `headers`: sent with every request and handshake, unless the call gives the same name.
    - `ssl_context`: which certificates to trust, and client certificates. Your object is used, not a copy, and is not
      changed, except that an ALPN list that you have set in it is removed by the first handshake. By default, what
      the system trusts is trusted.
    - `server_hostname`: the name in the certificate, if it is not the URL's host.
    - `proxy`: `http://`, `https://` or `socks5://`, with `user:password@` if the proxy needs it. Without it, and with
      `trust_env`, HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment are used.
    - `uds`: the path of a Unix socket to connect to, whatever host the URL names.
    - `http2`: "auto" (HTTP/2 where the origin has it, else HTTP/1.1), "require" (else `HTTP2NotAvailable`; `http://`
      is then HTTP/2 with prior knowledge, RFC 9113 section 3.3), "never" (HTTP/1.1).
    - `coalesce`: origins that share an address and a certificate share a connection (RFC 9113, section 9.1.1).
    - `limits`, `timeouts`: every bound and deadline.
    - `open_stream`: `await open_stream(host, port)` returns a Trio stream to use instead of TCP, with TLS over it for
      `https://`.

    Leaving the block sends what is queued and GOAWAY on every connection, for at most `Timeouts.close` seconds, and
    closes everything; if the block was cancelled, it does not wait. Your exception is raised as it is, not in a
    group.
    """
    if sum(given is not None for given in (proxy, uds, open_stream)) > 1:
        raise ValueError("proxy, uds and open_stream each say how to connect: give one of them")
    kinds = {
        "ssl_context": (ssl_context, ssl.SSLContext),
        "limits": (limits, Limits),
        "timeouts": (timeouts, Timeouts),
    }
    for name, (value, kind) in kinds.items():
        if value is not None and not isinstance(value, kind):
            raise TypeError(f"{name} must be {kind.__name__} or None, not {type(value).__name__}")
    dial = DialConfig(
        ssl_context=ssl_context,
        server_hostname=server_hostname,
        open_stream=open_stream,
        uds=uds,
        proxies=ProxyChoice(parse_proxy(proxy) if proxy is not None else None, trust_env),
        limits=limits or Limits(),
        timeouts=timeouts or Timeouts(),
    )
    return _OpenClient(Defaults(base_url, headers, http2), dial, coalesce)
