"""The only place where tests look inside the package: one function for each look, to change when the package changes.

A private attribute elsewhere in tests/ fails `tests/meta/test_private_attributes.py`. The last section looks inside
other libraries.
"""

from __future__ import annotations

import encodings
import socket
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import trio

import trio_h2ws
from trio_h2ws._client.client import Client
from trio_h2ws._client.open import _OpenClient
from trio_h2ws._config import Limits, Timeouts
from trio_h2ws._connection.connection import Connection
from trio_h2ws._connection.stream import Consumer, Stream
from trio_h2ws._events import Events
from trio_h2ws._http.url import URL, Origin, _parse_cached, parse_url
from trio_h2ws._network.proxies import ProxyChoice
from trio_h2ws._network.tls_sessions import TLSSessions
from trio_h2ws._pool.admission import Admission, Admissions
from trio_h2ws._pool.capacity import Capacity
from trio_h2ws._pool.dial import DialConfig, Dialer
from trio_h2ws._pool.known_origins import Facts, KnownOrigins
from trio_h2ws._pool.pool import Pool
from trio_h2ws._pool.single import SingleConnections
from trio_h2ws._protocols.engine import Observer
from trio_h2ws._protocols.h1.engine import H1Engine
from trio_h2ws._protocols.stream_state import StreamState
from trio_h2ws._protocols.ws.deflate import Deflate, DeflateOptions
from trio_h2ws._protocols.ws.messages import MessageQueue
from trio_h2ws._protocols.ws.receiver import FrameReceiver
from trio_h2ws._protocols.ws.sender import FrameSender
from trio_h2ws._protocols.ws.slow_lane import SlowLane
from trio_h2ws._requests.collector import Collector
from trio_h2ws._requests.dispatch import Dispatcher
from trio_h2ws._requests.prepare import Defaults
from trio_h2ws._requests.response import Response
from trio_h2ws._websockets.channel import Channel
from trio_h2ws._websockets.closing import Closing
from trio_h2ws._websockets.fallback import Fallback
from trio_h2ws._websockets.group import WebSocketGroup
from trio_h2ws._websockets.opening import Opening
from trio_h2ws._websockets.pings import Pings
from trio_h2ws._websockets.websocket import WebSocket
from trio_h2ws.testing._routes import http as _routes

if TYPE_CHECKING:
    import pytest

CLASSES_OF_A_CLIENT: frozenset[type] = frozenset(
    (
        *(Client, _OpenClient, Pool, KnownOrigins, Facts, Dialer, DialConfig, ProxyChoice, Dispatcher, Fallback),
        *(Capacity, Admissions, Admission, SingleConnections),  # an Admission with a bound outlives its connections
        *(Opening, Defaults, Limits, Timeouts, URL, Origin, DeflateOptions, Events, TLSSessions),
    )
)
"""Instances of these belong to a client, to the cache of URLs, which is bounded, or to a default. Instances of all
other classes of the package belong to a call or to a connection, and must disappear with it."""

CLASSES_OF_A_CALL: frozenset[type] = frozenset(
    (
        *(Stream, Collector, Response, WebSocket, WebSocketGroup),
        *(Channel, Closing, Pings, FrameReceiver, FrameSender, SlowLane, MessageQueue, Deflate),
    )
)
"""While no call is under way, no instance of these may be left, even on a live connection."""


# A client and its pool.


def connections_of(client: trio_h2ws.Client) -> list[Any]:
    """The connections of a client, oldest first."""
    return list(client._pool.connections)


def connection_of(client: trio_h2ws.Client) -> Any:
    """Its only connection."""
    (connection,) = connections_of(client)
    return connection


def origin_pools_of(client: trio_h2ws.Client) -> list[Any]:
    return list(client._pool._origin_pools.values())


def waiters_of(origin_pool: Any) -> int:
    """How many calls wait for a stream slot."""
    return len(origin_pool._waiters)


def dialling_of(origin_pool: Any) -> int:
    """How many dials of this origin are under way."""
    count: int = origin_pool.dialling
    return count


def is_in_pool(client: trio_h2ws.Client, connection: Any) -> bool:
    return connection in client._pool._serves


def places_of(client: trio_h2ws.Client) -> tuple[int, int]:
    """How many places for connections are taken, and how many of them belong to connections."""
    capacity = client._pool.capacity
    return capacity._taken, len(capacity._held)


