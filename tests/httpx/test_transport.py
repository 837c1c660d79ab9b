"""`trio_h2ws.httpx` under both libraries: what their users write, and the faults that it avoids."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import Listener, until
from trio_h2ws.httpx import AsyncTransport
from trio_h2ws.testing import Server, open_server

INITIAL_WINDOW_SIZE = 0x4
CANCEL, REFUSED_STREAM = 8, 7


def own(server: Server | Listener, **options: Any) -> AsyncTransport:
    return AsyncTransport(ssl_context=server.ssl_context, trust_env=False, **options)


async def parts(*data: bytes, pause: float = 0.0) -> AsyncGenerator[bytes, None]:
    for part in data:
        await trio.sleep(pause)
        yield part


# What their users write.


async def test_many_requests_share_one_connection(lib: Any, server: Server, http: Any) -> None:
    async def get(i: int) -> None:
        response = await http.get(f"/bytes/{i * 1000}")
        assert (response.status_code, response.http_version) == (200, "HTTP/2")
        assert response.extensions["stream_id"] % 2 == 1
        assert len(response.content) == i * 1000

    async with trio.open_nursery() as nursery:
        for i in range(50):
            nursery.start_soon(get, i)
    assert server.stats.tcp_connections == 1
    assert server.stats.resets == []


async def test_the_request_is_sent_as_the_library_made_it(lib: Any, http: Any) -> None:
    sent = (await http.put("/headers?a=%20b&c", headers={"X-A": "1"}, json={"a": 1}, cookies=None)).json()
    names = [name for name, _ in sent]
    assert [":method", "PUT"] in sent
    assert [":path", "/headers?a=%20b&c"] in sent
    assert ["user-agent", f"python-{lib.__name__}/{lib.__version__}"] in sent
    assert ["x-a", "1"] in sent
    assert ["content-type", "application/json"] in sent
    assert names.count("content-length") == names.count("accept-encoding") == names.count("accept") == 1
    assert "connection" not in names
    assert "host" not in names
    sent = (await http.get("/headers", headers={"host": "other.test"})).json()
    assert [":authority", "other.test"] in sent
    sent = (await http.get(http.base_url.copy_with(username="ada", password="x", path="/headers"))).json()
    assert ["authorization", "Basic YWRhOng="] in sent
    assert not any("@" in value for _, value in sent)


async def test_every_kind_of_body_is_sent(lib: Any, server: Server, http: Any) -> None:
    for data in (b"", b"abc", os.urandom(3_000_000)):
        answer = (await http.post("/upload", content=data)).json()
        assert answer == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    response = await http.post("/echo", data={"a": "1"}, files={"file": ("name", b"content")})
    assert b"content" in response.content
    assert response.headers["content-type"].startswith("multipart/form-data; boundary=")
    answer = (await http.post("/upload", content=parts(b"ab", b"", b"c"))).json()
    assert answer == {"bytes": 3, "sha256": hashlib.sha256(b"abc").hexdigest()}
    assert server.stats.tcp_connections == 1


async def test_bodies_stream_both_ways_at_once(lib: Any, http: Any) -> None:
    """The response arrives while the request is still being sent."""
    send, receive = trio.open_memory_channel[bytes](0)

    async def question() -> AsyncIterator[bytes]:
        async for part in receive:
            yield part

    async with http.stream("POST", "/echo", content=question()) as response:
        answer = response.aiter_raw()
        for i in range(5):
            await send.send(b"part %d" % i)
            assert await anext(answer) == b"part %d" % i
        await send.aclose()
        assert [part async for part in answer] == []


async def test_trailers_are_an_extension_of_the_response(lib: Any, http: Any) -> None:
    async with http.stream("GET", "/trailers") as response:
        assert response.extensions["trailers"] == {}
        assert await response.aread() == b"abc"
        assert response.extensions["trailers"]["x-count"] == "3"
        assert isinstance(response.extensions["trailers"], lib.Headers)


async def test_content_encoding_is_decoded_once(lib: Any, http: Any) -> None:
    response = await http.get("/gzip")
    assert response.text == "hello, compressed\n" * 100
    assert "content-encoding" not in response.headers
    assert "content-length" not in response.headers
    assert "content-encoding" in (await http.head("/gzip")).headers
    assert (await http.get("/bytes/7")).headers["content-length"] == "7"


async def test_a_partial_response_is_passed_on_as_it_came(lib: Any) -> None:
    """A part of a gzip body can't be inflated: its bytes and its headers are those of the server."""
    whole = gzip.compress(b"to be compressed " * 50)

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(206, whole[5:21], [("content-encoding", "gzip"), ("content-range", "bytes 5-20/*")])

    async with open_http1(serve) as listener:
        async with lib.AsyncClient(transport=own(listener)) as http:
            async with http.stream("GET", listener.url, headers={"range": "bytes=5-20"}) as response:
                assert b"".join([chunk async for chunk in response.aiter_raw()]) == whole[5:21]
            assert (response.headers["content-encoding"], response.headers["content-length"]) == ("gzip", "16")


