"""What a peer speaks, by the first bytes that it sent. For errors: a few mistakes explain most wrong ports.

A beginning that TCP has cut is not recognised, so only the text of an error may depend on it, never its type.
"""

from __future__ import annotations

from typing import Literal

_TLS_RECORDS = (20, 21, 22, 23)  # RFC 8446, section 5.1: the first byte of a record; the next is 3
_SETTINGS = b"\x04\x00"  # type and flags of the first frame that an HTTP/2 server sends (RFC 9113, section 3.4)
_BEGINNINGS = (
    (b"HTTP/", "HTTP/1.1"),
    (b"SSH-", "SSH"),
    (b"220", "SMTP or FTP"),
    (b"* OK", "IMAP"),
    (b"+OK", "POP3"),
    (b"-ERR", "Redis"),
    (b"RFB ", "VNC"),
)


def is_tls(first: bytes) -> bool:
    """Whether this is the beginning of a TLS record."""
    return len(first) >= 2 and first[0] in _TLS_RECORDS and first[1] == 3


def wrong_protocol(first: bytes, wanted: Literal["HTTP/1.1", "HTTP/2", "TLS"]) -> str | None:
    """A sentence that says what the server speaks, and what to do; None if it is what was wanted, or not known."""
    protocol = _recognize(first)
    if protocol is None or protocol == wanted:
        return None
    if protocol == "TLS":
        return "the server speaks TLS on this port: use https:// (or wss://) for it"
    if not protocol.startswith("HTTP/"):
        return f"the server speaks {protocol} on this port, not HTTP: the port may be wrong"
    if wanted == "TLS":
        return f"the server speaks {protocol} without TLS on this port: use http:// (or ws://) for it"
    if protocol == "HTTP/2":
        return 'the server speaks HTTP/2, not HTTP/1.1: give http2="require" to use it with prior knowledge'
    return "the server answered in HTTP/1.1"


def _recognize(first: bytes) -> str | None:
    if is_tls(first):
        return "TLS"
    if first[3:5] == _SETTINGS and first[:1] == b"\0":
        return "HTTP/2"
    return next((name for beginning, name in _BEGINNINGS if first.startswith(beginning)), None)
