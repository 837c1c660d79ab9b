"""URLs, checked before anything is dialled."""

from __future__ import annotations

import pytest

from trio_h2ws._http.url import Origin, parse_url


@pytest.mark.parametrize(
    ("url", "origin", "authority", "target"),
    [
        ("https://example.org", ("https", "example.org", 443), b"example.org", b"/"),
        ("http://example.org/", ("http", "example.org", 80), b"example.org", b"/"),
        ("ws://example.org/a", ("http", "example.org", 80), b"example.org", b"/a"),
        ("wss://example.org:8443/a?b=c", ("https", "example.org", 8443), b"example.org:8443", b"/a?b=c"),
        ("HTTPS://EXAMPLE.ORG:443/A", ("https", "example.org", 443), b"example.org", b"/A"),
        ("https://example.org?q", ("https", "example.org", 443), b"example.org", b"/?q"),
        ("https://example.org/a#fragment", ("https", "example.org", 443), b"example.org", b"/a"),
        ("https://[::1]:8443/", ("https", "::1", 8443), b"[::1]:8443", b"/"),
        ("https://[2001:DB8::1]/", ("https", "2001:db8::1", 443), b"[2001:db8::1]", b"/"),
        ("https://127.0.0.1/", ("https", "127.0.0.1", 443), b"127.0.0.1", b"/"),
        (
            "https://bücher.example/ü?ü",
            ("https", "xn--bcher-kva.example", 443),
            b"xn--bcher-kva.example",
            b"/%C3%BC?%C3%BC",
        ),
        ("https://example.org/a%20b%2Fc", ("https", "example.org", 443), b"example.org", b"/a%20b%2Fc"),
        ("https://example.org/a b", ("https", "example.org", 443), b"example.org", b"/a%20b"),
        ("https://example.org./", ("https", "example.org", 443), b"example.org", b"/"),
        ("https://example.org//double//", ("https", "example.org", 443), b"example.org", b"//double//"),
        ("https://example.org/a/../b", ("https", "example.org", 443), b"example.org", b"/b"),
        (
            "https://example.org/../../a/./b/.?c=/../d",
            ("https", "example.org", 443),
            b"example.org",
            b"/a/b/?c=/../d",
        ),
        ("https://example.org/a/..", ("https", "example.org", 443), b"example.org", b"/"),
        (
            "https://example.org/.well-known/..a/b...",
            ("https", "example.org", 443),
            b"example.org",
            b"/.well-known/..a/b...",
        ),
        ("  https://example.org/  ", ("https", "example.org", 443), b"example.org", b"/"),
    ],
)
def test_a_url_gives_origin_authority_and_target(
    url: str, origin: tuple[str, str, int], authority: bytes, target: bytes
) -> None:
    parsed = parse_url(url)
    assert parsed.origin == Origin(*origin)
    assert (parsed.authority, parsed.target) == (authority, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/path",
        "example.org",
        "//example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://example.org:port/",
        "https://example.org:65536/",
        "https://example.org:0/",
        "https://[::1/",
        "https://exa mple.org/",
        "https://example.org\r\nx: y/",
        "https://example.org/\0",
        "https://exam\tple.org/",
        "https://exa<mple.org/",
    ],
)
def test_an_invalid_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        parse_url(url)


def test_bytes_are_refused() -> None:
    with pytest.raises(TypeError):
        parse_url(b"https://example.org/")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("base", "url", "expected"),
    [
        ("https://example.org/api/", "users", "https://example.org/api/users"),
        ("https://example.org/api/", "/users", "https://example.org/users"),
        ("https://example.org/api", "users", "https://example.org/users"),
        ("https://example.org/api/", "?q=1", "https://example.org/api/?q=1"),
        ("https://example.org/api/", "", "https://example.org/api/"),
        ("https://example.org/api/", "https://other.test/x", "https://other.test/x"),
        ("wss://example.org/feed/", "x", "wss://example.org/feed/x"),
        (
            "https://example.org/api/",
            "x?next=https://other.test/",
            "https://example.org/api/x?next=https://other.test/",
        ),
        ("https://example.org/a/", "../b", "https://example.org/b"),
        ("https://example.org/a/", "//other.test/x", "https://other.test/x"),
    ],
)
def test_a_url_is_joined_to_its_base(base: str, url: str, expected: str) -> None:
    joined, absolute = parse_url(url, base), parse_url(expected)
    assert joined[1:] == absolute[1:]


def test_user_and_password_become_authorization() -> None:
    assert parse_url("https://user:p%40ss@example.org/").authorization == b"Basic dXNlcjpwQHNz"
    assert parse_url("https://user@example.org/").authorization == b"Basic dXNlcjo="
    parsed = parse_url("https://example.org/@x")
    assert parsed.authorization is None
    assert parse_url("https://user:pw@example.org/").authority == b"example.org"


def test_an_origin_as_text_omits_the_default_port() -> None:
    assert str(parse_url("wss://example.org/x").origin) == "https://example.org"
    assert str(parse_url("https://[::1]:8443/").origin) == "https://[::1]:8443"
