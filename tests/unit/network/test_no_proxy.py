"""NO_PROXY: every form that it may contain, and near misses that must not count."""

from __future__ import annotations

import pytest

from trio_h2ws._http.url import parse_url
from trio_h2ws._network.no_proxy import bypasses, warn_of_useless

DIRECT = [
    # A name means that host and its subdomains.
    ("example.com", "http://example.com"),
    ("example.com", "http://a.b.example.com"),
    ("EXAMPLE.com", "http://example.com"),
    ("example.com.", "http://example.com"),
    ("example.com", "http://example.com."),
    (".example.com", "http://a.example.com"),
    (".example.com", "http://example.com"),
    ("..example.com", "http://example.com"),
    ("*.example.com", "http://a.example.com"),
    ("*.example.com.", "http://b.a.example.com"),
    ("test", "http://a.test"),
    ("my_host", "http://my_host"),
    # International names, as they are written and as they are sent.
    ("bücher.test", "http://bücher.test"),
    ("BÜCHER.test", "http://a.bücher.test"),
    ("*.bücher.test", "http://a.bücher.test"),
    ("xn--bcher-kva.test", "http://bücher.test"),
    ("bücher.test", "http://xn--bcher-kva.test"),
    # A port.
    ("example.com:8080", "http://example.com:8080"),
    ("example.com:8080", "http://a.example.com:8080"),
    ("example.com:443", "https://example.com"),
    ("example.com:80", "ws://example.com"),
    (".example.com:80", "http://a.example.com"),
    ("*.example.com:80", "http://a.example.com"),
    # Addresses, and networks of them.
    ("127.0.0.1", "http://127.0.0.1:5"),
    ("127.0.0.1:5", "http://127.0.0.1:5"),
    ("10.0.0.0/8", "http://10.1.2.3"),
    ("10.9.9.9/8", "http://10.1.2.3"),
    ("0.0.0.0/0", "http://10.1.2.3"),
    ("::1", "http://[::1]:5"),
    ("[::1]", "http://[::1]:5"),
    ("[::1]:5", "http://[::1]:5"),
    ("0:0:0:0:0:0:0:1", "http://[::1]"),
    ("::1", "http://[0:0:0:0:0:0:0:1]"),
    ("FE80::/10", "http://[fe80::1]"),
    ("[fe80::]/10,[fe80::1]", "http://[fe80::1]"),
    # Lists.
    ("*", "http://a.test"),
    ("b.test,*", "http://a.test"),
    ("a.test,b.test", "http://b.test"),
    (" a.test , b.test ,", "http://b.test"),
    ("a.test b.test", "http://b.test"),
    ("a.test,10.0.0.0/8", "http://10.1.2.3"),
]


THROUGH = [
    ("", "http://a.test"),
    (" , ,", "http://a.test"),
    ("ample.com", "http://example.com"),
    ("notexample.com", "http://example.com"),
    ("a.example.com", "http://example.com"),
    ("*.example.com", "http://example.com"),
    ("*.example.com", "http://aexample.com"),
    ("*ample.com", "http://example.com"),
    (".", "http://example.com"),
    ("*.", "http://example.com"),
    (":80", "http://example.com"),
    ("example.com:8080", "http://example.com"),
    ("example.com:8080", "http://example.com:80"),
    ("example.com:x", "http://example.com"),
    ("http://example.com", "http://example.com"),
    ("a..b", "http://a.b"),
    ("ü" * 70, "http://a.b"),
    ("10.0.0.0/8", "http://11.1.2.3"),
    ("10.0.0.0/99", "http://10.1.2.3"),
    ("10.0.0.0/8", "http://10.test"),
    ("10.0.0.0/8", "http://[::1]"),
    ("::/0", "http://10.1.2.3"),
    ("[::1]:5", "http://[::1]:6"),
    ("0.1", "http://10.0.0.1"),  # the last part of an address names nothing
    ("1", "http://127.0.0.1"),
    ("127.0.0.1", "http://127.0.0.1.test"),
]


@pytest.mark.parametrize(("no_proxy", "url"), DIRECT)
def test_a_named_host_bypasses_the_proxy(no_proxy: str, url: str) -> None:
    origin = parse_url(url).origin
    assert bypasses(no_proxy, origin.host, origin.port)


@pytest.mark.parametrize(("no_proxy", "url"), THROUGH)
def test_a_near_miss_uses_the_proxy(no_proxy: str, url: str) -> None:
    origin = parse_url(url).origin
    assert not bypasses(no_proxy, origin.host, origin.port)


@pytest.mark.parametrize("entry", ["192.168.*", "[::1]/128", "a*.test", "*a*"])
def test_an_entry_that_matches_nothing_is_logged_once(entry: str, caplog: pytest.LogCaptureFixture) -> None:
    warn_of_useless.cache_clear()
    for _ in range(2):
        bypasses(f"a.test,{entry}", "b.test", 80)
    assert [repr(entry) in record.getMessage() for record in caplog.records] == [True]


def test_useful_entries_are_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    warn_of_useless.cache_clear()
    for no_proxy, _ in DIRECT:
        if "[fe80::]/10" in no_proxy:
            continue
        bypasses(no_proxy, "b.test", 80)
    assert not caplog.records
