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

from ..support.toolkit import inside

PAGE = os.sysconf("SC_PAGE_SIZE")


def port_of(connection: Any) -> int:
    """The client's port of a connection over TLS."""
    port: int = inside.socket_of(connection).getsockname()[1]
    return port


def working(connection: Any) -> Iterator[str]:
    """Yield what is wrong with a connection, idle or not."""
    streams, (reserved, websockets) = inside.streams_of(connection), inside.slots_of(connection)
    if reserved < 0:
        yield f"{reserved} slots reserved"
    if websockets != (connects := sum(stream.is_connect for stream in streams.values())):
        yield f"{websockets} WebSockets counted, but {connects} streams with CONNECT"
    if not inside.speaks_http2(connection):
        return
    window = inside.receive_window_of(connection)
    if window.left + window.owed != window.size:
        yield f"the connection's window: {window.left} left + {window.owed} owed is not {window.size}"
    for stream in streams.values():
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
    yield from working(connection)
    streams, (reserved, websockets) = inside.streams_of(connection), inside.slots_of(connection)
    if streams:
        yield f"streams {sorted(streams)} are still open"
    if reserved or websockets:
        yield f"{reserved} slots reserved, {websockets} WebSockets"
    if inside.has_output(connection):
        yield "the engine still has output"
    if calls := inside.draining_calls_of(connection):
        yield f"{calls} callbacks still wait for the connection to drain"


def pair(connection: Any, served: Any) -> Iterator[str]:
    """Yield where the two sides of an idle connection count differently: above all their credit must agree."""
    h2, left, window = served.h2, inside.receive_window_of(connection).left, inside.send_window_of(connection)
    if left != h2.outbound_flow_control_window:
        yield f"we let the server send {left}, but it counts {h2.outbound_flow_control_window}"
    if window != h2.inbound_flow_control_window:
        yield f"the server lets us send {h2.inbound_flow_control_window}, but we count {window}"
    if served.streams:
        yield f"the server has streams {sorted(served.streams)} open"
    if inside.initial_send_window_of(connection) != h2.local_settings.initial_window_size:
        yield "SETTINGS differ"


def pool(client: trio_h2ws.Client) -> Iterator[str]:
    """Yield what is wrong with the pool of an idle client."""
    connections = inside.connections_of(client)
    for origin_pool in inside.origin_pools_of(client):
        waiters, dialling = inside.waiters_of(origin_pool), inside.dialling_of(origin_pool)
        if dialling or waiters:
            yield f"{origin_pool.origin}: {dialling} dials, {waiters} waiters"
        for connection in origin_pool.connections:
            if not inside.is_in_pool(client, connection):
                yield f"{origin_pool.origin} holds a connection that the pool has forgotten"
    for connection in connections:
        if inside.is_closed(connection):
            yield f"the pool holds connection {connection.id}, which is closed: {connection.error!r}"
    if dials := inside.dials_of(client):
        yield f"{dials} dials"
    if inside.places_of(client) != (len(connections), len(connections)):
        yield f"{inside.places_of(client)} places for {len(connections)} connections"
    # Two for each connection. One that has just closed may still be ending its tasks, so the audit asks again.
    tasks = sum(1 for _ in tasks_in(inside.nursery_of(client)))
    if tasks != 2 * len(connections):
        yield f"{tasks} tasks for {len(connections)} connections"


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


def leftovers() -> Counter[type]:
    """Our objects that should have been freed, by class."""
    found: Counter[type] = Counter()
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] == "trio_h2ws"]
    constants = {id(value) for module in modules for value in vars(module).values()}
    for thing in gc.get_objects():
        kind = type(thing)
        if _is_ours(kind) and kind not in inside.CLASSES_OF_A_CLIENT and not isinstance(thing, (type, Enum)):
            found[kind] += id(thing) not in constants
    return +found


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