async def test_the_library_follows_redirects(lib: Any, server: Server, http: Any) -> None:
    response = await http.get("/redirect/2")
    assert (response.status_code, response.next_request.url.path) == (302, "/redirect/1")
    response = await http.get("/redirect/2", follow_redirects=True)
    assert (response.status_code, len(response.history)) == (200, 3)
    assert server.stats.streams_opened == 5


async def test_http1_and_h2c_work_as_well(lib: Any) -> None:
    async with open_server(alpn=("http/1.1",)) as server:
        async with lib.AsyncClient(transport=own(server)) as http:
            response = await http.post(f"{server.url}/echo", content=parts(b"a", b"b"))
            assert (response.content, response.http_version) == (b"ab", "HTTP/1.1")
            assert "stream_id" not in response.extensions
    async with open_server(tls=False) as server:
        async with lib.AsyncClient(transport=AsyncTransport(http2="require", trust_env=False)) as http:
            assert (await http.get(server.url)).http_version == "HTTP/2"


async def test_a_borrowed_client_stays_open(lib: Any, server: Server) -> None:
    async with trio_h2ws.open_client(base_url=server.url, ssl_context=server.ssl_context) as client:
        async with client.websocket("/ws/echo") as ws:
            async with lib.AsyncClient(transport=AsyncTransport(client), base_url=server.url) as http:
                assert (await http.get("/")).status_code == 200
            await ws.send("hello")
            assert await ws.receive() == "hello"
        assert (await client.get("/")).status == 200
        http = lib.AsyncClient(transport=AsyncTransport(client), base_url=server.url)  # without `async with`
        assert (await http.get("/")).status_code == 200
        await http.aclose()
    assert server.stats.tcp_connections == 1


async def test_an_owned_client_lives_as_long_as_the_transport(lib: Any, server: Server) -> None:
    transport = own(server)
    # An AsyncClient enters its transport once, and once more for each mount.
    async with lib.AsyncClient(transport=transport, mounts={"all://localhost": transport}) as http:
        assert (await http.get(server.url)).status_code == 200
    await until(lambda: server.stats.connections_open == 0)
    assert server.stats.goaways == [0]
    async with transport, lib.AsyncClient(transport=transport) as http:
        assert (await http.get(server.url)).status_code == 200
    async with transport:
        http = lib.AsyncClient(transport=transport)
        assert (await http.get(server.url)).status_code == 200
        await http.aclose()
        await until(lambda: server.stats.connections_open == 0)
    assert server.stats.tcp_connections == 3


