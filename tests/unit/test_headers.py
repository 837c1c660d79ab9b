"""What users read, and the check of what they want sent."""

from __future__ import annotations

from typing import Any

import pytest

from trio_h2ws import Headers
from trio_h2ws._headers import prepare

HEADERS = Headers([(b"Content-Type", b"text/plain"), (b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"x", b"\xe9")])


def test_reading() -> None:
    assert HEADERS["content-type"] == HEADERS["CONTENT-TYPE"] == "text/plain"
    assert HEADERS["set-cookie"] == "a, b"
    assert HEADERS.get_all("Set-Cookie") == ["a", "b"]
    assert HEADERS.get("missing") is None
    assert HEADERS.get("missing", "x") == "x"
    assert HEADERS.get_all("missing") == []
    assert "x" in HEADERS
    assert "y" not in HEADERS
    assert 7 not in HEADERS
    assert HEADERS["x"] == "é"
    assert len(HEADERS) == 4
    assert list(HEADERS) == HEADERS.keys() == ["content-type", "set-cookie", "x"]
    assert HEADERS.items()[1:3] == [("set-cookie", "a"), ("set-cookie", "b")]
    assert HEADERS.values()[0] == "text/plain"
    assert HEADERS.raw[0] == (b"Content-Type", b"text/plain")
    with pytest.raises(KeyError):
        HEADERS["missing"]


def test_equality_and_repr() -> None:
    assert Headers([(b"A", b"1")]) == Headers([(b"a", b"1")])
    assert Headers([(b"a", b"1")]) != Headers([(b"a", b"2")])
    assert Headers() != []
    assert "content-type" in repr(HEADERS)
    with pytest.raises(TypeError):
        hash(HEADERS)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        (None, []),
        ({}, []),
        ({"X-A": "1"}, [(b"x-a", b"1")]),
        ([("x-a", "1"), ("X-A", b"2"), (b"b", "é")], [(b"x-a", b"1"), (b"x-a", b"2"), (b"b", "é".encode())]),
        ({"x": "  inner  space  "}, [(b"x", b"inner  space")]),
        ({"x": ""}, [(b"x", b"")]),
        (Headers([(b"x", b"\xe9")]), [(b"x", b"\xe9")]),
    ],
)
def test_preparing(given: Any, fields: Any) -> None:
    assert prepare(given) == fields


@pytest.mark.parametrize(
    "given",
    [
        {"": "x"},
        {"x y": "z"},
        {"x:": "z"},
        {":path": "/"},
        {"é": "z"},
        {"x\n": "z"},
        {"x": "a\r\nb: c"},
        {"x": "a\nb"},
        {"x": "a\0b"},
        {"x": "a\x7fb"},
        {"Connection": "close"},
        {"Transfer-Encoding": "chunked"},
        {"upgrade": "h2c"},
        {"keep-alive": "x"},
        {"proxy-connection": "x"},
    ],
)
def test_what_may_not_be_sent(given: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        prepare(given)


@pytest.mark.parametrize(
    "given", ["x: y", b"x", ["x"], [("x",)], [("a", "b", "c")], {"x": 7}, {7: "x"}, [7], {"x": None}]
)
def test_what_are_no_headers(given: Any) -> None:
    with pytest.raises(TypeError):
        prepare(given)
