"""Which proxy to use for an origin: the given one, one from the environment, or none.

`tunnel.py` connects through it. The URL of a proxy may contain a password, so nothing here shows more of it than
scheme, host and port: no error, no repr, and no exception of a parser that quotes its input.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from .._http.headers import RawFields
from .._http.host import is_loopback, normalize_host
from .._http.url import Origin, basic_authorization
from .no_proxy import bypasses

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
# What follows the last "@": a host, a port if there is one, and anything that should not be there.
_HOST_AND_PORT = re.compile(r"(\[[^\]]*\]|[^:/?#\[\]]*)(?::([^/?#]*))?(.*)")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_MAX_SOCKS_FIELD = 255  # RFC 1929, section 2: the length of a user or password is one octet
_ENCODE_HINT = "percent-encode / ? # and @ in a user or password"


class Proxy(NamedTuple):
    """A checked proxy URL."""

    scheme: str
    host: str
    port: int
    user: bytes | None
    password: bytes

    def __str__(self) -> str:
        return f"{self.scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def __repr__(self) -> str:
        return f"<Proxy {self}>"  # never the password

    @property
    def is_socks(self) -> bool:
        return self.scheme.startswith("socks")

    @property
    def authorization(self) -> RawFields:
        if self.user is None:
            return []
        # Capitalized as browsers do it: one proxy (pproxy) compares the name with its case.
        return [(b"Proxy-Authorization", basic_authorization(self.user, self.password))]


def parse_proxy(url: str) -> Proxy:
    """Parse and check the URL of a proxy. Raises TypeError, or a ValueError that never contains the password."""
    if not isinstance(url, str):
        raise TypeError(f"proxy must be a URL as str, not {type(url).__name__}")
    found = _SCHEME.match(url)
    scheme, rest = (found[1].lower(), url[found.end() :]) if found is not None else ("http", url)
    login, at, host_and_port = rest.rpartition("@")
    parts = _HOST_AND_PORT.match(host_and_port)
    assert parts is not None  # each part may be empty
    host, port, trailing = parts[1], parts[2] or "", parts[3]
    is_number = port.isascii() and port.isdigit()
    shown = f"proxy '{scheme}://{host}{f':{port}' if is_number else ''}'"
    if _CONTROL.search(url):
        raise ValueError("the proxy URL contains a space or a control character")
    if scheme not in _PORTS:
        raise ValueError(f"{shown}: the scheme must be http, https, socks5 or socks5h")
    if any(sign in login for sign in "/?#"):
        raise ValueError(f"{shown}: {_ENCODE_HINT}")
    if port and not is_number:
        raise ValueError(f"{shown}: the port is not a number; {_ENCODE_HINT}")
    if trailing not in ("", "/"):
        raise ValueError(f"{shown}: leave out everything after the host and port")
    if port and not 0 < int(port[:6]) < 65536:
        raise ValueError(f"{shown}: the port must be 1 to 65535")
    try:
        name = normalize_host(host)
    except ValueError:
        raise ValueError(f"{shown}: the host is not valid") from None
    user, _, password = login.partition(":")
    proxy = Proxy(
        scheme, name, int(port or _PORTS[scheme]), unquote_to_bytes(user) if at else None, unquote_to_bytes(password)
    )
    if proxy.is_socks and proxy.user is not None and not (_fits_socks(proxy.user) and _fits_socks(proxy.password)):
        length = f"1 to {_MAX_SOCKS_FIELD} ASCII characters"
        raise ValueError(f"{shown}: SOCKS5 needs a user and a password of {length} each, or neither")
    return proxy


def _fits_socks(field: bytes) -> bool:
    return 0 < len(field) <= _MAX_SOCKS_FIELD and field.isascii()


@dataclass(frozen=True, slots=True)
class ProxyChoice:
    """The given proxy, or else the one from the environment (if `trust_env`), or none."""

    proxy: Proxy | None
    trust_env: bool

    def for_origin(self, origin: Origin) -> Proxy | None:
        if self.proxy is not None or not self.trust_env:
            return self.proxy
        if not any(name.lower().endswith("_proxy") for name in os.environ):
            return None
        if is_loopback(origin.host):
            return None  # as in browsers and Go: a proxy elsewhere could not reach it
        from urllib import request  # takes as long to import as this whole library, so only where it is needed

        # Only the environment, on every system: not the settings of Windows or macOS.
        proxies = request.getproxies_environment()
        url = proxies.get(origin.scheme) or proxies.get("all")
        if not url or bypasses(proxies.get("no", ""), origin.host, origin.port):
            return None
        return parse_proxy(url)
