"""What the two directions know about frames: opcodes, frames as bytes, close codes (RFC 6455, sections 5 and 7.4)."""

from __future__ import annotations

from struct import pack

from .masking import mask, new_key

# The first byte of a frame that is a whole message: FIN and the opcode, no reserved bit.
TEXT, BINARY = 0x81, 0x82
FIN, RSV1 = 0x80, 0x40
COMPRESSED = (TEXT | 0x40, BINARY | 0x40)  # the same with RSV1, which permessage-deflate owns
CLOSE, PING, PONG = 0x88, 0x89, 0x8A


def plain_frame(first: int, payload: bytes) -> bytes:
    """A frame as a server sends it, without a mask."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    return (pack(">BBH", first, 126, size) if size < 65536 else pack(">BBQ", first, 127, size)) + payload


def client_frame(first: int, payload: bytes) -> bytes:
    """A frame as a client sends it, masked. Control frames have at most 125 bytes (RFC 6455, section 5.5)."""
    size = len(payload)
    if size < 126:
        head = bytes((first, 0x80 | size))
    else:
        head = pack(">BBH", first, 0xFE, size) if size < 65536 else pack(">BBQ", first, 0xFF, size)
    key = new_key()
    return b"".join((head, key, mask(payload, key)))


def is_close_code(code: int) -> bool:
    """Whether a Close may carry it (RFC 6455, section 7.4, and IANA's registry of close codes)."""
    return 3000 <= code <= 4999 or (1000 <= code <= 1014 and code not in (1004, 1005, 1006))


def check_close(code: int, reason: str) -> None:
    """Raise ValueError for a Close that must not be sent (RFC 6455, section 7.4), TypeError for what is none."""
    if not isinstance(code, int) or isinstance(code, bool):
        raise TypeError(f"a close code must be int, not {type(code).__name__}")
    if not isinstance(reason, str):
        raise TypeError(f'a close reason must be str, not {type(reason).__name__}: "" for none')
    if not is_close_code(code):
        raise ValueError(f"close code {code} must not be sent: use 1000 to 1003, 1007 to 1014, or 3000 to 4999")
    try:
        size = len(reason.encode())
    except UnicodeEncodeError:
        raise ValueError("a close reason contains a lone surrogate, which can't be encoded as UTF-8") from None
    if size > 123:
        raise ValueError(f"a close reason has at most 123 bytes of UTF-8, and this one {size}")