def dials_of(client: trio_h2ws.Client) -> int:
    """How many dials are under way."""
    return len(client._pool._dials)


def dialer_of(client: trio_h2ws.Client) -> Any:
    return client._pool._dialer


def nursery_of(client: trio_h2ws.Client) -> trio.Nursery:
    return client._dispatcher._nursery


def options_of(client: trio_h2ws.Client) -> dict[str, Any]:
    """What `open_client` was given, of the options that a twin of this client needs."""
    return {
        "ssl_context": client._pool._dialer._config.ssl_context,
        "http2": client._defaults.http2,
        "limits": client._dispatcher.limits,
        "timeouts": client._pool._timeouts,
    }


# A connection and its engine. A Recorder has an engine as well.


def streams_of(owner: Any) -> dict[int, Any]:
    """The open streams, as the engine keeps them."""
    streams: dict[int, Any] = owner.engine.streams
    return streams


def replace_streams(owner: Any, replace: Callable[[dict[int, Any]], dict[int, Any]]) -> None:
    """Put another table of streams in the engine: `replace` makes it of the one that is there."""
    engine = owner.engine
    engine.streams = engine._table.streams = engine._receiver._streams = replace(engine.streams)


def receive_window_of(owner: Any) -> Any:
    """The connection's own receive window: `left`, `owed` and `size`."""
    return owner.engine._receiver.window


def send_window_of(owner: Any) -> int:
    """What may still be sent on the connection."""
    window: int = owner.engine._queue.window
    return window


def has_output(owner: Any) -> bool:
    """Whether the engine has anything to send."""
    output: bool = owner.engine.has_output
    return output


def speaks_http2(connection: Any) -> bool:
    version: str = connection.engine.protocol
    return version == "HTTP/2"


def can_ping(connection: Any) -> bool:
    can: bool = connection.engine.can_ping
    return can


def initial_send_window_of(connection: Any) -> int:
    """What the server's SETTINGS allow on a new stream."""
    window: int = connection.engine.initial_send_window
    return window


def header_table_size_of(connection: Any) -> int:
    """How many bytes the encoder's header table holds now."""
    size: int = connection.engine._encoder.header_table._current_size
    return size


def set_next_stream_id(owner: Any, number: int) -> None:
    owner.engine._table.next_id = number


def slots_of(connection: Any) -> tuple[int, int]:
    """Slots that are reserved, and slots that WebSockets hold."""
    return connection.reserved, connection.websockets


def is_closed(connection: Any) -> bool:
    closed: bool = connection.state.value == "closed"
    return closed


def last_received_on(connection: Any) -> float:
    """When bytes last arrived, as its keepalive knows it."""
    when: float = connection.keepalive.last_received
    return when


def draining_calls_of(connection: Any) -> int:
    """How many calls wait to be made when the connection begins to drain."""
    return len(connection.draining._calls)


def socket_of(connection: Any) -> socket.socket:
    """The socket below the TLS of a connection."""
    sock: socket.socket = connection._transport._inner._socket
    return sock


def assert_clean(client: trio_h2ws.Client, peer: Any = None) -> None:
    """No stream, no slot and no credit is lost. With the peer: both sides count the same credit, to the byte."""
    for connection in connections_of(client):
        assert streams_of(connection) == {}
        assert slots_of(connection) == (0, 0)
    if not dials_of(client):
        taken, held = places_of(client)
        assert taken == held >= len(connections_of(client))
    assert not any(waiters_of(origin_pool) for origin_pool in origin_pools_of(client))
    if peer is not None:
        connection = connection_of(client)
        assert receive_window_of(connection).left == peer.may_send
        assert_credit_is_whole(connection)
        assert send_window_of(connection) == peer.let_send
        assert not has_output(connection)


def assert_credit_is_whole(owner: Any) -> None:
    """What is left of the connection's receive window and what is owed make the window."""
    window = receive_window_of(owner)
    assert window.left + window.owed == window.size


# A WebSocket.


def messages_of(ws: trio_h2ws.WebSocket) -> MessageQueue:
    """The messages that wait to be received."""
    return ws._channel.receiver.queue


def stream_of(ws: trio_h2ws.WebSocket) -> Any:
    return ws._channel.stream


