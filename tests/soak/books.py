"""The books: what the client's engine believes, checked against itself, the server and the machine."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from enum import Enum
from typing import Any

import trio

import trio_h2ws
from trio_h2ws.testing import H2ServerConnection, ServerWebSocket

PAGE = os.sysconf("SC_PAGE_SIZE")
OF_A_CLIENT = "Client _OpenClient Pool KnownOrigins Facts Dialer DialConfig ProxyChoice Dispatcher Fallback Opening"
MAY_STAY = frozenset((*OF_A_CLIENT.split(), "Defaults", "Limits", "Timeouts", "URL", "Origin", "DeflateOptions"))
"""Instances of these belong to a client, to the cache of URLs, which is bounded, or to a default. Instances of all
our other classes belong to a call or a connection, and must disappear with it."""


OF_A_WEBSOCKET = "Channel Closing Pings FrameReceiver MessageQueue FrameSender Deflate WebSocket WebSocketGroup"
OF_A_CALL = frozenset(("Stream", "Collector", "Response", *OF_A_WEBSOCKET.split()))
"""While no call is under way, no instance of these may be left, even on a live connection."""


def connections_of(client: trio_h2ws.Client) -> list[Any]:
    return list(client._pool.connections)


def port_of(connection: Any) -> int:
    """The client's port of a connection over TLS."""
    port: int = connection._transport._inner._socket.getsockname()[1]
    return port


def working(connection: Any) -> Iterator[str]:
    """Yield what is wrong with a connection, idle or not."""
    engine = connection.engine
    if connection.reserved < 0:
        yield f"{connection.reserved} slots reserved"
    if connection.websockets != (connects := sum(stream.is_connect for stream in engine.streams.values())):
        yield f"{connection.websockets} WebSockets counted, but {connects} streams with CONNECT"
    if engine.protocol != "HTTP/2":
        return
    window = engine._receiver.window
    if window.left + window.owed != window.size:
        yield f"the connection's window: {window.left} left + {window.owed} owed is not {window.size}"
    for stream in engine.streams.values():
        window = stream.receive_window
        if window.left + window.owed + stream.unread != window.size:
            yield (
                f"stream {stream.id}: {window.left} left + {window.owed} owed + {stream.unread} unread "
                f"is not {window.size}"
            )
        if (waiting := sum(map(len, stream.out))) != stream.out_size:
            yield f"stream {stream.id}: out_size {stream.out_size}, but {waiting} bytes wait"
        if stream.closed:
            yield f"stream {stream.id} is closed, but still in the table"
        if stream.out_size and stream.send_window > 0 and not stream.queued:
            yield f"stream {stream.id} has bytes and credit, but is not in the send queue"


def idle(connection: Any) -> Iterator[str]:
    """Yield what is wrong with an idle connection."""
    engine = connection.engine
    yield from working(connection)
    if engine.streams:
        yield f"streams {sorted(engine.streams)} are still open"
    if connection.reserved or connection.websockets:
        yield f"{connection.reserved} slots reserved, {connection.websockets} WebSockets"
    if engine.has_output:
        yield "the engine still has output"
    if connection.draining._calls:
        yield f"{len(connection.draining._calls)} callbacks still wait for the connection to drain"


def pair(connection: Any, served: Any) -> Iterator[str]:
    """Yield where the two sides of an idle connection count differently: above all their credit must agree."""
    engine, h2 = connection.engine, served.h2
    window = engine._receiver.window
    if window.left != h2.outbound_flow_control_window:
        yield f"we let the server send {window.left}, but it counts {h2.outbound_flow_control_window}"
    if engine._queue.window != h2.inbound_flow_control_window:
        yield f"the server lets us send {h2.inbound_flow_control_window}, but we count {engine._queue.window}"
    if served.streams:
        yield f"the server has streams {sorted(served.streams)} open"
    if engine.initial_send_window != h2.local_settings.initial_window_size:
        yield "SETTINGS differ"


def pool(client: trio_h2ws.Client) -> Iterator[str]:
    """Yield what is wrong with the pool of an idle client."""
    pool = client._pool
    for site in pool._origin_pools.values():
        waiters = sum(waiter.waiting for waiter in site._waiters)
        if site.dialling or waiters:
            yield f"{site.origin}: {site.dialling} dials, {waiters} waiters"
        for connection in site.connections:
            if connection not in pool._serves:
                yield f"{site.origin} holds a connection that the pool has forgotten"
    for connection in pool.connections:
        if connection.state.value == "closed":
            yield f"the pool holds connection {connection.id}, which is closed: {connection.error!r}"
    if pool._dials:
        yield f"{len(pool._dials)} dials"
    # Two for each connection. One that has just closed may still be ending its tasks, so the audit asks again.
    tasks = sum(1 for _ in tasks_in(client._dispatcher._nursery))
    if tasks != 2 * len(pool.connections):
        yield f"{tasks} tasks for {len(pool.connections)} connections"


def tasks_in(nursery: trio.Nursery) -> Iterator[trio.lowlevel.Task]:
    for task in nursery.child_tasks:
        yield task
        for inner in task.child_nurseries:
            yield from tasks_in(inner)


def all_tasks() -> int:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return 1 + sum(1 for nursery in root.child_nurseries for _ in tasks_in(nursery))


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def leftovers() -> Counter[str]:
    """Our objects that should have been freed, by class."""
    found: Counter[str] = Counter()
    for thing in gc.get_objects():
        kind = type(thing)
        if _is_ours(kind) and kind.__name__ not in MAY_STAY and not isinstance(thing, (type, Enum)):
            found[kind.__name__] += 1
    return found


def _is_ours(kind: type) -> bool:
    module = kind.__module__
    return (
        module == "trio_h2ws"
        or module.startswith(("trio_h2ws._", "trio_h2ws.testing._h"))
        or kind in (H2ServerConnection, ServerWebSocket)
    )


def memory() -> tuple[int, int]:
    """Resident bytes, and blocks of Python's allocator, after a garbage collection."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what the C library keeps for reuse is not a leak
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * PAGE
    return resident, sys.getallocatedblocks()
