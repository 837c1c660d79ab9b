"""The preface and both sides' SETTINGS (RFC 9113, sections 3.4 and 6.5; RFC 8441, section 3): what h2 does for us.

h2 knows which settings are not acknowledged yet, and applies new table sizes to HPACK. It gets the peer's SETTINGS,
without the values that it would keep and never use, and no other frames.
"""

from __future__ import annotations

import struct

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError as H2ProtocolError
from h2.settings import SettingCodes, Settings

from ..._config import Limits
from ..._errors import ErrorCode
from . import frames
from .frames import FrameError
from .header_compression import BlockDecoder, BlockEncoder

_LARGEST_FRAME = 64 * 1024  # a peer may allow 16 MiB, and then one frame of an upload would delay all other streams
_KNOWN = frozenset((1, 2, 3, 4, 5, 6, 8))
_SHOWN = 32


class SettingsExchange:
    """Our settings are part of the preface; the peer's come with `receive`, and are in force after it."""

    def __init__(self, encoder: BlockEncoder, decoder: BlockDecoder) -> None:
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self._h2.encoder = encoder
        self._h2.decoder = decoder
        self.received = False
        self.can_connect = False  # the first SETTINGS carried ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441, section 3)
        self._note()

    def preface(self, limits: Limits) -> bytes:
        """What a client sends first: the preface, our SETTINGS, and a WINDOW_UPDATE for the connection's window."""
        # h2 sends the initial values; a value that was assigned later would be used but not sent.
        # ENABLE_CONNECT_PROTOCOL is a server's setting: a client's 0 makes some servers refuse.
        settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: limits.stream_window,
                SettingCodes.MAX_HEADER_LIST_SIZE: min(limits.max_header_list_size, 2**32 - 1),
            },
        )
        settings.pop(SettingCodes.ENABLE_CONNECT_PROTOCOL, None)
        self._h2.local_settings = settings
        self._h2.initiate_connection()
        data: bytes = self._h2.data_to_send()
        if limits.connection_window > 65535:
            data += frames.window_update(0, limits.connection_window - 65535)
        return data

    def receive(self, payload: bytes) -> bytes:
        """The peer's SETTINGS came. Returns their acknowledgement."""
        first = not self.received
        kept: dict[int, int] = {}
        for code, value in struct.iter_unpack(">HL", payload):
            # h2 would keep every code for ever. Of the unknown ones a few are kept, to be shown.
            if code in _KNOWN or (first and len(kept) < _SHOWN):
                kept[code] = value
            if code == SettingCodes.ENABLE_PUSH and value:
                raise FrameError(ErrorCode.PROTOCOL_ERROR, "a server must not set ENABLE_PUSH")
            if code == SettingCodes.ENABLE_CONNECT_PROTOCOL:
                if value > 1 or (self.can_connect and not value):
                    raise FrameError(ErrorCode.PROTOCOL_ERROR, f"ENABLE_CONNECT_PROTOCOL = {value} is not allowed")
                if first:
                    self.can_connect = bool(value)
        answer = self._to_h2(0, b"".join(struct.pack(">HL", code, value) for code, value in kept.items()))
        self.received = True
        self._note()
        return answer

    def acknowledged(self) -> None:
        """The peer's acknowledgement of ours came."""
        self._to_h2(frames.ACK, b"")

    def _to_h2(self, flags: int, payload: bytes) -> bytes:
        try:
            self._h2.receive_data(frames.frame(frames.SETTINGS, flags, 0, payload))
        except H2ProtocolError as error:
            self._h2.clear_outbound_data_buffer()  # h2's GOAWAY: ours has the same code
            raise FrameError(ErrorCode(error.error_code), f"SETTINGS: {error}") from error
        data: bytes = self._h2.data_to_send()
        return data

    def _note(self) -> None:
        """The peer's settings in force, as plain attributes: h2 takes a microsecond to look one up."""
        settings = self._h2.remote_settings
        self.max_streams: int = settings.max_concurrent_streams
        self.max_header_list_size: int | None = settings.max_header_list_size
        self.frame_size = min(settings.max_frame_size, _LARGEST_FRAME)
        self.initial_window: int = settings.initial_window_size

    def named(self) -> dict[str, int]:
        """The peer's settings, by their names in RFC 9113 and 8441."""
        return {
            (SettingCodes(code).name if code in SettingCodes._value2member_map_ else f"{int(code):#x}"): value
            for code, value in self._h2.remote_settings.items()
        }
