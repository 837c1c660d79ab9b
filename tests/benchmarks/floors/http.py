"""Requests and downloads without IO."""

from __future__ import annotations

from itertools import islice

from h2.events import DataReceived

from ..meter import Meter
from .wire import FRAME, Server, client, data

_REQUEST = [
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "127.0.0.1:8443"),
]
_FIELDS = [
    ("user-agent", "floor/1.0"),
    ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate"),
]
_RESPONSE = [
    (":status", "200"),
    ("server", "nghttpd nghttp2/1.52.0"),
    ("cache-control", "max-age=3600"),
    ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ("content-length", "1024"),
    ("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
]


def requests(*, n: int, at_once: int, distinct: bool = False) -> dict[str, float]:
    server, connection = Server(), client()
    turns = n // at_once
    ids = iter(range(1, 2 * turns * at_once, 2))
    batches = [
        b"".join(server.headers(i, _RESPONSE) + data(i, b"x" * 1024, end=True) for i in islice(ids, at_once))
        for _ in range(turns)
    ]
    with Meter() as meter:
        for answers in batches:
            for _ in range(at_once):
                stream_id = connection.get_next_available_stream_id()
                path = f"/small?item={stream_id}" if distinct else "/small"
                connection.send_headers(stream_id, [*_REQUEST, (":path", path), *_FIELDS], end_stream=True)
            connection.data_to_send()
            for event in connection.receive_data(answers):
                if isinstance(event, DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            connection.data_to_send()
    return meter.each(turns * at_once)


def download(*, size: int, seconds: float) -> dict[str, float]:
    server, connection = Server(), client()
    connection.send_headers(1, [*_REQUEST, (":path", "/large"), *_FIELDS], end_stream=True)
    fields = [field for field in _RESPONSE if field[0] != "content-length"]
    connection.receive_data(server.headers(1, fields))
    portion = data(1, bytes(8 * FRAME))
    turns = size // (8 * FRAME)
    with Meter() as meter:
        for _ in range(turns):
            for event in connection.receive_data(portion):
                if isinstance(event, DataReceived):
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            connection.data_to_send()
    return meter.each(1)
