"""WebSockets over HTTP/2 without IO: wsproto on h2."""

from __future__ import annotations

from h2.connection import H2Connection
from h2.events import DataReceived
from wsproto.connection import Connection, ConnectionType
from wsproto.events import TextMessage

from ..meter import Meter, resident
from .wire import FRAME, Server, client, data

_CONNECT = [
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":scheme", "https"),
    (":authority", "127.0.0.1:8443"),
    (":path", "/echo"),
    ("user-agent", "floor/1.0"),
    ("sec-websocket-version", "13"),
]
_ACCEPT = [(":status", "200")]


class _Sockets:
    """One connection and its WebSockets, by stream."""

    def __init__(self) -> None:
        self.server = Server()
        self.h2: H2Connection = client()
        self.by_stream: dict[int, Connection] = {}

    def open(self, n: int, at_once: int) -> None:
        for _ in range(n // at_once):
            ids = []
            for _ in range(at_once):
                stream_id = self.h2.get_next_available_stream_id()
                self.h2.send_headers(stream_id, _CONNECT)
                ids.append(stream_id)
            self.h2.data_to_send()
            self.h2.receive_data(b"".join(self.server.headers(stream_id, _ACCEPT) for stream_id in ids))
            for stream_id in ids:
                self.by_stream[stream_id] = Connection(ConnectionType.CLIENT)

    def send(self, stream_id: int, message: str) -> None:
        out = self.by_stream[stream_id].send(TextMessage(message))
        for start in range(0, len(out), FRAME):
            self.h2.send_data(stream_id, out[start : start + FRAME])

    def receive(self, arrived: bytes) -> int:
        """Take these bytes, and return the number of messages that end in them."""
        count = 0
        for event in self.h2.receive_data(arrived):
            if isinstance(event, DataReceived):
                ws = self.by_stream[event.stream_id]
                ws.receive_data(event.data)
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                parts = []
                for message in ws.events():
                    assert isinstance(message, TextMessage)
                    parts.append(message.data)
                    count += message.message_finished
        self.h2.data_to_send()
        return count


def _frame(message: str) -> bytes:
    """A text frame as a server sends it, unmasked."""
    size = len(message)
    if size < 126:
        head = bytes((0x81, size))
    elif size < 65536:
        head = bytes((0x81, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x81, 127)) + size.to_bytes(8, "big")
    return head + message.encode()


def opening(*, n: int, at_once: int) -> dict[str, float]:
    sockets = _Sockets()
    sockets.open(10, 10)
    before = resident()
    with Meter() as meter:
        sockets.open(n, at_once)
    return {**meter.each(n), "memory": (resident() - before) / n}


def echo(*, n: int, sockets: int, size: int) -> dict[str, float]:
    pool = _Sockets()
    pool.open(sockets, min(20, sockets))
    message = "x" * size
    answers = b"".join(data(stream_id, _frame(message)) for stream_id in pool.by_stream)
    portions = [answers[i : i + 8 * FRAME] for i in range(0, len(answers), 8 * FRAME)]
    turns = max(1, n // sockets)
    with Meter() as meter:
        for _ in range(turns):
            for stream_id in pool.by_stream:
                pool.send(stream_id, message)
            pool.h2.data_to_send()
            assert sum(pool.receive(portion) for portion in portions) == sockets
    return meter.each(turns * sockets)


def pipelined(*, n: int, size: int) -> dict[str, float]:
    pool = _Sockets()
    pool.open(1, 1)
    message = "x" * size
    batch = 64
    answers = data(1, _frame(message)) * batch
    turns = n // batch
    with Meter() as meter:
        for _ in range(turns):
            for _ in range(batch):
                pool.send(1, message)
            pool.h2.data_to_send()
            assert pool.receive(answers) == batch
    return meter.each(turns * batch)
