"""Hosts: one that can't be dialled is refused at once, and international names are mapped as browsers map them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from trio_h2ws._http.url import Origin, parse_url

LONGEST_LABEL = "a" * 63


LONGEST_NAME = ".".join([LONGEST_LABEL] * 3 + ["a" * 61])


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("a..b", "empty label"),
        (".a", "empty label"),
        ("a.b..", "empty label"),
        (".", "empty label"),
        ("...", "empty label"),
        ("a" * 64 + ".test", "63"),
        ("test." + "a" * 64, "63"),
        (LONGEST_NAME + "a", "253"),
        ("ä" * 60 + ".test", "Label too long"),
        (".".join(["ä" * 20] * 12), "253"),
        ("h%41", "percent"),
        ("a*b c", "not a host name"),
        ("a<b", "not a host name"),
    ],
)
def test_a_name_that_no_resolver_takes_is_refused(host: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_url(f"https://{host}/")
    assert type(caught.value) is ValueError
    assert repr(host) in str(caught.value)


@pytest.mark.parametrize(
    "host", [LONGEST_LABEL, LONGEST_NAME, LONGEST_NAME + ".", "a_b.test", "-a", "xn--a", "1.2.3.4"]
)
def test_a_name_that_a_resolver_takes_is_accepted(host: str) -> None:
    assert parse_url(f"https://{host}/").origin.host == host.rstrip(".")


@pytest.mark.parametrize("netloc", ["[::1]x", "[::1]x:80", "x[::1]", "[::1][::1]", "[::1]]", "[[::1]]"])
def test_text_beside_the_brackets_is_refused(netloc: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        parse_url(f"http://{netloc}/")


@pytest.mark.parametrize("host", ["v1.a", "1.2.3.4", "a.test", ""])
def test_brackets_are_only_for_ipv6(host: str) -> None:
    """`[v1.a]` must not be dialled as the name v1.a."""
    with pytest.raises(ValueError, match="URL"):
        parse_url(f"http://[{host}]/")


def test_a_zone_stays_on_this_machine() -> None:
    """RFC 6874: it says which interface to use, and means nothing to the server."""
    for zone in ("%25Eth0", "%Eth0"):
        url = parse_url(f"http://[FE80::1{zone}]:8080/")
        assert (url.origin, url.authority) == (Origin("http", "fe80::1%Eth0", 8080), b"[fe80::1]:8080")


def test_a_backslash_is_refused() -> None:
    """A browser connects to good.test with this URL, a naive parser to evil.test."""
    with pytest.raises(ValueError, match="backslash"):
        parse_url("http://good.test\\@evil.test/")


def test_a_surrogate_in_a_url_is_a_value_error() -> None:
    """Not a UnicodeEncodeError, which would not name the URL."""
    for url in ("http://a.test/\ud800", "http://a.test/?\ud800", "http://\ud800.test/", "http://\ud800@a.test/"):
        with pytest.raises(ValueError, match="URL") as caught:
            parse_url(url)
        assert type(caught.value) is ValueError


# International names.


@pytest.mark.parametrize(
    ("host", "dialled"),
    [
        ("faß.de", "xn--fa-hia.de"),  # not fass.de, as IDNA 2003 has it
        ("βόλος.com", "xn--nxasmm1c.com"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("bücher.example.", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("日本語。jp", "xn--wgv71a119e.jp"),
        ("日本語．jp．", "xn--wgv71a119e.jp"),
        ("１２７.0.0.1", "127.0.0.1"),
    ],
)
def test_an_international_name_is_mapped_as_browsers_do(host: str, dialled: str) -> None:
    url = parse_url(f"https://{host}/")
    assert (url.origin.host, url.authority) == (dialled, dialled.encode())


@pytest.mark.parametrize(
    "host", ["☃.net", "ü\u2028.test", "a\u200d.test", "ü..test", "ä" * 300, "\u00ad", "א1a.test", "a_ü.test"]
)
def test_an_invalid_international_name_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="URL") as caught:
        parse_url(f"https://{host}/")
    assert type(caught.value) is ValueError


def test_only_international_labels_are_changed() -> None:
    """IDNA does not allow an underscore, but many names in the DNS begin with one."""
    assert parse_url("https://_x.bücher.test/").origin.host == "_x.xn--bcher-kva.test"


def test_ascii_hosts_do_not_load_idna_tables() -> None:
    program = """
import sys
from trio_h2ws._http.url import parse_url
parse_url("https://a.test/"), parse_url("https://[::1]/")
assert "idna.uts46data" not in sys.modules
parse_url("https://ä.test/")
assert "idna.uts46data" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
