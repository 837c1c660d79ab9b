"""The two tasks of one connection: started together, ended together, and nothing they raise reaches their nursery.

An exception of the transport means that the connection is lost. Any other is a bug, and ends the connection as well.
What comes out is Cancelled: when the connection is closed already, and the scope around the client is cancelled.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from .._network.transport import BROKEN, Transport


class Served(Protocol):
    """What the tasks need of their connection."""

    def lost(self, cause: BaseException | None) -> None:
        """The transport is at its end, or broken."""
        ...

    def end_with_bug(self, bug: Exception) -> None:
        """Must not raise."""
        ...

    def on_gone(self) -> None:
        """The transport is closed. Must not raise."""
        ...


async def serve(
    connection: Served,
    read: Callable[[], Awaitable[None]],
    write: Callable[[], Awaitable[None]],
    scope: trio.CancelScope,
    transport: Transport,
) -> None:
    """Read and write until `scope` is cancelled, then close the transport."""
    try:
        with scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_run, connection, write)
                await _run(connection, read)
    finally:
        with trio.CancelScope(shield=True):
            try:
                await transport.aclose()
            except Exception as error:  # it may be what the user's `open_stream` returned
                connection.end_with_bug(error)
        connection.on_gone()


async def _run(connection: Served, loop: Callable[[], Awaitable[None]]) -> None:
    try:
        await loop()
    except BROKEN as error:
        connection.lost(error)
    except Exception as bug:
        connection.end_with_bug(bug)
