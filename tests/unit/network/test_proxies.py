"""The URL of a proxy: what it means, and that nothing reveals its password."""

from __future__ import annotations

import traceback

import pytest

from trio_h2ws._http.url import parse_url
from trio_h2ws._network.proxies import Proxy, ProxyChoice, parse_proxy

GOOD = [
    ("proxy.test", Proxy("http", "proxy.test", 80, None, b"")),
    ("proxy.test:3128", Proxy("http", "proxy.test", 3128, None, b"")),
    ("HTTP://Proxy.Test:3128/", Proxy("http", "proxy.test", 3128, None, b"")),
    ("https://proxy.test", Proxy("https", "proxy.test", 443, None, b"")),
    ("socks5://proxy.test:", Proxy("socks5", "proxy.test", 1080, None, b"")),
    ("socks5h://[::1]:9", Proxy("socks5h", "::1", 9, None, b"")),
    ("http://bücher.test", Proxy("http", "xn--bcher-kva.test", 80, None, b"")),
    ("http://user@proxy.test", Proxy("http", "proxy.test", 80, b"user", b"")),
    ("http://user:p:w@proxy.test", Proxy("http", "proxy.test", 80, b"user", b"p:w")),
    ("http://user:p@ss@proxy.test", Proxy("http", "proxy.test", 80, b"user", b"p@ss")),
    ("http://us%20er:p%3A%40%2Fw@proxy.test", Proxy("http", "proxy.test", 80, b"us er", b"p:@/w")),
    # Percent-encoded bytes are kept in any encoding; a character is encoded as UTF-8.
    ("socks5://us%40er:p@proxy.test", Proxy("socks5", "proxy.test", 1080, b"us@er", b"p")),
    ("http://ü:é@proxy.test", Proxy("http", "proxy.test", 80, "ü".encode(), "é".encode())),
    # A letter that Unicode treats as compatible with a delimiter of URLs is a letter.
    ("http://user:p℀ss@proxy.test", Proxy("http", "proxy.test", 80, b"user", "p℀ss".encode())),
]


@pytest.mark.parametrize(("url", "proxy"), GOOD)
def test_a_proxy_url_is_parsed(url: str, proxy: Proxy) -> None:
    assert parse_proxy(url) == proxy


WITH_PASSWORD = [
    "http://user:sec/ret@h.test:1",
    "http://user:sec#ret@h.test:1",
    "http://user:sec?ret@h.test:1",
    "http://user:se://cret@h.test:1",
    "user:se://cret@h.test:1",
    "http://us/er:secret@h.test:1",
    "http://user:secret@h.test:port",
    "http://user:secret@h.test:99999",
    "http://user:secret@h.test:0",
    "http://user:secret@h.test:" + "9" * 5000,
    "http://user:secret@h.test/path",
    "http://user:secret@",
    "http://user:secret@:1",
    "http://user:secret@a..b",
    "http://user:secret@[::1",
    "http://user:secret@[h.test]",
    "http://user:secret@h\u2100test:1",
    "http://user:secret ret@h.test:1",
    "http://user:secret\n@h.test:1",
    "ftp://user:secret@h.test:1",
    "socks5://user:" + "secret" * 50 + "@h.test",
    "socks5://" + "secret" * 50 + ":@h.test",
    # The host is missing: what takes its place may be the password.
    "http://user:secret",
    "user:secret",
]


@pytest.mark.parametrize("url", WITH_PASSWORD)
@pytest.mark.parametrize("environment", [False, True])
def test_no_error_reveals_the_password(url: str, environment: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="proxy") as caught:
        if environment:
            monkeypatch.setenv("HTTPS_PROXY", url)
            ProxyChoice(None, True).for_origin(parse_url("https://a.test").origin)
        else:
            parse_proxy(url)
    error: BaseException | None = caught.value
    while error is not None:
        said = str(error) + "".join(traceback.format_exception_only(error))
        assert "cret" not in said
        assert "sec" not in said
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://user:12/34@h.test:1", r"proxy 'http://h\.test:1': percent-encode / \? # and @"),
        ("http://user:se", r"proxy 'http://user': the port is not a number; percent-encode"),
        ("http://h.test:99999", "proxy 'http://h.test:99999': the port must be 1 to 65535"),
        *(
            (
                f"socks5://{login}@h.test:1",
                "proxy 'socks5://h.test:1': SOCKS5 needs a user and a password of .*, or neither",
            )
            for login in ("u" * 256 + ":p", "u:" + "p" * 256, "u", "u:", ":p", "ü:p", "u:%ff")
        ),
    ],
)
def test_errors_say_what_to_do(url: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_proxy(url)


def test_str_and_repr_hide_the_password() -> None:
    choice = ProxyChoice(parse_proxy("http://user:secret@[::1]:1"), True)
    assert str(choice.proxy) == "http://[::1]:1"
    assert "secret" not in repr(choice)
    assert "user" not in repr(choice)
