"""The tree of errors, and copies of one error for many tasks."""

from __future__ import annotations

import pickle

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
    trio_h2ws.LocalProtocolError("ours", 1),
    trio_h2ws.RemoteProtocolError("theirs", 3),
    trio_h2ws.LimitExceeded("max_body_size", 7, "too large"),
    trio_h2ws.WebSocketError("silent"),
    trio_h2ws.WebSocketRejected(403, trio_h2ws.Headers([(b"a", b"b")]), b"body"),
    trio_h2ws.WebSocketClosed(1001, "bye", True, "remote"),
]


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_a_fresh_error_equals_its_cause(error: trio_h2ws.H2WSError) -> None:
    copy = fresh(error)
    assert copy is not error
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert copy.__dict__ == error.__dict__
    assert copy.__cause__ is error
    again = fresh(copy)
    assert again.__cause__ is error  # the first cause, not a chain of copies
    with pytest.raises(type(error)):
        raise copy
    assert error.__traceback__ is None


@pytest.mark.parametrize("error", ONE_OF_EACH, ids=lambda error: type(error).__name__)
def test_every_error_can_be_pickled(error: trio_h2ws.H2WSError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)


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
