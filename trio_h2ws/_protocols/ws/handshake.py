"""The opening handshake, both ways to write it: extended CONNECT (RFC 8441) and Upgrade (RFC 6455, section 4).

Only what both have in common is here: the fields that we offer, and the check of what the server chose. Extended
CONNECT uses neither Sec-WebSocket-Key nor Sec-WebSocket-Accept (RFC 8441, section 5), and some servers refuse a
request with a key.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..._errors import RemoteProtocolError
from ..._http.headers import Headers, RawFields, prepare
from .deflate import Deflate, DeflateOptions, accept_deflate, offer_deflate

_NOT_TOKEN = re.compile(r"[^!#$%&'*+\-.^_`|~0-9A-Za-z]")
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Agreement(NamedTuple):
    """What the two sides agreed on."""

    subprotocol: str | None
    deflate: Deflate | None


def check_subprotocols(subprotocols: Iterable[str]) -> tuple[str, ...]:
    """The names that may be offered. Raises TypeError or ValueError for what may not be."""
    if isinstance(subprotocols, (str, bytes)) or not isinstance(subprotocols, Iterable):
        raise TypeError(f"subprotocols must be an iterable of names, not {type(subprotocols).__name__}")
    names = tuple(subprotocols)
    for place, name in enumerate(names, 1):
        _check_subprotocol(name, place)
    if len(set(names)) != len(names):
        raise ValueError("subprotocols must differ from each other (RFC 6455, section 4.1)")
    return names


def offer(subprotocols: Sequence[str], origin: str | None, compression: DeflateOptions | None) -> RawFields:
    """The header fields of our offer; the subprotocols have been checked."""
    fields: RawFields = [(b"sec-websocket-version", b"13")]
    if origin is not None:
        fields += prepare([("origin", origin)])
    if subprotocols:
        fields.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode()))
    if compression is not None:
        if not isinstance(compression, DeflateOptions):
            raise TypeError(f"compression must be DeflateOptions or None, not {type(compression).__name__}")
        fields.append((b"sec-websocket-extensions", offer_deflate(compression)))
    return fields


def _check_subprotocol(name: object, place: int) -> None:
    """It must be a token (RFC 6455, section 4.1). It is not shown: browsers send tokens there, for example."""
    if not isinstance(name, str):
        raise TypeError(f"subprotocol {place} must be str, not {type(name).__name__}")
    if not name:
        raise ValueError(f"subprotocol {place} must not be empty")
    if wrong := _NOT_TOKEN.search(name):
        raise ValueError(f"subprotocol {place} contains {wrong[0]!r}, which RFC 6455, section 4.1, does not allow")


def new_key() -> str:
    """Sec-WebSocket-Key, for Upgrade only (RFC 6455, section 4.1)."""
    return base64.b64encode(os.urandom(16)).decode()


def check_upgrade(headers: Headers, key: str) -> None:
    """Check that a 101 answers our handshake (RFC 6455, section 4.1). Raises RemoteProtocolError."""
    if "websocket" not in [token.strip().lower() for token in headers.get("upgrade", "").split(",")]:
        raise RemoteProtocolError("the 101 does not upgrade to websocket")
    if "upgrade" not in [token.strip().lower() for token in headers.get("connection", "").split(",")]:
        raise RemoteProtocolError("the 101 has no Connection: upgrade")
    expected = base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()
    if headers.get_all("sec-websocket-accept") != [expected]:
        raise RemoteProtocolError("the 101 has a wrong Sec-WebSocket-Accept: it does not answer this handshake")


def check_answer(headers: Headers, subprotocols: Sequence[str], compression: DeflateOptions | None) -> Agreement:
    """What the server chose; it may choose only from the offer. Raises RemoteProtocolError."""
    chosen = headers.get_all("sec-websocket-protocol")
    subprotocol: str | None = None
    if chosen:
        subprotocol = chosen[0].strip()
        if len(chosen) > 1:
            raise RemoteProtocolError("the server chose several subprotocols")
        if subprotocol not in subprotocols:
            shown = "" if any(name in subprotocol for name in subprotocols) else f" {subprotocol!r}"
            raise RemoteProtocolError(f"the server chose a subprotocol{shown} that was not offered")
    deflate: Deflate | None = None
    for value in ",".join(headers.get_all("sec-websocket-extensions")).split(","):
        if not value.strip():
            continue
        if compression is None or deflate is not None:
            raise RemoteProtocolError(f"the server chose extension {value.strip()!r}, which was not offered")
        deflate = accept_deflate(value, compression)
    return Agreement(subprotocol, deflate)
