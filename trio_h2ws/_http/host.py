"""Hosts: of a URL, and in a Host header. Checked before anything is dialled.

A name that no resolver takes is refused here, where the reason can be told: an empty label, one of more than 63
bytes, a name of more than 253 (RFC 1035, section 2.3.4). Underscores and the like are in use, and pass.

A name of another script is mapped as browsers do it (UTS 46, not transitional), and must then be one in IDNA 2008
(RFC 5891). Python's own codec does IDNA 2003, which makes other names of some: fass.de of faß.de.
"""

from __future__ import annotations

import ipaddress
import re

# RFC 3986, section 3.2.2 (reg-name), without percent-encoding.
_NAME = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=-]*")
# Section 3.2, without userinfo: what stands around the brackets must not be overlooked.
_AUTHORITY = re.compile(r"(?:\[(?P<literal>[^\[\]]*)\]|(?P<name>[^\[\]:]*))(?::(?P<port>[0-9]*))?")


def split_authority(authority: str) -> tuple[str, int | None]:
    """`host:port` as the host that is dialled, and the port. Raises ValueError, which tells what is wrong."""
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise ValueError(f"{authority!r} is not a host and a port")
    port = int(match["port"]) if match["port"] else None
    if port is not None and port > 65535:
        raise ValueError(f"port {port} is above 65535")
    return (_name(match["name"]) if match["literal"] is None else _literal(match["literal"])), port


def in_authority(host: str) -> str:
    """A host as it is sent: IPv6 in brackets. A zone (RFC 6874) names an interface of ours, and is no part of it."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host


def normalize_host(host: str) -> str:
    """A host as a resolver takes it: a name, or an address, IPv6 with brackets or without. Raises ValueError."""
    if ":" not in host:
        return _name(host)
    return _literal(host[1:-1] if host.startswith("[") and host.endswith("]") else host)


def check_host_field(value: bytes) -> None:
    """What may stand in a Host header (RFC 9112, section 3.2), and so in `:authority`. Raises ValueError."""
    if not value.isascii():
        raise ValueError(f"{value!r} is not ASCII: give the name in its xn-- form")
    host, _ = split_authority(value.decode())
    if "%" in host:
        raise ValueError(f"{host!r} has a zone, which is no business of the server's (RFC 6874)")


def _literal(literal: str) -> str:
    # RFC 6874 writes the "%" before a zone as "%25"; as it is, many write it, too.
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
        hint = ": nothing is percent-encoded in one" if "%" in name else ""
        raise ValueError(f"{given!r} is not a host name{hint}")
    labels = name.split(".")
    if not all(labels):
        raise ValueError(f"{given!r} is not a host name: it has an empty label")
    if len(name) > 253 or max(map(len, labels)) > 63:
        raise ValueError(f"{given!r} is not a host name: a label has at most 63 bytes, all of it 253")
    return name.lower()


def _to_ascii(name: str) -> str:
    import idna  # its tables are large, and few names need them

    if len(name) > 253:
        raise ValueError(f"{name!r} is not a host name: it has more than 253 bytes")
    try:
        labels = idna.uts46_remap(name, std3_rules=False).split(".")
        return ".".join(label if label.isascii() else idna.alabel(label).decode() for label in labels)
    except idna.IDNAError as error:
        raise ValueError(
            f"{name!r} is not a host name in IDNA 2008: {error}; its xn-- form is taken as given"
        ) from None
