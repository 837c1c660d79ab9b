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


def assert_clean(client: trio_h2ws.Client, peer: Any = None) -> None:
    """No stream, no slot and no credit is lost. With the peer: both sides count the same credit, to the byte."""
    for connection in connections_of(client):
        assert connection.engine.streams == {}
        assert connection.reserved == 0
        assert connection.websockets == 0
    if peer is not None:
        engine = connection_of(client).engine
        assert engine._window.left == peer.may_send
        assert engine._window.left + engine._window.owed == engine._window.size
        assert engine._queue.window == peer.let_send
        assert not engine.has_output
