"""h2's server side, with four changes that a long-lived test server needs.

1. h2 counts open streams by iterating over all of them for each new one. Here it only checks those that have ended
   since the last count.
2. A GOAWAY from the client makes h2 close itself, which cuts off every response in flight. RFC 9113 section 6.8 lets
   streams in flight finish, so the frame is only reported.
3. `receive_data` loses the events of good frames that precede a bad one in the same read. They are kept in `arrived`.
4. `close_connection` also closes h2 itself, so a graceful GOAWAY is built by `goaway_frame`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event
from h2.settings import SettingCodes, Settings


class H2Protocol(H2Connection):
    """h2 for one connection. `settings` are sent unchanged: no extended CONNECT unless they contain it."""

    def __init__(self, settings: Mapping[int, int]) -> None:
        # The headers come from this server's routes and are valid: h2's checks would only cost time.
        super().__init__(
            H2Configuration(
                client_side=False,
                header_encoding=None,
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
            )
        )
        self.local_settings = Settings(client=False, initial_values=dict(settings))  # type: ignore[arg-type]
        self.max_inbound_frame_size = self.local_settings.max_frame_size
        if self.local_settings.max_header_list_size is not None:
            self.decoder.max_header_list_size = self.local_settings.max_header_list_size
        if SettingCodes.ENABLE_CONNECT_PROTOCOL not in settings:
            del self.local_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL]
        self.arrived: list[Event] = []
        self.ended: list[int] = []
        """Streams that may have closed since the last count."""

    def _open_streams(self, remainder: int) -> int:
        for stream_id in self.ended:
            stream = self.streams.get(stream_id)
            if stream is not None and stream.closed:
                del self.streams[stream_id]
                self._closed_streams[stream_id] = stream.closed_by
        self.ended.clear()
        if len(self.streams) >= self.local_settings.max_concurrent_streams:
            # Count fully before refusing: a stream that ended earlier in this read is not in `ended` yet.
            return super()._open_streams(remainder)
        return len(self.streams)  # a server that pushes nothing has inbound streams only

    def _receive_frame(self, frame: Any) -> list[Event]:
        events = super()._receive_frame(frame)
        self.arrived.extend(events)
        return events

    def _receive_goaway_frame(self, frame: Any) -> tuple[list[Any], list[Event]]:
        event = ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        event.additional_data = frame.additional_data
        return [], [event]


def goaway_frame(last_stream_id: int, error_code: int, debug_data: bytes = b"") -> bytes:
    """The bytes of a GOAWAY frame (RFC 9113, section 6.8)."""
    payload = struct.pack(">II", last_stream_id, error_code) + debug_data
    return struct.pack(">I", len(payload))[1:] + b"\x07\x00\x00\x00\x00\x00" + payload
