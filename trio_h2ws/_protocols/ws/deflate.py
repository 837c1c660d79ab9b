"""permessage-deflate (RFC 7692) that never inflates beyond a bound.

wsproto's extension inflates whatever comes: 65 KB can become 64 MB in one event. Here zlib is asked for 64 KiB at a
time, and for no more than the message may still have, so a bomb costs what the bound allows and no more. What zlib
has not used yet stays compressed until the receiver wants it.

zlib does not support a window of 8 bits (zlib issue 171): 9 to 15 are offered and accepted.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

from ..._config import check_fields
from ..._errors import RemoteProtocolError

PART = 64 * 1024
"""Bytes that are inflated at once."""
TAIL = b"\x00\x00\xff\xff"  # RFC 7692, section 7.2.1: the end of every compressed message, which is not sent


@dataclass(frozen=True, slots=True, kw_only=True)
class DeflateOptions:
    """Options of permessage-deflate (RFC 7692, section 7.1): what is offered, and how we compress.

    Raises ValueError for a value that zlib does not support.
    """

    server_max_window_bits: int = 15
    """9 to 15: the server may use at most 2**bits bytes of history."""
    client_max_window_bits: int = 12
    """9 to 15: the same for what we send. The server may ask for less."""
    server_context_takeover: bool = False
    """Whether the server may keep its history from one message to the next. This compresses better, and our inflater
    occupies memory for as long as the WebSocket is open."""
    client_context_takeover: bool = False
    """Whether we keep ours. This compresses better, and our compressor occupies memory for as long."""
    level: int = 6
    """Compression level of zlib: 0 (none) to 9 (slowest); -1 is zlib's default."""
    memory_level: int = 5
    """Memory level of zlib: 1 to 9. A higher one is faster and takes more memory."""
    threshold: int = 256
    """Bytes: shorter messages are sent uncompressed. A message in parts is always compressed."""

    def __post_init__(self) -> None:
        check_fields(self, _BOUNDS)


_BOUNDS = {
    "server_max_window_bits": (9, 15),  # zlib does not support 8
    "client_max_window_bits": (9, 15),
    "level": (-1, 9),
    "memory_level": (1, 9),
}


def offer_deflate(options: DeflateOptions) -> bytes:
    """The value of Sec-WebSocket-Extensions: what we want, and then what every server can agree to.

    A server may not accept a parameter of an offer, and then has to decline that offer as a whole (RFC 7692, section
    7.1); some refuse the handshake if no other offer follows. It takes the first that it can (section 5.1).
    """
    offers = dict.fromkeys((_wanted(options), "permessage-deflate; client_max_window_bits", "permessage-deflate"))
    return ", ".join(offers).encode()


def _wanted(options: DeflateOptions) -> str:
    parts = ["permessage-deflate", "client_max_window_bits"]
    if options.client_max_window_bits < 15:
        parts[1] += f"={options.client_max_window_bits}"
    if options.server_max_window_bits < 15:
        parts.append(f"server_max_window_bits={options.server_max_window_bits}")
    if not options.server_context_takeover:
        parts.append("server_no_context_takeover")
    if not options.client_context_takeover:
        parts.append("client_no_context_takeover")
    return "; ".join(parts)


def accept_deflate(value: str, options: DeflateOptions) -> Deflate:
    """What the server answered to our offer (RFC 7692, section 7.1). Raises RemoteProtocolError."""
    name, *parts = [part.strip() for part in value.split(";")]
    if name.lower() != "permessage-deflate":
        raise RemoteProtocolError(f"the server chose extension {name!r}, which was not offered")
    server_bits, client_bits = 15, options.client_max_window_bits
    server_takeover, client_takeover = True, options.client_context_takeover
    seen: set[str] = set()
    for part in parts:
        key, equals, raw = part.partition("=")
        key, raw = key.strip().lower(), raw.strip().strip('"')
        if key in seen:
            raise RemoteProtocolError(f"permessage-deflate: the parameter {key!r} comes twice")
        seen.add(key)
        if key == "server_no_context_takeover" and not equals:
            server_takeover = False
        elif key == "client_no_context_takeover" and not equals:
            client_takeover = False
        elif key in ("server_max_window_bits", "client_max_window_bits"):
            if not raw.isascii() or not raw.isdigit() or raw[0] == "0" or not 8 <= int(raw) <= 15:
                raise RemoteProtocolError(f"permessage-deflate: {part!r} must be from 8 to 15")
            if key[0] == "s":
                server_bits = int(raw)
            else:
                client_bits = min(client_bits, int(raw))
        else:
            raise RemoteProtocolError(f"permessage-deflate: unknown parameter {part!r}")
    # A server that keeps its context, or has a larger window than we wish for, can be read all the same: it has taken
    # one of the later offers.
    if client_bits < 9:
        raise RemoteProtocolError(
            "permessage-deflate: the server requires a window of 8 bits, and zlib has 9 or more"
        )
    return Deflate(options, server_bits, client_bits, server_takeover, client_takeover)


