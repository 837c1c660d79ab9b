"""Redirects (RFC 9110, section 15.4): what is sent where, what is not, and places that are not followed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
from h2.connection import H2Connection

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.http2 import Answer, open_both, status
from servers.redirects import open_site
from toolkit.errors import texts_of
from trio_h2ws.testing import open_server


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_get_stays_a_get(code: int) -> None:
    async with open_site(a=(code, "/b?c=d#e")) as site, site.listener.open_client() as client:
        response = await client.get("/a", headers={"x-mine": "1"})
        assert (response.status, response.content, response.url) == (200, b"here", f"{site.url}/b?c=d#e")
        assert [(r.status, r.url) for r in response.history] == [(code, f"{site.url}/a")]
        assert site.lines == ["GET /a", "GET /b?c=d"]
        assert site.seen[1].headers["x-mine"] == "1"


@pytest.mark.parametrize(
    ("code", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (303, "POST", "GET"),
        (307, "POST", "POST"),
        (308, "POST", "POST"),
        (301, "PUT", "PUT"),
        (302, "PATCH", "PATCH"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (302, "HEAD", "HEAD"),
        (303, "DELETE", "GET"),
    ],
)
async def test_the_method_changes_as_the_rfc_says(code: int, method: str, then: str) -> None:
    async with open_site(a=(code, "/b")) as site, site.listener.open_client() as client:
        content = None if method == "HEAD" else b"body"
        response = await client.request(method, "/a", content=content, headers={"content-language": "en"})
        assert site.lines == [f"{method} /a", f"{then} /b"]
        second = site.seen[1]
        assert response.method == then
        if then == method:
            assert second.body == (content or b"")
        else:
            assert second.body == b""
            assert "content-length" not in second.headers
            assert "content-language" not in second.headers


async def test_a_consumed_body_gives_the_redirect_itself() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"once"
        await trio.lowlevel.checkpoint()

    async with open_site(a=(307, "/b")) as site, site.listener.open_client() as client:
        response = await client.post("/a", content=body())
        assert (response.status, response.headers["location"]) == (307, "/b")
        # After a 303 it is no longer needed.
        site.redirects["a"] = (303, "/b")
        assert (await client.post("/a", content=body())).status == 200


async def test_fields_about_a_dropped_body_are_dropped() -> None:
    """A server that obeys `expect` would wait for the body (RFC 9110, section 10.1.1)."""
    about = {"expect": "100-continue", "content-location": "/x", "content-digest": "x", "trailer": "x", "digest": "x"}
    async with open_site(a=(303, "/b")) as site, site.listener.open_client() as client:
        await client.post("/a", content=b"body", headers={**about, "x-mine": "1"})
        assert not about.keys() & site.seen[1].headers.keys()
        assert site.seen[1].headers["x-mine"] == "1"


async def test_history_holds_each_redirect() -> None:
    """Each redirect, with the redirects before it and with its body."""
    async with open_site(a=(303, "/b"), b=(308, "/c"), c=(302, "/d")) as site, site.listener.open_client() as client:
        response = await client.post("/a", content=b"x")
        assert [(entry.status, entry.method, entry.url) for entry in response.history] == [
            (303, "POST", f"{site.url}/a"),
            (308, "GET", f"{site.url}/b"),
            (302, "GET", f"{site.url}/c"),
        ]
        assert [entry.history for entry in response.history] == [response.history[:n] for n in range(3)]
        assert [entry.content for entry in response.history] == [b"elsewhere"] * 3
        async with client.stream("GET", "/b") as streamed:
            assert [entry.status for entry in streamed.history] == [308, 302]


async def test_follow_redirects_false_gives_the_redirect() -> None:
    async with open_site(a=(302, "/b")) as site, site.listener.open_client() as client:
        response = await client.get("/a", follow_redirects=False)
        assert (response.status, response.content, response.history) == (302, b"elsewhere", ())
        async with client.stream("GET", "/a", follow_redirects=False) as streamed:
            assert streamed.status == 302


async def test_max_redirects_is_a_bound() -> None:
    limits = trio_h2ws.Limits(max_redirects=5)
    async with open_site(a=(302, "/a")) as site, site.listener.open_client(limits=limits) as client:
        with pytest.raises(trio_h2ws.LimitExceeded) as caught:
            await client.get("/a")
        assert caught.value.bound == "max_redirects"
        assert len(site.seen) == 6
        with pytest.raises(trio_h2ws.LimitExceeded):
            async with client.stream("GET", "/a"):
                pass
        with pytest.raises(trio_h2ws.LimitExceeded):
            await client.connect_websocket("/a", follow_redirects=True)


async def test_redirects_may_change_the_scheme() -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.respond(302, b"", [("location", site.url + "/there")])

    async with open_site() as site, open_http1(serve, tls=False) as plain, site.listener.open_client() as client:
        site.redirects["a"] = (302, plain.url + "/plain")
        response = await client.get("/a")
        assert (response.status, response.url) == (200, f"{site.url}/there")
        assert len(response.history) == 2


async def test_streams_follow_redirects() -> None:
    async with open_site(a=(302, "/b")) as site, site.listener.open_client() as client:
        async with client.stream("GET", "/a") as response:
            assert (response.status, len(response.history)) == (200, 1)
            assert await response.read() == b"here"


async def test_redirects_over_http2_use_one_connection() -> None:
    async with open_server() as server:
        async with trio_h2ws.open_client(ssl_context=server.ssl_context, base_url=server.url) as client:
            response = await client.get("/redirect/5")
            assert (response.status, len(response.history)) == (200, 6)
            assert len({entry.connection.id for entry in response.history}) == 1
            with pytest.raises(trio_h2ws.LimitExceeded):
                await client.get("/redirect/50")


# Locations.


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("b", "/x/b"),
        ("/b", "/b"),
        ("../b", "/b"),
        ("?q", "/x/a?q"),
        ("//localhost:{port}/b", "/b"),
        ("{url}/b", "/b"),
        ("/b c", "/b%20c"),
        ("\\b", "/b"),
        ("..\\b", "/b"),
        ("\\\\localhost:{port}\\b", "/b"),
        ("/\\localhost:{port}/b", "/b"),
        ("https:\\\\localhost:{port}\\b\\c", "/b/c"),
        ("/b?c=\\d", "/b?c=%5Cd"),
        ("/b#\\d", "/b"),
        ("/b#c?d#e", "/b"),
        (" \t /b\t ", "/b"),
        ("/b\tc", "/bc"),
        ("/b/\u00e9?\u20ac", "/b/%C3%A9?%E2%82%AC"),
        ("HTTPS://LOCALHOST:{port}/b", "/b"),
        ("wss://localhost:{port}/b", "/b"),
        ("https:b", "/x/b"),
        ("https:/b", "/b"),
        ("12:30", "/x/12:30"),
        ("./c:d", "/x/c:d"),
        ("b?next=https://other.test/", "/x/b?next=https://other.test/"),
        ("b;c=d", "/x/b;c=d"),
        (".", "/x/"),
        ("..", "/"),
        ("%2e%2E%zz", "/x/%2e%2E%zz"),
        ("https://localhost:{port}", "/"),
        ("https://localhost:{port}?q", "/?q"),
    ],
)
async def test_relative_locations_are_resolved(location: str, target: str) -> None:
    async with open_site() as site, site.listener.open_client() as client:
        where = location.format(url=site.url, port=site.listener.port)
        site.redirects["x/a"] = (302, where)
        assert (await client.get("/x/a")).status == 200
        assert site.lines[-1] == f"GET {target}"


@pytest.mark.parametrize(
    ("code", "location", "raw"),
    [(302, b"/b/\xe9?\xff=\xa4#\xe9", b"/b/%E9?%FF=%A4"), (307, b"/\xc3\xa9/\xe9", b"/%C3%A9/%E9")],
)
async def test_bytes_in_no_known_charset_are_percent_encoded(code: int, location: bytes, raw: bytes) -> None:
    """The server wants to see the bytes that it wrote, not those of the same letters in UTF-8."""
    targets = []

    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            targets.append(request.target)
            head = (
                b"HTTP/1.1 %d Found\r\nlocation: %b\r\n" % (code, location)
                if len(targets) == 1
                else b"HTTP/1.1 200 OK\r\n"
            )
            await peer.send(head + b"content-length: 0\r\n\r\n")

    async with open_http1(serve) as server, server.open_client() as client:
        response = await client.get("/a")
        assert targets == ["/a", raw.decode()]
        assert response.url.partition("#")[0] == server.url + raw.decode()
        assert response.url.isascii()


@pytest.mark.parametrize(
    ("url", "locations", "fragments"),
    [
        ("/a", ["/b"], ["", ""]),
        ("/a#one", ["/b"], ["#one", "#one"]),
        ("/a#one", ["/b#two"], ["#one", "#two"]),
        ("/a#one", ["/b#"], ["#one", ""]),
        ("/a", ["/b#two words/?"], ["", "#two%20words/?"]),
        ("/a", ["/b#\u20ac%20"], ["", "#%E2%82%AC%20"]),
        ("/a#one", ["/b", "/c"], ["#one", "#one", "#one"]),
        ("/a#one", ["/b#two", "/c"], ["#one", "#two", "#two"]),
        ("/a#one", ["/b#", "/c"], ["#one", "", ""]),
    ],
)
async def test_a_fragment_survives_redirects(url: str, locations: list[str], fragments: list[str]) -> None:
    """RFC 9110, section 10.2.2: a Location without a fragment inherits it. It is never sent (section 4.2.3)."""
    async with open_site() as site, site.listener.open_client() as client:
        names = "abc"
        for name, location in zip(names, locations, strict=False):
            site.redirects[name] = (302, location)
        response = await client.get(url)
        urls = [entry.url for entry in (*response.history, response)]
        assert urls == [f"{site.url}/{name}{fragment}" for name, fragment in zip(names, fragments, strict=False)]
        assert site.lines == [f"GET /{name}" for name in names[: len(urls)]]


@pytest.mark.parametrize(
    "location", ["ftp://a.test/", "data:text/html,x", "FTP:a", "mailto:me@a.test", "file:///etc/x"]
)
async def test_a_location_of_another_scheme_says_so(location: str) -> None:
    async with open_site(a=(302, location)) as site, site.listener.open_client() as client:
        with pytest.raises(trio_h2ws.RemoteProtocolError, match=r"Location .* scheme .*not supported; use http"):
            await client.get("/a")


@pytest.mark.parametrize("location", ["ftp://a.test/", "//[a", "https://a.test:99999/", "javascript:alert(1)"])
async def test_an_unsupported_location_is_an_error(location: str) -> None:
    async with open_site(a=(302, location)) as site, site.listener.open_client() as client:
        with pytest.raises(trio_h2ws.RemoteProtocolError, match="Location"):
            await client.get("/a")
        response = await client.get("/a", follow_redirects=False)
        assert response.headers["location"] == location


async def test_a_redirect_without_location_is_the_response() -> None:
    async with open_site(a=(302, ""), b=(300, "/c")) as site, site.listener.open_client() as client:
        for path, code in (("/a", 302), ("/b", 300)):
            assert (await client.get(path)).status == code
        assert len(site.seen) == 2


@pytest.mark.parametrize(
    "location",
    [
        "http://",
        "https:///b",
        "https://a..test/",
        "https://[::1]x/",
        "https://a.test:0/",
        "https://u@/",
        "/\x01",
        "x:y",
    ],
)
async def test_an_invalid_location_is_an_error(location: str) -> None:
    async with open_site(a=(302, location)) as site, site.listener.open_client() as client:
        with pytest.raises(trio_h2ws.RemoteProtocolError, match="Location") as caught:
            await client.get("/a")
        assert isinstance(caught.value.__cause__, ValueError)
        with pytest.raises(trio_h2ws.RemoteProtocolError, match="Location"):
            async with client.stream("GET", "/a"):
                pass
        with pytest.raises(trio_h2ws.RemoteProtocolError, match="Location"):
            await client.connect_websocket("/a", follow_redirects=True)
        assert (await client.get("/a", follow_redirects=False)).headers["location"] == location


async def test_two_different_locations_are_an_error() -> None:
    async with open_site(a=(302, "/b\n/c"), d=(302, "/e\n/e")) as site, site.listener.open_client() as client:
        with pytest.raises(trio_h2ws.RemoteProtocolError, match="Location"):
            await client.get("/a")
        assert (await client.get("/d")).url == f"{site.url}/e"
        assert site.lines == ["GET /a", "GET /d", "GET /e"]


@pytest.mark.parametrize("location", ["", "   ", "#x"])
async def test_an_empty_location_is_not_followed(location: str) -> None:
    """Without one the redirect is the response. A redirect to the same page meets the bound."""
    async with open_site(a=(302, location)) as site, site.listener.open_client() as client:
        if location == "#x":
            with pytest.raises(trio_h2ws.LimitExceeded, match="max_redirects"):
                await client.get("/a")
        else:
            response = await client.get("/a")
            assert (response.status, response.history, len(site.seen)) == (302, (), 1)
            with pytest.raises(trio_h2ws.WebSocketRejected):
                await client.connect_websocket("/a", follow_redirects=True)


# Credentials and hosts.


async def test_credentials_stay_with_their_origin() -> None:
    secrets = {"authorization": "Bearer mine", "cookie": "a=b", "proxy-authorization": "Basic eA==", "x-mine": "1"}
    async with open_site() as other, open_site() as site, site.listener.open_client() as client:
        site.redirects["a"] = (307, f"{other.url}/b")
        site.redirects["same"] = (307, "/b")
        await client.post("/a", content=b"body", headers=secrets)
        [strange] = other.seen
        assert strange.body == b"body"
        assert strange.headers["x-mine"] == "1"
        assert strange.headers["host"] == f"localhost:{other.listener.port}"
        assert not {"authorization", "cookie", "proxy-authorization"} & strange.headers.keys()
        await client.get("/same", headers=secrets)
        assert site.seen[-1].headers["authorization"] == "Bearer mine"
        assert site.seen[-1].headers["cookie"] == "a=b"


async def test_credentials_of_the_url_stay_with_their_origin() -> None:
    async with open_site() as other, open_site() as site, site.listener.open_client() as client:
        site.redirects["a"] = (302, f"{other.url}/b")
        await client.get(site.url.replace("://", "://me:secret@") + "/a")
        assert site.seen[0].headers["authorization"].startswith("Basic ")
        assert "authorization" not in other.seen[0].headers


async def test_no_password_is_shown() -> None:
    """Neither that of the user's URL, nor one in a Location, whether it can be followed or not. One in a Location is
    not sent either."""
    async with open_site() as site, site.listener.open_client() as client:
        secret = site.url.replace("://", "://me:secret@")
        site.redirects.update(a=(302, f"{secret.replace('me', 'you')}/b"), bad=(302, "https://me:secret@a..test/"))
        response = await client.get(f"{secret}/a#here")
        assert [entry.url for entry in (*response.history, response)] == [f"{site.url}/a#here", f"{site.url}/b#here"]
        assert "secret" not in f"{response!r} {response.history!r} {client!r} {client.connections!r}"
        given = [request.headers["authorization"] for request in site.seen]
        assert given == ["Basic bWU6c2VjcmV0"] * 2
        with pytest.raises(trio_h2ws.RemoteProtocolError) as caught:
            await client.get("/bad")
        assert "secret" not in "".join(texts_of(caught.value))
        ws = await client.connect_websocket(site.listener.ws_url.replace("://", "://me:secret@") + "/ws")
        assert "secret" not in f"{ws!r} {ws.response!r} {ws.response.url}"
        await ws.aclose()


async def test_a_redirect_to_http_drops_credentials() -> None:
    """As browsers, curl and httpx do."""
    async with open_site(tls=False) as clear, open_site() as site, site.listener.open_client() as client:
        site.redirects["a"] = (302, clear.url + "/b")
        response = await client.get("/a", headers={"authorization": "mine", "cookie": "a=b"})
        assert (response.url, [entry.url for entry in response.history]) == (f"{clear.url}/b", [f"{site.url}/a"])
        assert not {"authorization", "cookie"} & clear.seen[0].headers.keys()


async def test_a_given_host_is_kept_on_the_same_origin() -> None:
    async with open_site() as other, open_site() as site, site.listener.open_client() as client:
        site.redirects.update(a=(302, "/b"), b=(307, f"{site.url}/c"), c=(302, f"{other.url}/d"))
        await client.get("/a", headers={"host": "mine.test"})
        assert [request.headers["host"] for request in site.seen] == ["mine.test"] * 3
        assert other.seen[0].headers["host"] == f"localhost:{other.listener.port}"


async def test_a_given_host_is_kept_over_http2() -> None:
    async with open_both(request=status(302, location="/b")) as server:
        limits = trio_h2ws.Limits(max_redirects=2)
        async with server.listener.open_client(limits=limits, headers={"host": "mine.test"}) as client:
            with pytest.raises(trio_h2ws.LimitExceeded):
                await client.get("/a")
        assert [authority for _, authority in server.asked] == ["mine.test"] * 3


# Retry-After.


async def test_retry_after_is_shown_and_not_obeyed() -> None:
    async def serve(peer: Peer) -> None:
        for value in ("120", "Wed, 21 Oct 2015 07:28:00 GMT", "soon"):
            await peer.request()
            await peer.respond(503, b"", [("retry-after", value)])

    async with open_http1(serve) as server, server.open_client() as client:
        assert [(await client.get("/")).retry_after for _ in range(3)] == [120.0, 0.0, None]


async def test_a_refused_websocket_shows_retry_after() -> None:
    async with open_both(status(503, b"", **{"retry-after": "7"})) as server:
        async with server.listener.open_client() as client:
            with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
                await client.connect_websocket("/", http2="require")
            assert caught.value.retry_after == 7.0
    assert trio_h2ws.WebSocketRejected(403, trio_h2ws.Headers()).retry_after is None


# WebSockets.


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_websocket_follows_redirects_only_when_asked(code: int) -> None:
    async with open_site(a=(code, "/b")) as site, site.listener.open_client() as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/a")
        assert (caught.value.status, caught.value.headers["location"]) == (code, "/b")
        async with client.websocket("/a", follow_redirects=True) as ws:
            await ws.send("x")
            assert await ws.receive() == "x"
        assert site.lines == ["GET /a", "GET /a", "GET /b"]


@pytest.mark.parametrize("scheme", ["wss", "https"])
async def test_a_websocket_follows_redirects_to_another_origin(scheme: str) -> None:
    async with open_site() as site, site.listener.open_client() as client:
        answer = status(307, b"", location=site.url.replace("https", scheme) + "/b")
        async with open_both(answer) as redirecting:
            async with client.websocket(
                redirecting.ws_url + "/a",
                follow_redirects=True,
                headers={"authorization": "mine"},
                subprotocols=["v1"],
            ) as ws:
                await ws.send("x")
                assert (await ws.receive(), ws.http_version) == ("x", "HTTP/1.1")
            assert redirecting.connects == 1
        [arrived] = site.seen
        assert "authorization" not in arrived.headers
        assert arrived.headers["sec-websocket-protocol"] == "v1"


def first(redirect: Answer) -> Answer:
    """Give this answer to the first CONNECT, and accept the next one."""
    answers = [redirect]

    def answer(h2: H2Connection, stream: int) -> None:
        if answers:
            answers.pop()(h2, stream)
        else:
            h2.send_headers(stream, [(":status", "200")])

    return answer


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirected_handshake_stays_a_connect(code: int) -> None:
    """A GET with `:protocol` would be malformed (RFC 8441, section 4)."""
    async with open_both(first(status(code, location="/b"))) as server, server.listener.open_client() as client:
        ws = await client.connect_websocket("/a", follow_redirects=True)
        assert ws.http_version == "HTTP/2"
        ws.abort()
        assert (server.connects, server.requests, server.upgrades) == (2, [], 0)


@pytest.mark.parametrize("scheme", ["ws", "http"])
@pytest.mark.parametrize("over", ["HTTP/2", "HTTP/1.1"])
async def test_a_handshake_is_not_redirected_from_wss_to_ws(over: str, scheme: str) -> None:
    """A call that asked for wss:// must not get less. The websockets library refuses it as well."""
    async with open_site(tls=False) as clear:
        location = clear.url.replace("http", scheme, 1) + "/b"
        connect = status(302, location=location) if over == "HTTP/2" else status(501)
        async with open_site(a=(302, location)) as old, open_both(connect) as new:
            base = new.ws_url if over == "HTTP/2" else old.url
            async with old.listener.open_client() as client:
                with pytest.raises(trio_h2ws.WebSocketRejected, match="wss:// to ws://") as caught:
                    await client.connect_websocket(base + "/a", follow_redirects=True)
            assert (caught.value.status, caught.value.headers["location"]) == (302, location)
        assert clear.listener.accepted == 0


async def test_a_handshake_may_be_redirected_from_ws_to_wss() -> None:
    async with open_site() as site, open_site(tls=False) as clear:
        clear.redirects["a"] = (302, site.listener.ws_url + "/b")
        async with site.listener.open_client() as client:
            async with client.websocket(clear.listener.ws_url + "/a", follow_redirects=True) as ws:
                assert ws.response.url == site.url + "/b"
