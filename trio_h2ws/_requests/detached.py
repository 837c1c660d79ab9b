"""What a response reads of its stream, without the stream: for a response that was pickled or copied.

A copy is often made to outlive the client or to leave the process (loggers, multiprocessing), so it must hold neither
a connection nor a task.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import trio

from .._connection.info import ConnectionInfo
from .._connection.stream import Stream
from .._http.headers import RawFields


@dataclass(frozen=True, slots=True)
class DetachedConnection:
    snapshot: ConnectionInfo

    def info(self) -> ConnectionInfo:
        return self.snapshot


@dataclass(frozen=True, slots=True)
class DetachedStream:
    connection: DetachedConnection
    informational_responses: list[tuple[int, RawFields]]
    received_trailers: RawFields | None
    may_be_truncated: bool

    async def receive(self) -> NoReturn:
        await trio.lowlevel.checkpoint()
        raise trio.ClosedResourceError("this is a copy of a response whose body had not been read")

    def close(self) -> None:
        """It has ended."""


def detached(stream: Stream | DetachedStream) -> DetachedStream:
    """What is known of the stream now."""
    return DetachedStream(
        DetachedConnection(stream.connection.info()),
        list(stream.informational_responses),
        stream.received_trailers,
        stream.may_be_truncated,
    )