class Deflate(Extension):
    """One WebSocket's compressor and inflater. As an extension of wsproto's it tells that RSV1 is in use."""

    name = "permessage-deflate"

    def __init__(
        self,
        options: DeflateOptions,
        server_bits: int,
        client_bits: int,
        server_takeover: bool,
        client_takeover: bool,
    ) -> None:
        self._options = options
        # An inflater with a larger window can read smaller ones: 9 bits for 8.
        self._server_bits = max(9, server_bits)
        self._client_bits = client_bits
        self._server_takeover = server_takeover
        self._client_takeover = client_takeover
        # Both are made when first needed: an idle WebSocket has neither.
        self._inflater: zlib._Decompress | None = None
        self._compressor: zlib._Compress | None = None
        self.allowed: int | None = None
        """Bytes that the current message may still inflate to; None: no bound. Set by the receiver and its queue."""
        self.more = False
        """Whether `inflate` may give more without new bytes."""

    def offer(self) -> str:
        return offer_deflate(self._options).decode()

    def enabled(self) -> bool:
        return True

    def wants(self, size: int) -> bool:
        """Whether a message of this size should be compressed."""
        return size >= self._options.threshold

    def release(self) -> None:
        """The WebSocket is over: drop the history of both directions."""
        self._inflater = self._compressor = None
        self.more = False

    # Inbound. wsproto never sees compressed payload: the receiver inflates it first.

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        if rsv.rsv1 and (opcode.iscontrol() or opcode is Opcode.CONTINUATION):
            return CloseReason.PROTOCOL_ERROR
        return RsvBits(True, False, False)

    def inflate(self, data: bytes) -> bytes | CloseReason:
        """The next part of the current message, at most PART bytes, from what is held and these bytes, the last of
        which are followed by TAIL. While `more` is true, call it with b"" before the next bytes."""
        inflater = self._inflater
        if inflater is None:
            inflater = self._inflater = zlib.decompressobj(-self._server_bits)
        if inflater.eof:  # what follows does not count, and zlib would keep it
            self.more = False
            return b""
        # One byte more than allowed shows that it is too big. (And 0 would mean no bound to zlib.)
        most = PART if self.allowed is None else min(PART, self.allowed + 1)
        try:
            part = inflater.decompress(inflater.unconsumed_tail + data, most)
        except zlib.error:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if self.allowed is not None:
            if len(part) > self.allowed:
                return CloseReason.MESSAGE_TOO_BIG
            self.allowed -= len(part)
        self.more = len(part) == most
        return part

    def end_message(self) -> None:
        """The current message is inflated."""
        if not self._server_takeover or (self._inflater is not None and self._inflater.eof):
            self._inflater = None  # RFC 7692, section 7.2.3.4: a sender may end its DEFLATE stream with each message

    def inflate_message(self, data: bytes, allowed: int | None) -> bytes | CloseReason:
        """A whole message that came in one frame."""
        self.allowed = allowed
        result = self.inflate(data + TAIL)
        if not isinstance(result, CloseReason) and self.more:
            parts = [result]
            while self.more:
                part = self.inflate(b"")
                if isinstance(part, CloseReason):
                    return part
                parts.append(part)
            result = b"".join(parts)
        self.end_message()
        return result

    # Outbound.

    def compress(self, data: bytes, *, final: bool) -> bytes:
        """The next part of a message; `final` for its last one."""
        if self._compressor is None:
            self._compressor = zlib.compressobj(
                self._options.level, zlib.DEFLATED, -self._client_bits, self._options.memory_level
            )
        out = self._compressor.compress(data)
        if final:
            out += self._compressor.flush(zlib.Z_SYNC_FLUSH)
            out = out.removesuffix(TAIL)
            if not self._client_takeover:
                self._compressor = None
        return out
