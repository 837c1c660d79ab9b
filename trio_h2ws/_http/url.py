"""URLs with the schemes http, https, ws and wss. They are parsed and checked before anything is dialled."""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote_to_bytes, urljoin, urlsplit

from .host import in_authority, split_authority

_DEFAULT_PORT = {"http": 80, "https": 443}
_HTTP_SCHEME = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")
# Everything that RFC 3986 allows in a path or query is kept as written, including "%": nothing is encoded twice.
_SAFE = "/?%:@!$&'()*+,;=-._~[]|"


class Origin(NamedTuple):
    """Scheme, host and port. URLs of one origin share connections; `ws` has the same origin as `http`."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}" + ("" if self.port == _DEFAULT_PORT[self.scheme] else f":{self.port}")

    @property
    def authority(self) -> str:
        """The host, and the port unless it is the default, as they are sent."""
        host = in_authority(self.host)
        return host if self.port == _DEFAULT_PORT[self.scheme] else f"{host}:{self.port}"


class URL(NamedTuple):
    """A checked URL. `authority` and `target` are the bytes that are sent."""

    text: str
    scheme: str
    origin: Origin
    authority: bytes
    target: bytes
    authorization: bytes | None
    """`Basic …` if the URL contained `user:password@`."""


# The fast path: most URLs have an origin that is in the cache of `_parse`, and a target that is sent as written.
_PLAIN = re.compile(r"((?:https?|wss?)://[a-z0-9.-]+(?::[0-9]+)?)(/[A-Za-z0-9/?%:@!$&'()*+,;=._~\[\]|-]*)")


def parse_url(url: str, base_url: str | None = None) -> URL:
    """Parse `url`, relative to `base_url` if there is one. Raises TypeError or ValueError."""
    if not isinstance(url, str):
        raise TypeError(f"a URL must be str, not {type(url).__name__}")
    plain = _PLAIN.fullmatch(url)
    if plain is None or "/." in plain[2]:
        return _parse(url, base_url)
    base = _parse(plain[1], None)
    return URL(url, base.scheme, base.origin, base.authority, plain[2].encode(), None)


@lru_cache(maxsize=1024)
def _parse(url: str, base_url: str | None) -> URL:
    if _FORBIDDEN.search(url):
        raise ValueError(f"URL {url!r} contains a control character")
    if base_url is not None:
        url = _join(base_url, url)
    url = url.strip(" ")
    try:
        url.encode()
        parts = urlsplit(url)
    except UnicodeEncodeError:
        raise ValueError(f"URL {url!r} contains a lone surrogate, which can't be encoded as UTF-8") from None
    except ValueError as error:
        raise ValueError(f"URL {url!r}: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in _HTTP_SCHEME:
        if not scheme:
            raise ValueError(f"URL {url!r} is not absolute: add the scheme, or pass base_url to open_client")
        raise ValueError(f"URL {url!r}: scheme {scheme!r} is not supported; use http, https, ws or wss")
    if not parts.hostname:
        raise ValueError(f"URL {url!r} has no host")
    if "\\" in parts.netloc:  # browsers end the host there
        raise ValueError(f"URL {url!r} contains a backslash before the path")
    try:
        host, port = split_authority(parts.netloc.rpartition("@")[2])
    except ValueError as error:
        raise ValueError(f"URL {url!r}: {error}") from None
    if port == 0:
        raise ValueError(f"URL {url!r}: the port must not be 0")
    http = _HTTP_SCHEME[scheme]
    origin = Origin(http, host, port or _DEFAULT_PORT[http])
    path = quote(parts.path, safe=_SAFE) or "/"
    if not path.startswith("/"):
        path = "/" + path
    if "/." in path:
        path = _without_dots(path)
    query = "?" + quote(parts.query, safe=_SAFE) if parts.query else ""
    return URL(url, scheme, origin, origin.authority.encode(), (path + query).encode(), _authorization(parts))


def _without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986, section 5.2.4)."""
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _join(base_url: str, url: str) -> str:
    # urljoin does not join relative paths for ws and wss: use http, and put the scheme back.
    scheme, colon, rest = base_url.partition("://")
    if not colon or "://" in url.partition("?")[0]:
        return url
    joined = urljoin(f"http://{rest}", url)
    return scheme + joined.removeprefix("http")


def _authorization(parts: SplitResult) -> bytes | None:
    if "@" not in parts.netloc:
        return None
    return basic_authorization(unquote_to_bytes(parts.username or ""), unquote_to_bytes(parts.password or ""))


def basic_authorization(user: bytes, password: bytes) -> bytes:
    """Basic credentials (RFC 7617)."""
    return b"Basic " + base64.b64encode(user + b":" + password)