def when_draining(ws: trio_h2ws.WebSocket, call: Callable[[], None]) -> None:
    """As `reconnecting_websocket` does it: `call()` when the connection drains."""
    ws._channel.when_draining(call)


def raw_bytes_of(ws: trio_h2ws.WebSocket) -> int:
    """How many bytes wait as they came, because the queue of messages is full."""
    return len(ws._channel.receiver._raw)


class _ByWsproto(SlowLane):
    def begin(self, first: int, head: int, length: int, *, well_formed: bool) -> int:
        return super().begin(first, head, length, well_formed=well_formed and first not in (0x81, 0x82))


def use_wsproto(receiver: FrameReceiver) -> None:
    """Let wsproto read whole uncompressed messages as well, those that come in pieces."""
    receiver._slow = _ByWsproto(receiver._limits, receiver._deflate, receiver.queue, receiver._bucket)


# Hooks.


def hooks_of_a_stream() -> list[tuple[type, str]]:
    """Every hook that an engine calls for one stream, and what these call in their turn: the class and the name.

    Found by reflection: methods of `StreamState` by their prefix, consumers by the names of their protocol.
    """
    found = [(Stream, name) for name in vars(StreamState) if name.startswith("on_")]
    names = [name for name in vars(Consumer) if not name.startswith("_")]
    classes = {
        kind
        for module in list(sys.modules.values())
        if module.__name__.startswith("trio_h2ws._")
        for kind in vars(module).values()
        if isinstance(kind, type) and kind is not Consumer and all(name in vars(kind) for name in names)
    }
    assert classes, "the protocol of consumers has changed"
    return found + [(kind, name) for kind in sorted(classes, key=lambda kind: kind.__name__) for name in names]


def hooks_of_a_connection() -> list[tuple[type, str]]:
    """Every hook that an engine calls for the connection, and what that calls in its turn."""
    return [*((Connection, name) for name in vars(Observer) if name.startswith("on_")), (Pool, "changed")]


# Pieces, for their unit tests.


def pieces_held_by(splitter: Any) -> int:
    """How many pieces of a frame a FrameSplitter holds."""
    return len(splitter._chunks)


def unused_data_of(decoder: Any) -> int:
    """How many bytes after the end of its content a Decoder of one encoding keeps."""
    (inflater,) = decoder._chain
    return len(inflater._zlib.unused_data)


def urls_kept_of(urls: Iterable[str]) -> int:
    """How many of these URLs are kept once they have been parsed."""
    _parse_cached.cache_clear()
    for url in urls:
        parse_url(url)
    return _parse_cached.cache_info().currsize


# The testing server.


def routes_of_the_testing_server() -> dict[str, Any]:
    return _routes.ROUTES


def set_max_message(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("trio_h2ws.testing._websocket.MAX_MESSAGE", size)


def set_max_owed(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """How many bytes the server queues for a client that does not read."""
    monkeypatch.setattr("trio_h2ws.testing._http2.connection.MAX_OWED", size)


# HTTP/1.1.


def leave_fast_lane(engine: H1Engine) -> None:
    """The response to the request that was just sent is read by h11, from its first byte."""
    assert engine._leave_fast_lane() == b""


# Other libraries.


def codecs_that_python_remembers() -> set[str]:
    """Every name that `codecs.lookup` was asked for, whether it is known or not."""
    return set(encodings._cache)  # type: ignore[attr-defined]


def h2_receive_window_of(connection: Any) -> int:
    """What h2 lets its peer send on the connection, SETTINGS and updates that are not acknowledged included."""
    size: int = connection._inbound_flow_control_window_manager.current_window_size
    return size


def h2_receive_window_of_stream(stream: Any) -> int:
    size: int = stream._inbound_window_manager.current_window_size
    return size


def on_table_update(decoder: Any, call: Callable[[int], None]) -> None:
    """`call(size)` after each change of the table's size that a header block announces to an hpack decoder."""
    update = decoder._update_encoding_context

    def note(data: bytes) -> int:
        consumed: int = update(data)
        call(decoder.header_table_size)
        return consumed

    decoder._update_encoding_context = note


def timers_of(connection: Any) -> int:
    """Those that wait, and those that were cancelled and are still in the heap."""
    return len(connection.timers._heap)
