"""permessage-deflate (RFC 7692) of the server: wsproto's, with control frames inside a message read correctly.

wsproto (1.3) forgets that a message is compressed when a control frame comes between its fragments, and passes the
rest on as it is. RFC 6455, section 5.4, allows such frames: a client's keepalive Ping is one. So control frames,
which are never compressed, do not reach wsproto's part.
"""

from __future__ import annotations

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits


class Deflate(PerMessageDeflate):
    def __init__(self) -> None:
        super().__init__()
        self._in_control_frame = False

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        self._in_control_frame = opcode.iscontrol()
        if self._in_control_frame:
            return CloseReason.PROTOCOL_ERROR if rsv.rsv1 else RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: bytes) -> bytes | CloseReason:
        return data if self._in_control_frame else super().frame_inbound_payload_data(proto, data)

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        return None if self._in_control_frame else super().frame_inbound_complete(proto, fin)


def accept_deflate(offers: list[str]) -> tuple[Deflate, bytes] | None:
    """The first offer that wsproto can accept, and the header value that accepts it."""
    for offer in offers:
        if offer.partition(";")[0].strip() != Deflate.name:
            continue
        extension = Deflate()
        try:
            accepted = extension.accept(offer)
        except ValueError:  # window bits that are not a number
            continue
        if isinstance(accepted, str):
            value = f"{Deflate.name}; {accepted}" if accepted else Deflate.name
            return extension, value.encode()
    return None