def test_neither_library_is_needed_before_it_is_used() -> None:
    program = """if True:
        import sys

        class Nothing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("httpx", "httpx2"):
                    raise ImportError(name)

        finder = Nothing()
        sys.meta_path.insert(0, finder)
        from trio_h2ws.httpx import AsyncTransport
        finder.find_spec = lambda *args: None
        sys.path[:] = []
        try:
            AsyncTransport()
        except ImportError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'trio_h2ws[httpx]'" in done.stdout


# Faults that it avoids.


@pytest.mark.slow
async def test_cancelled_requests_leave_the_connection_whole(lib: Any, server: Server, http: Any) -> None:
    """Plain httpx sends no RST_STREAM, runs out of streams after a hundred of these, and loses its HPACK state."""
    await http.get("/")
    source = random.Random(7)
    cancelled = 0
    for i in range(300):
        with trio.move_on_after(source.choice([0, 0, 0.0005, 0.001, 0.002])) as scope:
            await http.post("/hang", headers={"x-new": f"{i:0200}"}, content=b"x" * source.choice([0, 100, 200_000]))
        cancelled += scope.cancelled_caught
    assert cancelled == 300
    assert ["x-new", "after"] in (await http.get("/headers", headers={"x-new": "after"})).json()
    await until(lambda: server.stats.streams_open == 0)
    assert {code for _, code in server.stats.resets} == {CANCEL}
    assert server.stats.tcp_connections == 1


async def test_an_unread_body_stops_no_other_request(lib: Any, server: Server, http: Any) -> None:
    async with http.stream("GET", "/bytes/40000000") as unread:
        for _ in range(3):
            assert len((await http.get("/bytes/3000000")).content) == 3_000_000
        assert unread.status_code == 200
    assert (await http.get("/")).status_code == 200
    assert server.stats.resets == [(1, CANCEL)]
    assert server.stats.tcp_connections == 1


@pytest.mark.slow
async def test_a_timeout_ends_only_one_stream(lib: Any, server: Server, http: Any) -> None:
    sizes = []

    async def sibling() -> None:
        sizes.append(len((await http.get("/stream/10/1000?delay=0.05")).content))

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(sibling)
        await until(lambda: server.stats.streams_open == 5)
        with pytest.raises(lib.ReadTimeout):
            await http.get("/hang", timeout=0.1)
        with pytest.raises(lib.ReadTimeout):
            await http.get("/stream/2/1000?delay=9", timeout=0.1)
    assert sizes == [10_000] * 5
    assert [code for _, code in server.stats.resets] == [CANCEL, CANCEL]
    assert server.stats.tcp_connections == 1


async def test_a_graceful_goaway_fails_no_request(lib: Any, server: Server, http: Any) -> None:
    async with http.stream("GET", "/stream/5/1000?delay=0.05") as response:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.drain)
            await trio.sleep(0.01)
            assert (await http.get("/")).status_code == 200
            assert len(await response.aread()) == 5000
    assert server.stats.tcp_connections == 2


async def test_goaway_below_a_request_sends_it_again(lib: Any, server: Server, http: Any) -> None:
    async def go_away() -> None:
        await until(lambda: server.stats.streams_opened == 1)
        await server.goaway(last_stream_id=0)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_away)
        assert (await http.post("/slow/0.1", content=b"x")).status_code == 200
    assert server.stats.tcp_connections == 2


@pytest.mark.slow
@pytest.mark.parametrize("size", [0, 100, 5_000_000])
async def test_a_refused_stream_is_sent_again(size: int, lib: Any) -> None:
    data = os.urandom(size)
    async with open_server(settings={INITIAL_WINDOW_SIZE: 65535}) as server:

        async def refuse() -> None:
            for times in (1, 2):
                await until(lambda: server.stats.streams_opened == times)  # noqa: B023
                server.reset_streams(REFUSED_STREAM)

        async with lib.AsyncClient(transport=own(server)) as http, trio.open_nursery() as nursery:
            nursery.start_soon(refuse)
            path = "/upload" if size > 100_000 else "/slow/0.05"
            response = await http.post(server.url + path, content=data)
            assert response.status_code == 200
            if path == "/upload":
                assert response.json()["sha256"] == hashlib.sha256(data).hexdigest()
        assert server.stats.streams_opened == 3
        assert server.stats.tcp_connections == 1


class Mine(Exception):
    pass


async def test_a_stream_block_may_raise_or_be_cancelled(lib: Any, server: Server, http: Any) -> None:
    with pytest.raises(Mine):
        async with http.stream("GET", "/stream/10/1000?delay=1"):
            raise Mine
    with trio.move_on_after(0.05) as scope:
        async with http.stream("GET", "/stream/10/1000?delay=1") as response:
            await response.aread()
    assert scope.cancelled_caught
    await until(lambda: len(server.stats.resets) == 2)
    assert json.loads((await http.get("/json")).content)["method"] == "GET"
