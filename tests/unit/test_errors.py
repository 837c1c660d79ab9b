"""The tree of errors, and copies of one error for many tasks."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio

import trio_h2ws
from trio_h2ws._errors import code_name, fresh

ONE_OF_EACH = [
    trio_h2ws.H2WSError("root"),
    trio_h2ws.ConnectFailed("no"),
    trio_h2ws.HTTP2NotAvailable("alpn", "the server chose http/1.1"),
    trio_h2ws.ConnectionLost("lost"),
    trio_h2ws.ConnectionTimedOut("silent"),
    trio_h2ws.ConnectionTerminated("goaway", 11, b"debug"),
    trio_h2ws.RequestNotProcessed("above"),
    trio_h2ws.StreamReset(8, "why"),
    trio_h2ws.ProtocolError("either", 2),
    trio_h2ws.LocalProtocolError("ours", 1),
    trio_h2ws.RemoteProtocolError("theirs", 3),
    trio_h2ws.LimitExceeded("max_body_size", 7, "too large"),
    trio_h2ws.WebSocketError("silent"),
    trio_h2ws.WebSocketRejected(403, trio_h2ws.Headers([(b"a", b"b")]), b"body"),
    trio_h2ws.WebSocketClosed(1001, "bye", True, "remote"),
]


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_a_fresh_error_equals_its_cause(error: trio_h2ws.H2WSError) -> None:
    other = fresh(error)
    assert other is not error
    assert type(other) is type(error)
    assert str(other) == str(error)
    assert other.__dict__ == error.__dict__
    assert other.__cause__ is error
    again = fresh(other)
    assert again.__cause__ is error  # the first cause, not a chain of copies
    with pytest.raises(type(error)):
        raise other
    assert error.__traceback__ is None


COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    **{
        f"pickle {protocol}": partial(lambda protocol, error: pickle.loads(pickle.dumps(error, protocol)), protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
    },
}


@pytest.mark.parametrize("made", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_every_error_can_be_pickled_and_copied(error: trio_h2ws.H2WSError, made: Callable[[Any], Any]) -> None:
    """By multiprocessing, and by loggers that send errors elsewhere. `tests/memory/test_response.py` has the same for
    HTTPStatusError, which holds a response."""
    error.__cause__ = OSError("the cause")
    copied = made(error)
    assert type(copied) is type(error)
    assert (str(copied), repr(copied), copied.args) == (str(error), repr(error), error.args)
    assert copied.__dict__ == error.__dict__


def test_every_public_error_is_tested_here() -> None:
    public = {kind for kind in vars(trio_h2ws).values() if isinstance(kind, type) and issubclass(kind, Exception)}
    tested = {type(error) for error in ONE_OF_EACH}
    assert public - tested == {trio_h2ws.HTTPStatusError}


def test_every_error_has_its_parent() -> None:
    tree = {
        trio_h2ws.ConnectFailed: trio_h2ws.H2WSError,
        trio_h2ws.HTTP2NotAvailable: trio_h2ws.ConnectFailed,
        trio_h2ws.ConnectionLost: trio_h2ws.H2WSError,
        trio_h2ws.ConnectionTimedOut: trio_h2ws.ConnectionLost,
        trio_h2ws.ConnectionTerminated: trio_h2ws.ConnectionLost,
        trio_h2ws.RequestNotProcessed: trio_h2ws.H2WSError,
        trio_h2ws.StreamReset: trio_h2ws.H2WSError,
        trio_h2ws.ProtocolError: trio_h2ws.H2WSError,
        trio_h2ws.LocalProtocolError: trio_h2ws.ProtocolError,
        trio_h2ws.RemoteProtocolError: trio_h2ws.ProtocolError,
        trio_h2ws.LimitExceeded: trio_h2ws.H2WSError,
        trio_h2ws.HTTPStatusError: trio_h2ws.H2WSError,
        trio_h2ws.WebSocketError: trio_h2ws.H2WSError,
        trio_h2ws.WebSocketRejected: trio_h2ws.WebSocketError,
        trio_h2ws.WebSocketClosed: trio_h2ws.WebSocketError,
    }
    for kind, parent in tree.items():
        assert kind.__bases__[0] is parent
        assert kind.__doc__
    assert issubclass(trio_h2ws.ConnectionLost, trio.BrokenResourceError)


def test_error_messages_name_codes_and_bounds() -> None:
    assert "CANCEL" in str(trio_h2ws.StreamReset(8))
    assert "0xdead" in str(trio_h2ws.StreamReset(0xDEAD))
    assert code_name(11) == "ENHANCE_YOUR_CALM"
    assert "Limits.max_body_size = 7" in str(trio_h2ws.LimitExceeded("max_body_size", 7))
    assert "alpn" in str(trio_h2ws.HTTP2NotAvailable("alpn"))
    assert "the server closed first" in str(trio_h2ws.WebSocketClosed(1001, "bye", True, "remote"))
    assert "not clean" in str(trio_h2ws.WebSocketClosed(1006))
    assert "403" in str(trio_h2ws.WebSocketRejected(403, trio_h2ws.Headers()))
