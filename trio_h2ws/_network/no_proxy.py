"""NO_PROXY: which hosts are reached without the environment's proxy.

No standard says what may stand in it, so this takes what curl, Go and requests agree on, and where they do not, the
form that says more (docs/how-to/proxies.md lists them). A host that is an address is never matched by a name: in
`NO_PROXY=1` nobody means `127.0.0.1`.
"""

from __future__ import annotations

import ipaddress
import re

from .._http.host import normalize_host

_PATTERN_AND_PORT = re.compile(r"(\[.*\]|[^:]*)(?::([0-9]+))?")


def bypasses(no_proxy: str, host: str, port: int) -> bool:
    """Whether the list names this host, which is lower-case ASCII like that of every origin."""
    entries = re.split(r"[\s,]+", no_proxy.lower())
    return any(_matches(entry, host, port) for entry in entries)


def _matches(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    found = _PATTERN_AND_PORT.fullmatch(entry)  # it does not match an IPv6 address that stands without brackets
    pattern, pattern_port = found.groups() if found is not None else (entry, None)
    if pattern_port is not None and pattern_port != str(port):
        return False
    network = _parse_network(pattern.strip("[]"))
    address = _parse_address(host)
    if network is not None or address is not None:
        return network is not None and address is not None and address in network
    return _matches_name(pattern, host)


def _matches_name(name: str, host: str) -> bool:
    """`example.com` and `.example.com` are that host and all below it, `*.example.com` only what is below."""
    below_only = name.startswith("*.")
    name = name.removeprefix("*").strip(".")
    try:
        name = normalize_host(name)
    except ValueError:
        return False  # no host has such a name
    return host.endswith(f".{name}") or (host == name and not below_only)


def _parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """`10.0.0.0/8`, or one address; bits behind the prefix do not matter."""
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _parse_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
