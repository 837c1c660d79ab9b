"""NO_PROXY: the hosts that are reached without the environment's proxy.

No standard defines its syntax. This module accepts the forms on which curl, Go and requests agree, and where they
differ, the more expressive one (docs/how-to/proxies.md lists them all). A name never matches a host that is an
address: `NO_PROXY=1` is not meant to match `127.0.0.1`.
"""

from __future__ import annotations

import ipaddress
import logging
import re
from functools import lru_cache

from .._http.host import normalize_host

_log = logging.getLogger("trio_h2ws")
_PATTERN_AND_PORT = re.compile(r"(\[.*\]|[^:]*)(?::([0-9]+))?")


def bypasses(no_proxy: str, host: str, port: int) -> bool:
    """Whether the list contains this host. The host is in lower-case ASCII, like that of every origin."""
    warn_of_useless(no_proxy)
    entries = re.split(r"[\s,]+", no_proxy.lower())
    return any(_matches(entry, host, port) for entry in entries)


@lru_cache(maxsize=64)
def warn_of_useless(no_proxy: str) -> None:
    """Log, once for each list, the entries that can match nothing: forms that some other program may accept."""
    for entry in re.split(r"[\s,]+", no_proxy):
        if ("*" in entry.removeprefix("*") and entry != "*") or re.fullmatch(r"\[.*\]/.*", entry):
            hint = "192.168.0.0/16 means a network, *.example.com all names below one"
            _log.warning("NO_PROXY: the entry %r matches nothing: %s", entry, hint)


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    found = _PATTERN_AND_PORT.fullmatch(entry)  # no match: an IPv6 address without brackets
    pattern, pattern_port = found.groups() if found is not None else (entry, None)
    if pattern_port is not None and pattern_port != str(port):
        return False
    network = _parse_network(pattern.strip("[]"))
    address = _parse_address(host)
    if network is not None or address is not None:
        return network is not None and address is not None and address in network
    return _matches_name(pattern, host)


def _matches_name(name: str, host: str) -> bool:
    """`example.com` and `.example.com` match that host and all subdomains, `*.example.com` only subdomains."""
    subdomains_only = name.startswith("*.")
    name = name.removeprefix("*").strip(".")
    try:
        name = normalize_host(name)
    except ValueError:
        return False  # not a valid host name
    return host.endswith(f".{name}") or (host == name and not subdomains_only)


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """`10.0.0.0/8`, or one address. Bits after the prefix are ignored."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
