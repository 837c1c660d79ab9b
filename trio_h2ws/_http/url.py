"""URLs with the schemes http, https, ws and wss. They are parsed and checked before anything is dialled.

`user:password@` becomes an Authorization header and is in no text: not in `URL.text`, which users see as
`response.url`, and not in an error. Where a URL is not valid, it may be unclear where the password ends, so the error
shows nothing of what may be part of it.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes

from .host import in_authority, split_authority

_DEFAULT_PORT = {"http": 80, "https": 443}
_HTTP_SCHEME = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
# Everything that RFC 3986 allows in a path, query or fragment is kept as written, including "%": nothing is encoded
# twice.
_SAFE = "/?%:@!$&'()*+,;=-._~[]|"
# RFC 3986, appendix B: scheme, authority, and the rest.
_PARTS = re.compile(r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://([^/?#]*))?(.*)", re.DOTALL)
_HOST_AND_PORT = re.compile(r"(?:\[[^\[\]@]*\]|[^\[\]:@]+)(?::[0-9]*)?")
_PORT_AND_PATH = re.compile(r"[0-9]{1,5}(?:[/?#].*)?", re.DOTALL)
# A server may redirect to ever new URLs: of 1,024 URLs of 512 ASCII characters 2 MiB are kept. A character of another
# kind may become twelve.
_MAX_CACHED = 512
_MAX_SHOWN = 500


# In a text that may contain URLs.
_LOGIN = re.compile(r"(?<=//)[^\s/?#\\]*@")


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
    """As it was given, with any fragment, but without `user:password@`."""
    scheme: str
    origin: Origin
    authority: bytes
    target: bytes
    authorization: bytes | None
    """`Basic …` if the URL contained `user:password@`."""

    def __repr__(self) -> str:
        return f"<URL {self.text}>"  # never the password


# The fast path: most URLs have an origin that is in the cache of `_parse`, and a target that is sent as written.
_PLAIN = re.compile(r"((?:https?|wss?)://[a-z0-9.-]+(?::[0-9]+)?)(/[A-Za-z0-9/?%:@!$&'()*+,;=._~\[\]|-]*)")


def parse_url(url: str, base_url: str | None = None) -> URL:
    """Parse `url`, under `base_url` if there is one. Raises TypeError, or a ValueError without the password."""
    if not isinstance(url, str):
        raise TypeError(f"a URL must be str, not {type(url).__name__}")
    plain = _PLAIN.fullmatch(url)
    if plain is None or "/." in plain[2]:
        return _parse_known(url, base_url)
    base = _parse_known(plain[1], None)
    return URL(url, base.scheme, base.origin, base.authority, plain[2].encode(), None)


def check_base_url(base_url: str) -> None:
    """Raises TypeError, or a ValueError without the password."""
    parse_url(base_url)
    if "?" in base_url or "#" in base_url:
        raise ValueError(f"base_url {_shown(base_url)}: leave out the query and fragment: paths are appended to it")


def resolve(base: str, reference: str) -> str:
    """The URL that a reference means, relative to an absolute URL (RFC 3986, section 5.2.2).

    Dot segments are left in it: `parse_url` removes them.
    """
    scheme, authority, rest = _split(base)
    given, its_authority, its_rest = _split(reference)
    # "https:page" is relative, as in browsers (section 5.2.2 allows that for the scheme of the base).
    if its_authority is not None or (given and given.lower() != (scheme or "").lower()):
        return reference if given else f"{scheme}:{reference}"
    path, mark, query = rest.partition("#")[0].partition("?")
    if its_rest[:1] in ("", "#"):
        path += mark + query
    elif not its_rest.startswith(("/", "?")):
        path = path[: path.rfind("/") + 1] or "/"
    elif its_rest.startswith("/"):
        path = ""
    return f"{scheme}://{authority}{path}{its_rest}"


def append(base: str, reference: str) -> str:
    """The URL that a relative one means under a client's base URL: it is appended, after a slash, as httpx does.

    `//host/path` is not appended: it names another host (RFC 3986, section 4.2).
    """
    given, authority, rest = _split(reference)
    if given:
        return reference
    scheme, its_authority, path = _split(base)
    if authority is not None:
        return f"{scheme}:{reference}"
    return f"{scheme}://{its_authority}{path.removesuffix('/')}/{rest.removeprefix('/')}"


def encode(text: str) -> str:
    """Percent-encode what is not allowed in a path, query or fragment (RFC 3986, section 2.1)."""
    return quote(text, safe=_SAFE)


def _split(url: str) -> tuple[str | None, str | None, str]:
    match = _PARTS.fullmatch(url)
    assert match is not None  # each part may be empty
    return match[1], match[2], match[3]


def _parse(url: str, base_url: str | None) -> URL:
    url = url.strip(" ")
    if _FORBIDDEN.search(url):
        raise ValueError(f"URL {_shown(url)} contains a control character")
    if base_url is not None:
        url = append(base_url, url)
    if _SURROGATE.search(url):
        raise ValueError(f"URL {_shown(url)} contains a lone surrogate, which can't be encoded as UTF-8")
    given, authority, rest = _split(url)
    scheme = (given or "").lower()
    if not scheme:
        raise ValueError(f"URL {_shown(url)} is not absolute: add the scheme, or pass base_url to open_client")
    if scheme not in _HTTP_SCHEME:
        # Without "//" it may be a user, as in user:password@host.
        which = f"scheme {scheme[:40]!r}" if authority is not None or "@" not in url else "its scheme"
        hint = _meant_without_scheme(url) if authority is None else ""
        raise ValueError(f"URL {_shown(url)}: {which} is not supported; use http, https, ws or wss{hint}")
    userinfo, at, host_and_port = (authority or "").rpartition("@")
    if not host_and_port or host_and_port[0] == ":":
        slashes = f": write // after '{given}:'" if authority is None else ""
        raise ValueError(f"URL {_shown(url)} has no host{slashes}")
    if "\\" in host_and_port or "\\" in userinfo:  # browsers end the host there
        raise ValueError(f"URL {_shown(url)} contains a backslash before the path")
    host, port = "", None
    try:
        host, port = split_authority(host_and_port)
        reason = "" if port != 0 else "the port must not be 0"
    except ValueError as error:
        reason = str(error)
    if reason:
        if "@" in rest and _may_hide_password(url, authority):  # the host may be the beginning of one
            reason = "no valid host; percent-encode / ? # and @ in a user or password"
        raise ValueError(f"URL {_shown(url)}: {reason}")
    http = _HTTP_SCHEME[scheme]
    origin = Origin(http, host, port or _DEFAULT_PORT[http])
    path, mark, query = rest.partition("#")[0].partition("?")
    path = encode(path) or "/"
    if "/." in path:
        path = _without_dots(path)
    target = path + mark + encode(query)
    text = f"{given}://{host_and_port}{rest}" if at else url
    return URL(text, scheme, origin, origin.authority.encode(), target.encode(), _authorization(userinfo))


def _meant_without_scheme(url: str) -> str:
    """What a URL like `localhost:8000/x` or `users:batch` may have been meant to be, for its error."""
    if "@" in url:
        return ""
    if _PORT_AND_PATH.fullmatch(url.partition(":")[2]):
        return f"; if it begins with a host, write http://{url[:_MAX_SHOWN]}"
    return f"; if it is a path, write ./{url[:_MAX_SHOWN]}"


_parse_cached = lru_cache(maxsize=1024)(_parse)


def _parse_known(url: str, base_url: str | None) -> URL:
    return _parse_cached(url, base_url) if len(url) <= _MAX_CACHED and url.isascii() else _parse(url, base_url)


def _shown(url: str) -> str:
    """The URL for an error: without a user and a password, and with nothing that may be part of them."""
    url = without_login(url, is_url=True)
    return repr(url if len(url) <= _MAX_SHOWN else url[:_MAX_SHOWN] + "…")


def without_login(text: str, *, is_url: bool) -> str:
    """A text that is a URL, or that may contain some, as it may be shown."""
    if not is_url:
        return _LOGIN.sub("***@", text)
    scheme, authority, _ = _split(text)
    if not _may_hide_password(text, authority):
        return text
    before = "" if authority is None else f"{scheme}://" if scheme else "//"
    return f"{before}***@{text.rpartition('@')[2]}"


def _may_hide_password(url: str, authority: str | None) -> bool:
    """Whether what comes before the last "@" may be a user and a password, and not the beginning of a path."""
    if "@" not in url:
        return False
    if authority is None:
        return not url.startswith(("/", "?", "#"))
    return not _HOST_AND_PORT.fullmatch(authority)


def _without_dots(path: str) -> str:
    """Remove dot segments (RFC 3986, section 5.2.4)."""
    segments = path.split("/")[1:]
    kept: list[str] = []
    for segment in segments:
        if segment == "..":
            if kept:
                kept.pop()
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


def _authorization(userinfo: str) -> bytes | None:
    if not userinfo:
        return None
    user, _, password = userinfo.partition(":")
    return basic_authorization(unquote_to_bytes(user), unquote_to_bytes(password))


def basic_authorization(user: bytes, password: bytes) -> bytes:
    """Basic credentials (RFC 7617)."""
    return b"Basic " + base64.b64encode(user + b":" + password)
