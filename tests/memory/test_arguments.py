"""A bad argument is a clear ValueError or TypeError before anything is dialled."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import Any

import pytest
import trio

import trio_h2ws
from toolkit import scripted_peer

URL = "https://a.test/"


async def never(host: str, port: int) -> trio.abc.Stream:
    raise AssertionError(f"{host}:{port} was dialled")


def is_bad(error: pytest.ExceptionInfo[Exception], *words: str) -> None:
    """The message must name what is wrong."""
    said = str(error.value)
    assert said
    for word in words:
        assert word in said


def short(value: object) -> str:
    return repr(value)[:40]


BAD_URLS: list[Any] = [
    "",
    "/relative",
    "a.test",
    "a.test:443",
    "//a.test/",
    "http://",
    "https:///path",
    "https://?query",
    "https://user@/",
    "https://:443/",
    "ftp://a.test/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "https://a.test:0/",
    "https://a.test:65536/",
    "https://a.test:-1/",
    "https://a.test:http/",
    "https://[::1",
    "https://[nonsense]/",
    "https://::1/",
    "https://a b.test/",
    "https://a.test\n/",
    "https://a.test/\r\nx: y",
    "https://a.test/\x00",
    "https://a\\b.test/",
    "https://a.test\t.evil.test/",
    "https://a<b>.test/",
    "https://" + "ä" * 300 + ".test/",
    "https://a..test/",
    "https://.test/",
    "https://...",
    "https://" + "a" * 64 + ".test/",
    "https://" + "a." * 130 + "test/",
    "https://[::1]x/",
    "https://[v1.a]/",
    "https://a%41.test/",
    "https://☃.test/",
    "https://good.test\\@evil.test/",
    "https://a.test/\ud800",
    b"https://a.test/",
    None,
    5,
]


@pytest.mark.parametrize("url", BAD_URLS, ids=short)
async def test_a_bad_url_is_an_error(url: Any) -> None:
    async with trio_h2ws.open_client(open_stream=never) as client:
        kind = ValueError if isinstance(url, str) else TypeError
        with pytest.raises(kind) as error:
            await client.get(url)
        is_bad(error)
        with pytest.raises(kind):
            await client.connect_websocket(url)
        with pytest.raises(kind):
            async with client.stream("GET", url):
                pass
        with pytest.raises(kind):
            async with client.websocket(url):
                pass
    if url not in ("", None):
        with pytest.raises(kind):
            trio_h2ws.open_client(base_url=url)


BAD_HEADERS: list[Any] = [
    {"x": "a\nb"},
    {"x": "a\r\nb: c"},
    {"x": "a\x00b"},
    {"x": b"a\nb"},
    {"a\nb": "x"},
    {"a b": "x"},
    {"a:b": "x"},
    {"": "x"},
    {":path": "/x"},
    {"ä": "x"},
    {"connection": "close"},
    {"transfer-encoding": "chunked"},
    {"upgrade": "websocket"},
    {"Te": "gzip"},
    {"Host": ""},
    {"Host": "a b"},
    {"Host": "a/b"},
    {"Host": "u@b"},
    [("Host", "a"), ("host", "b")],
    [("Content-Length", "3"), ("content-length", "5")],
    [("Content-Length", "1"), ("content-length", "1")],
    {"x": None},
    {"x": 5},
    {5: "x"},
    ["x"],
    [("x",)],
    [("x", "y", "z")],
    "x: y",
    b"x: y",
    5,
]


@pytest.mark.parametrize("headers", BAD_HEADERS, ids=short)
async def test_bad_headers_are_an_error(headers: Any) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        trio_h2ws.open_client(headers=headers)
    is_bad(error)
    async with trio_h2ws.open_client(open_stream=never) as client:
        with pytest.raises((ValueError, TypeError)):
            await client.get(URL, headers=headers)
        with pytest.raises((ValueError, TypeError)):
            await client.connect_websocket(URL, headers=headers)
        with pytest.raises((ValueError, TypeError)):
            await client.post(URL, content=b"x", trailers=headers)


async def test_a_line_break_in_the_host_header_is_an_error() -> None:
    async with trio_h2ws.open_client(open_stream=never) as client:
        with pytest.raises(ValueError, match="host"):
            await client.get(URL, headers={"host": "a\nb"})


@pytest.mark.parametrize("name", ["content-length", "Content-Type", "host", "authorization"])
async def test_fields_that_must_precede_a_body_cannot_be_trailers(name: str) -> None:
    async with trio_h2ws.open_client(open_stream=never) as client:
        with pytest.raises(ValueError, match="trailers"):
            await client.post(URL, content=b"x", trailers={name: "1"})


@pytest.mark.parametrize(
    "name", ["Content-Length", "Sec-WebSocket-Key", "Sec-WebSocket-Protocol", "sec-websocket-accept"]
)
async def test_headers_of_the_handshake_itself_cannot_be_given(name: str) -> None:
    """A content-length would make the CONNECT malformed, and a subprotocol would be one that was not offered."""
    async with trio_h2ws.open_client(open_stream=never) as client:
        with pytest.raises(ValueError, match=name.lower()):
            await client.connect_websocket(URL, headers={name: "1"})
    async with trio_h2ws.open_client(open_stream=never, headers={name: "1"}) as client:
        with pytest.raises(ValueError, match=name.lower()):
            await client.connect_websocket(URL)


@pytest.mark.parametrize(
    "method", ["", "GE T", "GET\n", "G\x00", "GÉT", "CONNECT", "connect", "G(T", "G:T", b"GET", None, 5], ids=short
)
async def test_a_bad_method_is_an_error(method: Any) -> None:
    async with trio_h2ws.open_client(open_stream=never) as client:
        with pytest.raises((ValueError, TypeError), match=r"method|CONNECT"):
            await client.request(method, URL)


async def test_a_url_given_as_the_method_is_not_shown() -> None:
    async with trio_h2ws.open_client(open_stream=never, base_url=URL) as client:
        with pytest.raises(ValueError, match="method 'https…' contains ':'") as caught:
            await client.request("https://me:s3cret@example.org/", "GET")
        assert "s3cret" not in repr(caught.value)


BAD_OPTIONS: list[dict[str, Any]] = [
    {"content": 5},
    {"content": {"a": 1}},
    {"content": b"abc", "headers": {"content-length": "4"}},
    {"headers": {"content-length": "4"}},
    {"content": b"abc", "headers": {"content-length": "three"}},
    {"content": b"abc", "headers": {"content-length": "3, 5"}},
    {"content": b"abc", "headers": {"content-length": "3, 3"}},
    {"content": b"abc", "headers": [("content-length", "3"), ("content-length", "3")]},
    {"content": iter([b"abc"]), "headers": [("content-length", "3"), ("content-length", "5")]},
    {"content": iter([b"abc"]), "headers": {"content-length": "3, 5"}},
    {"content": iter([b"abc"]), "headers": {"content-length": ""}},
    {"content": iter([b"abc"]), "headers": {"content-length": "+3"}},
    {"content": iter([b"abc"]), "headers": {"content-length": "\N{ARABIC-INDIC DIGIT THREE}"}},
    {"content": iter([b"abc"]), "headers": {"content-length": "3" * 20}},
    {"content": iter([b"abc"]), "headers": {"content-length": "3" * 5000}},
    {"content": b"x", "json": 1},
    {"json": object()},
    {"json": float("nan")},
    {"http2": "maybe"},
    {"http2": True},
    {"nonsense": 1},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=short)
async def test_a_bad_option_of_a_request_is_an_error(options: dict[str, Any]) -> None:
    async with trio_h2ws.open_client(open_stream=never) as client:
        with pytest.raises((ValueError, TypeError)) as error:
            await client.post(URL, **options)
        is_bad(error)


BAD_WEBSOCKET_OPTIONS: list[dict[str, Any]] = [
    {"subprotocols": "v1"},
    {"subprotocols": ["a b"]},
    {"subprotocols": ["a,b"]},
    {"subprotocols": [""]},
    {"subprotocols": ["a", "a"]},
    {"subprotocols": [5]},
    {"origin": "https://a.test\r\nx: y"},
    {"origin": 5},
    {"compression": True},
    {"compression": "deflate"},
    {"http2": "maybe"},
    {"ping_interval": -1},
    {"ping_interval": "soon"},
    {"ping_interval": 1, "ping_timeout": 0},
    {"nonsense": 1},
]


@pytest.mark.parametrize("options", BAD_WEBSOCKET_OPTIONS, ids=short)
async def test_a_bad_option_of_a_websocket_is_an_error(options: dict[str, Any]) -> None:
    async with trio_h2ws.open_client(open_stream=never) as client:
        with pytest.raises((ValueError, TypeError)) as error:
            await client.connect_websocket(URL, **options)
        is_bad(error)


@pytest.mark.parametrize(
    "make",
    [
        lambda: trio_h2ws.DeflateOptions(server_max_window_bits=8),
        lambda: trio_h2ws.DeflateOptions(client_max_window_bits=16),
        lambda: trio_h2ws.DeflateOptions(level=10),
        lambda: trio_h2ws.Timeouts(connect=-1),
        lambda: trio_h2ws.Timeouts(connect="soon"),  # type: ignore[arg-type]
        lambda: trio_h2ws.Timeouts(connect=float("nan")),
        lambda: trio_h2ws.Limits(max_body_size=-1),
        lambda: trio_h2ws.Limits(stream_window=0),
        lambda: trio_h2ws.Limits(connection_window=1),
        lambda: trio_h2ws.Limits(max_connections_per_origin=0),
    ],
)
def test_a_bad_bound_is_an_error(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the message is checked below
        make()
    is_bad(error)


BAD_PROXIES: list[Any] = [
    "",
    "ftp://proxy.test",
    "socks4://proxy.test",
    "http://",
    "http://:8080",
    "http://proxy.test:99999",
    "http://proxy.test:port",
    "http://proxy.test/path",
    "http://proxy.test?query",
    "http://proxy.test#fragment",
    "http://[::1",
    "http://a b.test",
    "http://proxy.test\n",
    "http://user:pass\n@proxy.test",
    "http://proxy.test:0",
    5,
    b"http://proxy.test",
]


@pytest.mark.parametrize("proxy", BAD_PROXIES, ids=short)
def test_a_bad_proxy_url_is_an_error(proxy: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="proxy") as error:
        trio_h2ws.open_client(proxy=proxy)
    assert "pass" not in str(error.value).replace("password", "")


@pytest.mark.parametrize(
    "options",
    [
        {"http2": "maybe"},
        {"proxy": "http://p.test", "uds": "/socket"},
        {"proxy": "http://p.test", "open_stream": never},
        {"uds": "/socket", "open_stream": never},
        {"ssl_context": True},
        {"ssl_context": ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)},
        {"open_stream": "tcp"},
        {"uds": 5},
        {"uds": ""},
        {"server_hostname": 5},
        {"server_hostname": b"a.test"},
        {"server_hostname": ""},
        {"server_hostname": "a..test"},
        {"server_hostname": ".test"},
        {"server_hostname": "a" * 64 + ".test"},
        {"limits": 5},
        {"timeouts": 5},
        {"nonsense": 1},
    ],
    ids=short,
)
def test_a_bad_option_of_a_client_is_an_error(options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        trio_h2ws.open_client(**options)
    is_bad(error)


GOOD_URLS = [
    ("HTTPS://A.Test", b"a.test", b"/"),
    ("https://a.test:443/", b"a.test", b"/"),
    ("https://a.test:8443", b"a.test:8443", b"/"),
    ("https://a.test?b=c", b"a.test", b"/?b=c"),
    ("https://a.test/b#c", b"a.test", b"/b"),
    ("https://a.test/ä b?ö", b"a.test", b"/%C3%A4%20b?%C3%B6"),
    ("https://a.test/%2F%zz", b"a.test", b"/%2F%zz"),
    ("https://bücher.test/", b"xn--bcher-kva.test", b"/"),
    ("https://[::1]:8443/", b"[::1]:8443", b"/"),
    ("wss://a.test/", b"a.test", b"/"),
    (" https://a.test/ ", b"a.test", b"/"),
]


@pytest.mark.parametrize(("url", "authority", "target"), GOOD_URLS)
async def test_a_good_url_is_dialled(url: str, authority: bytes, target: bytes) -> None:
    """So the tests above fail for the reason that they give."""
    asked: list[tuple[str, int]] = []

    async def note(host: str, port: int) -> trio.abc.Stream:
        asked.append((host, port))
        raise OSError("enough")

    async with trio_h2ws.open_client(open_stream=note) as client:
        with pytest.raises(trio_h2ws.ConnectFailed):
            await client.get(url)
    host, _, port = (
        authority.decode().rpartition(":") if authority.endswith(b":8443") else (authority.decode(), "", "")
    )
    assert asked == [(host.strip("[]"), int(port or 443))]


@pytest.mark.parametrize(
    "options",
    [
        {"content": 7},
        {"content": {"a": "dict"}},
        {"content": b"", "json": 1},
        {"json": float("nan")},
        {"json": {1, 2}},
        {"headers": {"connection": "close"}},
        {"headers": [("content-length", "0"), ("Content-Length", "5")]},
        {"content": iter([b"abc"]), "headers": [("content-length", "3"), ("content-length", "5")]},
        {"headers": {"x-a": "line\r\nbreak"}},
        {"headers": {"x a": "b"}},
        {"headers": {":path": "/"}},
        {"trailers": {"x": "\0"}},
    ],
)
async def test_a_bad_call_dials_nothing(options: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with pytest.raises((ValueError, TypeError)):
            await client.post("/", **options)
        assert peer.dials == 0


@pytest.mark.parametrize(
    "options",
    [{"http2": "maybe"}, {"base_url": "nonsense"}, {"headers": {"upgrade": "h2c"}}, {"headers": "x: y"}],
)
async def test_open_client_checks_its_options_at_once(options: dict[str, str]) -> None:
    with pytest.raises((ValueError, TypeError)):
        trio_h2ws.open_client(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["", "GET /", "G\nET", "CONNECT"])
async def test_a_method_must_be_a_token_in_text(method: str) -> None:
    async with trio_h2ws.open_client() as client:
        with pytest.raises(ValueError):  # noqa: PT011
            await client.request(method, "https://example.org/")
        with pytest.raises(TypeError):
            await client.request(7, "https://example.org/")  # type: ignore[arg-type]


@pytest.mark.parametrize("subprotocols", [["a", "a"], ["a b"], [""], [7]])
async def test_subprotocols_are_a_list_of_different_tokens(subprotocols: list[str]) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with pytest.raises((ValueError, TypeError)):
            await client.connect_websocket("/", subprotocols=subprotocols)
        with pytest.raises(TypeError):
            await client.connect_websocket("/", subprotocols="one")
        assert peer.dials == 0
