"""SOCKS5 (RFC 1928), and its user and password (RFC 1929): what a client says, and what the answers mean.

The proxy gets the name, not an address, so names that only the proxy knows work. `_tunnel.py` does the IO.
"""

from __future__ import annotations

import ipaddress

VERSION = 5
NO_LOGIN = 0
LOGIN = 2
GRANTED = 0

_REPLIES = {
    1: "it failed",
    2: "its rules do not allow that",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "it does not know CONNECT",
    8: "it does not know this kind of address",
}
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_SIZE = {_IPV4: 4, _IPV6: 16}


def greeting(*, has_login: bool) -> bytes:
    """Which ways to log in we know (RFC 1928, section 3)."""
    methods = bytes((NO_LOGIN, LOGIN) if has_login else (NO_LOGIN,))
    return bytes((VERSION, len(methods))) + methods


def login_request(user: bytes, password: bytes) -> bytes:
    """RFC 1929, section 2. Either may be empty: that is what a URL with a user and no password says."""
    return b"\x01" + bytes((len(user),)) + user + bytes((len(password),)) + password


def connect_request(host: str, port: int) -> bytes:
    """RFC 1928, section 4. Raises ValueError for a name that is too long for it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        name = host.encode()
        if len(name) > 255:
            raise ValueError("SOCKS5 takes no name of more than 255 bytes") from None
        place = bytes((_NAME, len(name))) + name
    else:
        place = bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed
    return bytes((VERSION, 1, 0)) + place + port.to_bytes(2, "big")


def reason(reply: int) -> str:
    """Why it did not connect (RFC 1928, section 6)."""
    return _REPLIES.get(reply, f"reply {reply}, which RFC 1928 does not know")


def rest_of_reply(kind: int, first: int) -> int | None:
    """How many bytes follow the fifth of a reply: an address, which nobody needs, and a port. None: no such kind."""
    size = first + 1 if kind == _NAME else _ADDRESS_SIZE.get(kind)
    return None if size is None else size - 1 + 2
