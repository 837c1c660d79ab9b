"""Redirects that went wrong: what was sent to the next place, and places where nobody should go."""

from __future__ import annotations

import pytest
from h2.connection import H2Connection

import trio_h2ws
from servers.http2 import Answer, open_both, status
from servers.redirects import open_site


def first(redirect: Answer) -> Answer:
    """That answer to the first CONNECT; the next one opens a WebSocket."""
    answers = [redirect]

    def answer(h2: H2Connection, stream: int) -> None:
        if answers:
            answers.pop()(h2, stream)
        else:
            h2.send_headers(stream, [(":status", "200")])

    return answer


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_handshake_that_was_redirected_with_303_became_a_get(code: int) -> None:
    """With `:protocol` in it, which is malformed (RFC 8441, section 4)."""
    async with open_both(first(status(code, location="/b"))) as server, server.listener.open_client() as client:
        ws = await client.connect_websocket("/a", follow_redirects=True)
        assert ws.http_version == "HTTP/2"
        ws.abort()
        assert (server.connects, server.requests, server.upgrades) == (2, [], 0)


@pytest.mark.parametrize("scheme", ["ws", "http"])
@pytest.mark.parametrize("over", ["HTTP/2", "HTTP/1.1"])
async def test_a_handshake_went_from_tls_into_the_clear(over: str, scheme: str) -> None:
    """Who asked for wss:// must not get less; websockets refuses it, too."""
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


async def test_a_handshake_may_go_from_the_clear_into_tls() -> None:
    async with open_site() as site, open_site(tls=False) as clear:
        clear.redirects["a"] = (302, site.listener.ws_url + "/b")
        async with site.listener.open_client() as client:
            async with client.websocket(clear.listener.ws_url + "/a", follow_redirects=True) as ws:
                assert ws.response.url == site.url + "/b"


async def test_a_request_may_go_into_the_clear_without_its_credentials() -> None:
    """As browsers, curl and httpx do."""
    async with open_site(tls=False) as clear, open_site() as site, site.listener.open_client() as client:
        site.redirects["a"] = (302, clear.url + "/b")
        response = await client.get("/a", headers={"authorization": "mine", "cookie": "a=b"})
        assert (response.url, [entry.url for entry in response.history]) == (f"{clear.url}/b", [f"{site.url}/a"])
        assert not {"authorization", "cookie"} & clear.seen[0].headers.keys()


async def test_the_host_that_was_given_was_lost_on_the_same_origin() -> None:
    async with open_site() as other, open_site() as site, site.listener.open_client() as client:
        site.redirects.update(a=(302, "/b"), b=(307, f"{site.url}/c"), c=(302, f"{other.url}/d"))
        await client.get("/a", headers={"host": "mine.test"})
        assert [request.headers["host"] for request in site.seen] == ["mine.test"] * 3
        assert other.seen[0].headers["host"] == f"localhost:{other.listener.port}"


async def test_the_host_that_was_given_stays_over_http2() -> None:
    async with open_both(request=status(302, location="/b")) as server:
        limits = trio_h2ws.Limits(max_redirects=2)
        async with server.listener.open_client(limits=limits, headers={"host": "mine.test"}) as client:
            with pytest.raises(trio_h2ws.LimitExceeded):
                await client.get("/a")
        assert [authority for _, authority in server.asked] == ["mine.test"] * 3


async def test_fields_about_a_body_that_is_gone_went_on() -> None:
    """A server that heeds `expect` waits for the body (RFC 9110, section 10.1.1)."""
    about = {"expect": "100-continue", "content-location": "/x", "content-digest": "x", "trailer": "x", "digest": "x"}
    async with open_site(a=(303, "/b")) as site, site.listener.open_client() as client:
        await client.post("/a", content=b"body", headers={**about, "x-mine": "1"})
        assert not about.keys() & site.seen[1].headers.keys()
        assert site.seen[1].headers["x-mine"] == "1"


# Locations.


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
async def test_garbage(location: str) -> None:
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


async def test_two_locations_became_one_that_is_neither() -> None:
    async with open_site(a=(302, "/b\n/c"), d=(302, "/e\n/e")) as site, site.listener.open_client() as client:
        with pytest.raises(trio_h2ws.RemoteProtocolError, match="Location"):
            await client.get("/a")
        assert (await client.get("/d")).url == f"{site.url}/e"
        assert site.lines == ["GET /a", "GET /d", "GET /e"]


@pytest.mark.parametrize("location", ["", "   ", "#x"])
async def test_no_location(location: str) -> None:
    """None or an empty one: the redirect is the answer. The same page again ends at a bound."""
    async with open_site(a=(302, location)) as site, site.listener.open_client() as client:
        if location == "#x":
            with pytest.raises(trio_h2ws.LimitExceeded, match="max_redirects"):
                await client.get("/a")
        else:
            response = await client.get("/a")
            assert (response.status, response.history, len(site.seen)) == (302, (), 1)
            with pytest.raises(trio_h2ws.WebSocketRejected):
                await client.connect_websocket("/a", follow_redirects=True)


async def test_the_history() -> None:
    """Each redirect, with the redirects before it, and with its own body."""
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
