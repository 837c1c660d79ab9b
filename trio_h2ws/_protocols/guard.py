"""A bug in the handling of one stream ends that stream, and no other.

The hooks of a stream, and the consumers that they call, must not raise. But if one does, the exception must not
leave the engine: in the dispatch it would end the connection with all its streams, and in `abandon` the streams after
this one would miss their end, so their tasks would wait for ever. Therefore an engine calls hooks in one of two ways:
- through `guarded`;
- where every message passes, in a `try` of its own, whose `except Exception` calls `end_with_bug`.

The guard is outside the hook, so it also holds for what a subclass puts in its place.

What is raised in the handling of the connection itself ends the connection. From most hooks of the observer it simply
goes up to the reader, which sees to that. But in the middle of a stream's end, or in a call from an application's
task, it must not go up: these calls are made through `observed`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVarTuple

from .._errors import ConnectionLost, ErrorCode, LocalProtocolError
from .engine import Observer
from .stream_state import StreamState

Ts = TypeVarTuple("Ts")


class Carrier(Protocol):
    """What can end one stream: an engine, or its table of streams."""

    def reset(self, stream: StreamState, code: int) -> None: ...


def describe(bug: BaseException) -> str:
    """The message of every error that a bug of this package ends in."""
    return f"bug in trio_h2ws, please report it: {bug!r}"


def connection_bug(bug: Exception) -> ConnectionLost:
    """The error of every stream of a connection in whose handling `bug` was raised."""
    error = ConnectionLost(describe(bug))
    error.__cause__ = bug
    return error


def guarded(carrier: Carrier, stream: StreamState, hook: Callable[[*Ts], None], *args: *Ts) -> None:
    """`hook(*args)`, a hook of this stream."""
    try:
        hook(*args)
    except Exception as bug:
        end_with_bug(carrier, stream, bug)


def end_with_bug(carrier: Carrier, stream: StreamState, bug: Exception) -> None:
    """The handling of this stream has raised: reset it (INTERNAL_ERROR), and its tasks get an error. Never raises."""
    error = LocalProtocolError(describe(bug), ErrorCode.INTERNAL_ERROR)
    error.__cause__ = bug
    try:
        carrier.reset(stream, ErrorCode.INTERNAL_ERROR)
    except Exception as second:
        bug.add_note(f"then its stream could not be reset: {second!r}")
    try:
        stream.wake_all(error)
    except Exception as second:
        bug.add_note(f"then the tasks of its stream could not be woken: {second!r}")


def observed(observer: Observer, hook: Callable[[*Ts], None], *args: *Ts) -> None:
    """`hook(*args)`, a hook of the connection, in the middle of a stream's end or in an application's task."""
    try:
        hook(*args)
    except Exception as bug:
        observer.end_with_bug(bug)
