"""The Keep-Alive field of a response."""

from __future__ import annotations

import pytest

from trio_h2ws._protocols.h1.keep_alive import KeepAlive


def after(*values: bytes) -> KeepAlive:
    keep_alive = KeepAlive()
    keep_alive.on_request()
    keep_alive.on_response([(b"keep-alive", value) for value in values])
    return keep_alive


@pytest.mark.parametrize(
    "value",
    [b"timeout=5", b"timeout=5, max=100", b"max=100,timeout=5", b"Timeout = 5", b'timeout="5"', b" x=1,timeout=5 ,"],
)
def test_a_timeout_is_read(value: bytes) -> None:
    assert after(value).timeout == after(b"max=100", value).timeout == 5
    assert not after(value).over


@pytest.mark.parametrize(
    "value",
    [
        *(b"", b"5", b"timeout", b"timeout=", b"timeout=-5", b"timeout=5s", b"timeout=1.5", b"timeout=" + b"9" * 10),
        *(b"xtimeout=5", b"timeout=5 max=1", b'timeout="5', b"timeout=\xb2", b"timeout=inf", b"max=-1", b"max="),
    ],
)
def test_a_malformed_value_is_ignored(value: bytes) -> None:
    assert after(value).timeout is None
    assert not after(value).over
    assert after(b"timeout=7", value).timeout == 7


def test_nothing_is_known_without_the_field() -> None:
    keep_alive = after()
    assert keep_alive.timeout is None
    assert not keep_alive.over
    keep_alive.on_response([(b"x-keep-alive", b"timeout=5"), (b"connection", b"timeout=5")])
    assert keep_alive.timeout is None


def test_a_later_response_without_the_field_changes_nothing() -> None:
    keep_alive = after(b"timeout=5")
    keep_alive.on_request()
    keep_alive.on_response([])
    assert keep_alive.timeout == 5


def test_the_latest_timeout_counts() -> None:
    keep_alive = after(b"timeout=5")
    keep_alive.on_response([(b"keep-alive", b"timeout=60")])
    assert keep_alive.timeout == 60


@pytest.mark.parametrize("value", [b"timeout=0", b"max=0", b"timeout=5, max=0"])
def test_zero_ends_it_at_once(value: bytes) -> None:
    assert after(value).over


def test_requests_are_counted_down() -> None:
    keep_alive = after(b"max=2")
    for left in (1, 0):
        keep_alive.on_request()
        keep_alive.on_response([])
        assert keep_alive.over is (left == 0)


def test_a_new_maximum_replaces_the_count() -> None:
    keep_alive = after(b"max=1")
    for _ in range(5):
        keep_alive.on_request()
        keep_alive.on_response([(b"keep-alive", b"timeout=5, max=1")])
        assert not keep_alive.over
