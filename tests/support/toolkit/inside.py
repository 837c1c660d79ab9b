"""The few looks inside that tests need: what the engine believes, to be compared with what the peer believes."""

from __future__ import annotations

from typing import Any

import trio_h2ws


def connections_of(client: trio_h2ws.Client) -> list[Any]:
    """The HTTP/2 connections of a client, oldest first."""
    return list(client._pool.connections)


def connection_of(client: trio_h2ws.Client) -> Any:
    (connection,) = connections_of(client)
    return connection


def receive_window_of(engine: Any) -> Any:
    """What the peer may still send on the whole connection."""
    return engine._receiver.window


def send_window_of(engine: Any) -> int:
    """How many bytes the peer lets us send on the whole connection."""
    window: int = engine._queue.window
    return window


def header_table_of(engine: Any) -> Any:
    """The dynamic table of the HPACK encoder."""
    return engine._encoder.header_table


def set_next_stream_id(engine: Any, stream_id: int) -> None:
    engine._table.next_id = stream_id


def replace_streams(engine: Any, streams: dict[int, Any]) -> None:
    """Let the engine keep its streams in this dict."""
    engine.streams = engine._table.streams = engine._receiver._streams = streams


def assert_clean(client: trio_h2ws.Client, peer: Any = None) -> None:
    """No stream, no slot and no credit is lost. With the peer: both sides count the same credit, to the byte."""
    for connection in connections_of(client):
        assert connection.engine.streams == {}
        assert connection.reserved == 0
        assert connection.websockets == 0
    if peer is not None:
        engine = connection_of(client).engine
        window = receive_window_of(engine)
        assert window.left == peer.may_send
        assert window.left + window.owed == window.size
        assert send_window_of(engine) == peer.let_send
        assert not engine.has_output
