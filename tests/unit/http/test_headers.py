"""Headers as users read them, and the check of those that they send."""

from __future__ import annotations

from typing import Any

import pytest

from trio_h2ws import Headers
from trio_h2ws._http.headers import prepare, prepare_trailers

HEADERS = Headers([(b"Content-Type", b"text/plain"), (b"set-cookie", b"a"), (b"set-cookie", b"b"), (b"x", b"\xe9")])


def test_headers_can_be_read_like_a_mapping() -> None:
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


def test_equality_ignores_the_case_of_names() -> None:
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
def test_names_are_lowered_and_values_encoded(given: Any, fields: Any) -> None:
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
def test_invalid_fields_are_refused(given: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        prepare(given)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ([("a", "b"), ("Authorization", "Bearer s3cret", "x")], r"header 2 .*a tuple of 3"),
        ([["Authorization: Bearer s3cret"]], r"header 1 .*a list of 1"),
        (["Authorization: Bearer s3cret"], r"header 1 .*not str"),
        (["s3"], r"header 1 .*not str"),
        ([b"s3"], r"header 1 .*not bytes"),
        ([{"Authorization": "Bearer s3cret"}], r"header 1 .*not dict"),
        ([{"Authorization": "s3cret", "b": "s3cret"}], r"header 1 .*not dict"),
        ([{"s3cret", "Authorization"}], r"header 1 .*not set"),
        ({"Authorization: Bearer s3cret": ""}, r"header name 'Authorization…' contains ':'"),
        ({b"Authorization: Bearer s3cret": ""}, r"header name 'Authorization…' contains ':'"),
        ({"Authorization Bearer s3cret": "x"}, r"header name 'Authorization…' contains ' '"),
        ({"Authorization\ud800s3cret": "x"}, r"header name 'Authorization…'"),
        ({"Authorization\ns3cret": "x"}, r"header name 'Authorization…' contains '\\n'"),
        ({":s3cret": "x"}, r"header name ':…'"),
        ({":authority": "user:s3cret@host"}, r"header ':authority' is made by"),
        ({"": "s3cret"}, r"a header name must not be empty"),
        ({"Authorization": "Bearer s3cret\r\n"}, r"header 'Authorization'"),
        ({"Authorization": ["Bearer s3cret"]}, r"header 'Authorization'.*not list"),
        ({"Authorization": "Bearer s3cret\ud800"}, r"header 'Authorization'"),
        ({"Connection": "s3cret"}, r"header 'Connection' is about"),
        ({"TE": "s3cret"}, r"header 'te'"),
        ([("Host", "s3cret"), ("Host", "s3cret")], r"header 'Host' is given twice"),
        ({"Host": "user:s3cret@host"}, r"header 'Host'"),
    ],
)
def test_no_error_shows_a_value(given: Any, shown: str) -> None:
    """It may be a password or a token, also where a name or a pair was expected."""
    with pytest.raises((TypeError, ValueError), match=shown) as caught:
        prepare(given)
    assert "s3" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    "given", ["x: y", b"x", ["x"], [("x",)], [("a", "b", "c")], {"x": 7}, {7: "x"}, [7], {"x": None}]
)
def test_values_of_another_type_are_refused(given: Any) -> None:
    with pytest.raises(TypeError):
        prepare(given)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "a b",
        "a/b",
        "u@b",
        "a?b",
        "a#b",
        "a\\b",
        "a,b c",
        "a:b",
        "a:99999",
        "a:80:80",
        "a..b",
        "é",
        "h%41",
        ":80",
        "::1",
        "[::1",
        "[::1]x",
        "[a.test]",
        "[fe80::1%25eth0]",
    ],
)
def test_an_invalid_host_is_refused(value: str) -> None:
    for given in (value, value.encode()):
        with pytest.raises(ValueError, match=r"header 'Host'"):
            prepare([("Host", given)])  # type: ignore[list-item]


