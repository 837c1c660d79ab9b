"""Hosts of URLs and Host headers. They are checked before anything is dialled.

A name that no resolver accepts is refused here, with the reason: an empty label, a label of more than 63 bytes, a
name of more than 253 (RFC 1035, section 2.3.4). Underscores and similar characters are in use, and are allowed.

A non-ASCII name is mapped as browsers do it (UTS 46, non-transitional), and the result must be valid in IDNA 2008
(RFC 5891). Python's own codec implements IDNA 2003, which turns some names into others: faß.de into fass.de.
"""

from __future__ import annotations

import ipaddress
import re

# RFC 3986, section 3.2.2 (reg-name), without percent-encoding.
_NAME = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=-]*")
# Section 3.2, without userinfo. It must match the whole text, so that nothing next to the brackets is ignored.
_AUTHORITY = re.compile(r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[0-9]*))?")


def split_authority(authority: str) -> tuple[str, int | None]:
    """Split `host:port` into the host to be dialled and the port. Raises ValueError with the reason."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError(f"{authority!r} is not a host, or a host and a port")
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        raise ValueError(f"port {port} is greater than 65535")
    return (_name(match["name"]) if match["literal"] is None else _literal(match["literal"])), port


def in_authority(host: str) -> str:
    """The host as it is sent: IPv6 in brackets, without the zone (RFC 6874), which names a local interface."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host


def normalize_host(host: str) -> str:
    """The host in the form that a resolver accepts. An IPv6 address may be in brackets. Raises ValueError."""
    if ":" not in host:
        return _name(host)
    return _literal(host[1:-1] if host.startswith("[") and host.endswith("]") else host)


def is_loopback(host: str) -> bool:
    """Whether the host, in the form in which an Origin has it, is this machine (RFC 6761, section 6.3)."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)  # older Pythons do not look into it
    return (mapped or address).is_loopback


def check_host_field(value: bytes) -> None:
    """Check the value of a Host header (RFC 9112, section 3.2), or of `:authority`. Raises ValueError."""
    if b"@" in value:  # not shown: it may be a password
        raise ValueError("it contains '@': a Host has neither user nor password")
    if not value.isascii():
        raise ValueError(f"{value!r} is not ASCII: use the xn-- form of the name")
    host, _ = split_authority(value.decode())
    if "%" in host:
        raise ValueError(f"{host!r} has a zone, which is only for this machine (RFC 6874): leave it out")


def _literal(literal: str) -> str:
    # RFC 6874 requires "%25" before a zone. A plain "%" is common as well.
    host = re.sub("%25(?=.)", "%", literal, count=1)
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"[{literal}] is not an IPv6 address") from None
    address, percent, zone = host.partition("%")
    return address.lower() + percent + zone


def _name(given: str) -> str:
    name = (given if given.isascii() else _to_ascii(given)).removesuffix(".")
    if not _NAME.fullmatch(name):
        hint = ": it must not be percent-encoded" if "%" in name else ""
        raise ValueError(f"{given!r} is not a host name{hint}")
    labels = name.split(".")
    if not all(labels):
        raise ValueError(f"{given!r} is not a host name: it has an empty label")
    if len(name) > 253 or max(map(len, labels)) > 63:
        raise ValueError(f"{given!r} is not a host name: more than 63 bytes in a label, or more than 253 in all")
    return name.lower()


def _to_ascii(name: str) -> str:
    import idna  # imported here because its tables are large, and few names need them

    if len(name) > 253:
        raise ValueError(f"{name!r} is not a host name: more than 253 bytes in all")
    try:
        labels = idna.uts46_remap(name, std3_rules=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)
    except idna.IDNAError as error:
        raise ValueError(
            f"{name!r} is not a host name in IDNA 2008: {error}; you can give its xn-- form instead"
        ) from None
