"""URLs, checked before anything is dialled."""

from __future__ import annotations

import re

import pytest

from toolkit.errors import texts_of
from toolkit.inside import urls_kept_of
from trio_h2ws._http.url import Origin, check_base_url, parse_url, resolve


@pytest.mark.parametrize(
    ("url", "origin", "authority", "target"),
    [
        ("https://example.org", ("https", "example.org", 443), b"example.org", b"/"),
        ("http://example.org/", ("http", "example.org", 80), b"example.org", b"/"),
        ("ws://example.org/a", ("http", "example.org", 80), b"example.org", b"/a"),
        ("wss://example.org:8443/a?b=c", ("https", "example.org", 8443), b"example.org:8443", b"/a?b=c"),
        ("HTTPS://EXAMPLE.ORG:443/A", ("https", "example.org", 443), b"example.org", b"/A"),
        ("https://example.org?q", ("https", "example.org", 443), b"example.org", b"/?q"),
        ("https://example.org/a?", ("https", "example.org", 443), b"example.org", b"/a?"),
        ("HTTPS://example.org/a?", ("https", "example.org", 443), b"example.org", b"/a?"),
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


# Under a base URL.


@pytest.mark.parametrize(
    ("base", "url", "text"),
    [
        ("https://a.test/api/v1", "users", "https://a.test/api/v1/users"),
        ("https://a.test/api/v1", "/users", "https://a.test/api/v1/users"),
        ("https://a.test/api/v1/", "users", "https://a.test/api/v1/users"),
        ("https://a.test/api/v1/", "/users/", "https://a.test/api/v1/users/"),
        ("https://a.test", "users", "https://a.test/users"),
        ("https://a.test/", "/users", "https://a.test/users"),
        ("https://a.test/api", "?a=1", "https://a.test/api/?a=1"),
        ("https://a.test/api", "", "https://a.test/api/"),
        ("https://a.test/api", "users?a=/b#c", "https://a.test/api/users?a=/b#c"),
        ("https://a.test/api", "https://b.test/c", "https://b.test/c"),
        ("https://a.test/api", "wss://b.test/c", "wss://b.test/c"),
        ("wss://a.test/api", "/feed", "wss://a.test/api/feed"),
        ("https://a.test/api", "//b.test/c", "https://b.test/c"),
        ("https://u:p@a.test/api", "c", "https://a.test/api/c"),
        # A scheme is at the beginning, and is a letter followed by letters, digits, "+", "-" and "." (RFC 3986, 3.1).
        ("https://a.test/api", "/proxy/http://x", "https://a.test/api/proxy/http://x"),
        ("https://a.test/api", "/page#a://b", "https://a.test/api/page#a://b"),
        ("https://a.test/api", "?to=ftp://b", "https://a.test/api/?to=ftp://b"),
        ("https://a.test/api", "x?next=https://b.test/", "https://a.test/api/x?next=https://b.test/"),
        ("https://a.test/api", "1a:b", "https://a.test/api/1a:b"),
        ("https://a.test/api", "./v1:batch", "https://a.test/api/./v1:batch"),
        # Nothing distinguishes it from a path.
        ("https://a.test/api", "example.org/x", "https://a.test/api/example.org/x"),
    ],
)
def test_a_relative_url_is_appended_to_the_base(base: str, url: str, text: str) -> None:
    assert parse_url(url, base).text == text


def test_a_base_url_appends_as_httpx_does() -> None:
    httpx = pytest.importorskip("httpx")
    for base in ("https://a.test", "https://a.test/", "https://a.test/b", "https://a.test/b/c/"):
        for url in (
            "",
            "x",
            "/x",
            "x/",
            "?q=1",
            "/?q=1",
            "a/../b",
            "../x",
            "./x",
            "x/y?z=//",
            "/p/http://x",
            "a b",
            "%2F",
        ):
            with httpx.Client(base_url=base, trust_env=False) as client:
                assert parse_url(url, base).target == client.build_request("GET", url).url.raw_path, (base, url)


@pytest.mark.parametrize("base", ["https://a.test/?x=1", "https://a.test/#x", "https://u:secret@a.test?x"])
def test_a_base_url_has_neither_query_nor_fragment(base: str) -> None:
    with pytest.raises(ValueError, match="leave out the query and fragment") as caught:
        check_base_url(base)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("localhost:8000/x", "write http://localhost:8000/x"),
        ("example.org:8000", "write http://example.org:8000"),
        ("users:batch", "write ./users:batch"),
        ("https:page", "write // after 'https:'"),
    ],
)
@pytest.mark.parametrize("base", [None, "https://a.test"])
def test_what_is_taken_for_a_scheme_gets_a_hint(url: str, hint: str, base: str | None) -> None:
    with pytest.raises(ValueError, match=re.escape(hint)):
        parse_url(url, base)


def test_bytes_are_refused() -> None:
    with pytest.raises(TypeError):
        parse_url(b"https://example.org/")  # type: ignore[arg-type]


