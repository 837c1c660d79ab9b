"""The books: what the client's engine believes, held against itself, against the server, and against the machine."""

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
OF_A_CLIENT = "Client _OpenClient Pool Memory Dialer DialConfig ProxyChoice Exchange Handshakes Defaults Limits"
MAY_STAY = frozenset((*OF_A_CLIENT.split(), "Timeouts", "URL", "Origin", "DeflateOptions"))
"""Instances of these belong to a client, to the memory of URLs, which has a bound, or to a default. Instances of all
our other classes belong to a call or to a connection, and must go with it."""


OF_A_CALL = frozenset(
    "Stream Channel FrameReceiver FrameSender WebSocket WebSocketGroup Collector Response Deflate".split()
)
"""Of these, none may be left when no call is under way, on a connection that lives."""


def connections_of(client: trio_h2ws.Client) -> list[Any]:
    return list(client._pool.connections)


def port_of(connection: Any) -> int:
    """The client's own port of a connection over TLS."""
    port: int = connection._transport._inner._socket.getsockname()[1]
    return port


def working(connection: Any) -> Iterator[str]:
    """What is wrong with a connection at any time, while it works."""
    engine = connection.engine
    if connection.reserved < 0:
        yield f"{connection.reserved} slots reserved"
    if connection.websockets != sum(stream.is_connect for stream in engine.streams.values()):
        yield f"{connection.websockets} WebSockets counted, and the streams say otherwise"
    if engine.protocol != "HTTP/2":
        return
    window = engine._window
    if window.left + window.owed != window.size:
        yield f"the connection's window: {window.left} left + {window.owed} owed is not {window.size}"
    for stream in engine.streams.values():
        window = stream.receive_window
        if window.left + window.owed + stream.unread != window.size:
            yield (
                f"stream {stream.id}: {window.left} left + {window.owed} owed + {stream.unread} unread "
                f"is not {window.size}"
            )
        if sum(map(len, stream.out)) != stream.out_size:
            yield f"stream {stream.id}: out_size {stream.out_size} is not what waits"
        if stream.closed:
            yield f"stream {stream.id} is closed, and in the table"
        if stream.out_size and stream.send_window > 0 and not stream.queued:
            yield f"stream {stream.id} has bytes and credit, and stands not in the ring"


def idle(connection: Any) -> Iterator[str]:
    """What is wrong with a connection on which nothing is under way."""
    engine = connection.engine
    yield from working(connection)
    if engine.streams:
        yield f"streams {sorted(engine.streams)} are still open"
    if connection.reserved or connection.websockets:
        yield f"{connection.reserved} slots reserved, {connection.websockets} WebSockets"
    if engine.has_output:
        yield "there is something to send"
    if connection._when_draining:
        yield f"{len(connection._when_draining)} callbacks still wait for the connection to drain"


def pair(connection: Any, served: Any) -> Iterator[str]:
    """Both sides of an idle connection: they must count the same credit."""
    engine, h2 = connection.engine, served.h2
    if engine._window.left != h2.outbound_flow_control_window:
        yield f"we let the server send {engine._window.left}, and it believes {h2.outbound_flow_control_window}"
    if engine._queue.window != h2.inbound_flow_control_window:
        yield f"the server lets us send {h2.inbound_flow_control_window}, and we believe {engine._queue.window}"
    if served.streams:
        yield f"the server has streams {sorted(served.streams)} open"
    if engine.initial_send_window != h2.local_settings.initial_window_size:
        yield "SETTINGS differ"


def pool(client: trio_h2ws.Client) -> Iterator[str]:
    """What is wrong with the pool of a client that does nothing."""
    pool = client._pool
    for site in pool._sites.values():
        waiters = sum(waiter.waiting for waiter in site.waiters)
        if site.dialling or waiters:
            yield f"{site.origin}: {site.dialling} dials, {waiters} waiters"
        for connection in site.connections:
            if connection not in pool._sites_of:
                yield f"{site.origin} holds a connection that the pool has forgotten"
    for connection in pool.connections:
        if connection.state.value == "closed":
            yield f"the pool holds connection {connection.id}, which is closed: {connection.error!r}"
    if pool._dials:
        yield f"{len(pool._dials)} dials"
    # Each connection has two tasks; and each that is closed already may still be in its last words.
    tasks = sum(1 for _ in tasks_in(client._exchange._nursery))
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
    """Objects of ours that should be gone."""
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
    """Resident bytes, and Python's own blocks, without garbage."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what the C library holds back for later is no leak
    with open("/proc/self/statm") as file:
        resident = int(file.read().split()[1]) * PAGE
    return resident, sys.getallocatedblocks()
