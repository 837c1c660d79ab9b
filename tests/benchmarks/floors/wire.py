"""The two ends of a connection without IO: h2 as the client, and functions that write what a server would send."""

from __future__ import annotations

import struct

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from hpack import Encoder

_WINDOW = 2**30
FRAME = 16384


def frame(kind: int, flags: int, stream_id: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream_id.to_bytes(4, "big") + payload


def data(stream_id: int, payload: bytes, *, end: bool = False) -> bytes:
    """DATA, in as many frames as needed."""
    pieces = [payload[i : i + FRAME] for i in range(0, len(payload), FRAME)]
    return b"".join(frame(0, 0x1 if end and piece is pieces[-1] else 0, stream_id, piece) for piece in pieces)


class Server:
    """Writes HEADERS with one HPACK context, as a server does on one connection."""

    def __init__(self) -> None:
        self._encoder = Encoder()

    def headers(self, stream_id: int, fields: list[tuple[str, str]]) -> bytes:
        return frame(1, 0x4, stream_id, self._encoder.encode(fields))


def client() -> H2Connection:
    """A client that has exchanged SETTINGS: large windows in both directions, extended CONNECT allowed."""
    connection = H2Connection(H2Configuration(client_side=True, header_encoding=None))
    values = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: _WINDOW}
    connection.local_settings = Settings(client=True, initial_values=values)
    connection.initiate_connection()
    connection.increment_flow_control_window(_WINDOW)
    settings = struct.pack(">HLHLHL", 4, _WINDOW, 8, 1, 3, 100_000)
    connection.receive_data(frame(4, 0, 0, settings) + frame(4, 1, 0, b""))
    connection.receive_data(frame(8, 0, 0, _WINDOW.to_bytes(4, "big")))
    connection.data_to_send()
    return connection