def test_user_and_password_become_authorization() -> None:
    assert parse_url("https://user:p%40ss@example.org/").authorization == b"Basic dXNlcjpwQHNz"
    assert parse_url("https://user@example.org/").authorization == b"Basic dXNlcjo="
    parsed = parse_url("https://example.org/@x")
    assert parsed.authorization is None
    assert parse_url("https://user:pw@example.org/").authority == b"example.org"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("https://me:secret@example.org/a?b#c", "https://example.org/a?b#c"),
        ("wss://me:secret@EXAMPLE.org:443", "wss://EXAMPLE.org:443"),
        ("https://me@example.org/@x", "https://example.org/@x"),
        ("https://secret:@[::1]:8443/", "https://[::1]:8443/"),
        ("https://@example.org/", "https://example.org/"),
        ("https://me:sec@ret@example.org/", "https://example.org/"),
        ("https://me:se%2Fcret@example.org/a/../b", "https://example.org/a/../b"),
        ("https://me:s\u2100secret@example.org/", "https://example.org/"),
        ("  https://me:secret@b\u00fccher.example/ ", "https://b\u00fccher.example/"),
    ],
)
def test_a_password_is_not_in_the_text(url: str, text: str) -> None:
    parsed = parse_url(url)
    assert (parsed.text, repr(parsed)) == (text, f"<URL {text}>")
    assert b"@" not in parsed.authority + parsed.target.replace(b"/@x", b"")
    assert (parsed.authorization is None) == (url == "https://@example.org/")


@pytest.mark.parametrize("url", ["users/@me", "/x", "?q", "", "../y", "#z"])
def test_a_password_of_the_base_is_used_and_not_shown(url: str) -> None:
    for password in ("secret", "se%40cret", "\u2100secret"):
        parsed = parse_url(url, f"https://me:{password}@example.org/api/")
        assert parsed.authorization is not None
        assert parsed.text.startswith("https://example.org/")
    assert parse_url("https://other.test/", "https://me:secret@example.org/").authorization is None
    assert parse_url("//other.test/", "https://me:secret@example.org/").authorization is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:secret@example.org/",
        "me:secret@example.org/",
        "//me:secret@example.org/",
        "https:me:secret@example.org/",
        "https://me:secret@",
        "https://me:secret@:443/",
        "https://me:secret@/path",
        "https://me:secret@example.org:port/",
        "https://me:secret@example.org:65536/",
        "https://me:secret@example.org:0/",
        "https://me:secret@a..test/",
        "https://me:secret@[::1/",
        "https://me:secret@[::1]x/",
        "https://me:secret@exa mple.org/",
        "https://me:secret@a\\b.test/",
        "https://me:sec\\secret@a.test/",
        "https://me:secret@a%41.test/",
        "https://me:secret@example.org/\0",
        "https://me:secret\n@example.org/",
        "https://me:secret\t@example.org/",
        "https://me:secret@example.org/\ud800",
        "https://me:secret\ud800@example.org/",
        "https://me:secret@\u2603.test/",
        "https://me:secret@\u2100.test/",
        "https://me:secret/secret@example.org/",
        "https://me:secret?x@example.org/",
        "https://me:secret#x@example.org/",
        "https://me:[secret/@example.org/",
        "https://me:secret@@example.org:port/",
        "https://me:secret@a b/@secret@example.org",
        "https://me:secret@" + "a" * 300 + ".test/",
        "x" * 5000 + "://me:secret@example.org/",
    ],
)
def test_no_error_shows_a_password(url: str) -> None:
    """Not even one that is not percent-encoded, so that the URL means something else."""
    for base in (None, "wss://example.org/"):
        if base is not None and url.startswith("//"):
            continue  # relative, and valid
        with pytest.raises(ValueError) as caught:  # noqa: PT011
            parse_url(url, base)
        assert "secret" not in "".join(texts_of(caught.value))
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a..test/users/@me!\u00e9", "https://a..test/users/@me!\u00e9"),
        ("ftp://a.test/@me", "ftp://a.test/@me"),
        ("/users/@me", "/users/@me"),
        ("https://me:pw@a..test/users", "https://***@a..test/users"),
    ],
)
def test_an_error_shows_the_rest_of_the_url(url: str, shown: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(shown))):
        parse_url(url)


def test_a_fragment_stays_in_the_text() -> None:
    """As in httpx: it is part of the URL that the user gave, and is not sent."""
    for url in ("https://example.org/a#b c", "https://example.org#b"):
        assert parse_url(url).text == url
    assert parse_url("c#d", "https://example.org/a").text == "https://example.org/a/c#d"
    assert resolve("https://example.org/a?b#e", "c#d") == "https://example.org/c#d"
    assert resolve("https://example.org/a?b#e", "") == "https://example.org/a?b"


@pytest.mark.parametrize(
    ("reference", "resolved"),
    [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("?", "http://a/b/c/d;p?"),
        ("g?y", "http://a/b/c/g?y"),
        ("g;x?y", "http://a/b/c/g;x?y"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../g", "http://a/g"),
        ("../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        ("..g", "http://a/b/c/..g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("http:g", "http://a/b/c/g"),
        ("https://x/y", "https://x/y"),
    ],
)
def test_references_are_resolved_as_the_rfc_says(reference: str, resolved: str) -> None:
    """The examples of RFC 3986, section 5.4."""
    parsed = parse_url(resolve("http://a/b/c/d;p?q", reference))
    assert f"{parsed.origin}{parsed.target.decode()}" == resolved


def test_long_urls_are_not_kept() -> None:
    """A server may redirect to ever new ones."""
    assert urls_kept_of(f"https://example.org/{'a' * 2500}#{number}" for number in range(10)) == 0
    assert urls_kept_of(f"https://example.org/short#{number}" for number in range(10)) == 10


def test_an_origin_as_text_omits_the_default_port() -> None:
    assert str(parse_url("wss://example.org/x").origin) == "https://example.org"
    assert str(parse_url("https://[::1]:8443/").origin) == "https://[::1]:8443"