@pytest.mark.parametrize("value", ["a", "A.Test:8080", "a.test.", "[::1]", "[::1]:443", "_x.test", "127.0.0.1", "a:"])
def test_a_valid_host_is_sent(value: str) -> None:
    assert prepare({"Host": value}) == [(b"host", value.encode())]


def test_two_hosts_are_refused() -> None:
    with pytest.raises(ValueError, match="Host"):
        prepare([("Host", "a"), (b"HOST", b"a")])


@pytest.mark.parametrize(("first", "second"), [("3", "5"), ("3", "3"), (b"3", " 3 "), ("", "3")])
def test_two_content_lengths_are_refused(first: Any, second: Any) -> None:
    """A message has one length (RFC 9110, section 8.6). Over HTTP/2 the two would arrive as they are, and the server
    and a proxy before it might each believe another one."""
    with pytest.raises(ValueError, match=r"header b?'CONTENT-length' is given twice"):
        prepare([("Content-Length", first), ("x-a", "1"), ("CONTENT-length", second)])


@pytest.mark.parametrize("name", ["te", "Te", "TE", b"te", b"Te", "tE"])
def test_te_is_checked_in_any_case(name: str) -> None:
    assert prepare([(name, "Trailers")]) == [(b"te", b"Trailers")]
    for value in ("gzip", "trailers, gzip", ""):
        with pytest.raises(ValueError, match="trailers"):
            prepare([(name, value)])


@pytest.mark.parametrize(
    "name",
    [
        "Content-Length",
        "content-type",
        "content-encoding",
        "content-range",
        "Host",
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "Te",
        "Trailer",
        "If-Match",
        "Expect",
        "cache-control",
        "max-forwards",
        "range",
    ],
)
def test_fields_that_must_precede_the_body_are_refused(name: str) -> None:
    """RFC 9110, section 6.5.1: a recipient that reads one after the body has already acted without it."""
    with pytest.raises(ValueError, match=r"trailers.*6\.5\.1"):
        prepare_trailers({name: "trailers" if name == "Te" else "1"})


def test_other_trailers_are_sent() -> None:
    assert prepare_trailers({"X-Sum": "1", "grpc-status": "0"}) == [(b"x-sum", b"1"), (b"grpc-status", b"0")]
    with pytest.raises(ValueError):  # noqa: PT011
        prepare_trailers({"connection": "close"})


def test_a_surrogate_is_a_value_error() -> None:
    """Not a UnicodeEncodeError, which would not name the header."""
    for given in ({"x": "\ud800"}, {"x\udc80": "y"}):
        with pytest.raises(ValueError, match=r"header .*x") as caught:
            prepare(given)
        assert type(caught.value) is ValueError


def test_a_number_is_not_headers() -> None:
    with pytest.raises(TypeError, match="headers must be"):
        prepare(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("location", "https://me:s3cret@a.test/x", "https://***@a.test/x"),
        ("Location", "//me:s3cret@a.test/x@y", "//***@y"),
        ("location", "https://me:s3cret/s3cret@a.test/", "https://***@a.test/"),
        ("content-location", "https://me:s3cret?@a.test/", "https://***@a.test/"),
        ("location", "https:me:s3cret@a.test/", "***@a.test/"),
        ("location", "https:\\\\me:s3cret@a.test/", "***@a.test/"),
        ("location", "/users/@me", "/users/@me"),
        ("location", "https://a.test:80/users/@me", "https://a.test:80/users/@me"),
        ("refresh", "0; url=https://me:s3cret@a.test/x", "0; url=https://***@a.test/x"),
        ("link", "<https://a:s3cret@b>; rel=a, <//b/@c>", "<https://***@b>; rel=a, <//b/@c>"),
        ("authorization", "Basic s3cret", "***"),
        ("Proxy-Authorization", "Basic s3cret", "***"),
        ("from", "me@a.test", "me@a.test"),
    ],
)
def test_a_repr_shows_no_password(name: str, value: str, shown: str) -> None:
    headers = Headers([(name.encode(), value.encode())])
    assert repr(headers) == f"Headers([({name.lower()!r}, {shown!r})])"
    assert headers[name] == value
