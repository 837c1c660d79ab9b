"""HTTP/1.1: requests on the wire, and bodies that are sent."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from trio_h2ws.testing import open_server


async def echo(peer: Peer) -> None:
    """Send the body back while it arrives."""
    while (request := await peer.head()) is not None:
        await peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while piece := await peer.piece():
            await peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        trailers = "".join(f"{name}: {value}\r\n" for name, value in request.trailers.items())
        await peer.send(f"0\r\n{trailers}\r\n".encode())


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        await trio.lowlevel.checkpoint()
        yield piece


async def test_a_request_has_the_expected_head() -> None:
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.respond(200)

    async with open_http1(keep) as server, server.open_client(headers={"x-mine": "1"}) as client:
        await client.get("/a?b=c%20d", headers=[("X-Twice", "1"), ("X-Twice", "2")])
        await client.post("/", json={"a": 1})
        await client.get("/", headers={"host": "other.test"})
        await client.post("/", content=b"")
    get, post, host, empty = seen
    assert (get.method, get.target) == ("GET", "/a?b=c%20d")
    assert get.headers["host"] == f"localhost:{server.port}"
    assert get.raw_names[0] == b"Host"
    assert get.headers["x-mine"] == "1"
    assert [value for name, value in get.fields if name == "x-twice"] == ["1", "2"]
    assert not any(name.startswith(":") for name, _ in get.fields)
    assert "content-length" not in get.headers
    assert "transfer-encoding" not in get.headers
    assert (post.method, post.body, post.headers["content-length"]) == ("POST", b'{"a":1}', "7")
    assert post.headers["content-type"] == "application/json"
    assert host.headers["host"] == "other.test"
    assert empty.headers["content-length"] == "0"


async def test_a_host_header_of_the_client_replaces_the_default() -> None:
    """Never two of them: a server answers that with 400 (RFC 9112, section 3.2)."""
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append([value for name, value in request.fields if name == "host"])
            await peer.respond(200)

    async with open_http1(keep) as server, server.open_client(headers={"Host": "mine.test"}) as client:
        await client.get("/")
        await client.get("/", headers={"x": "y"})
        await client.get("/", headers={"host": "other.test"})
    assert seen == [["mine.test"], ["mine.test"], ["other.test"]]


async def test_headers_may_come_from_a_generator() -> None:
    """The generator is read once, although headers are first checked and then sent."""
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request.headers.get("x-mine"))
            await peer.respond(403)

    async with open_http1(keep) as server, server.open_client() as client:
        await client.get("/", headers=(pair for pair in [("x-mine", "1")]))
        with pytest.raises(trio_h2ws.WebSocketRejected):
            await client.connect_websocket("/", headers=(pair for pair in [("x-mine", "1")]))
    assert seen == ["1", "1"]


@pytest.mark.parametrize("method", ["FOO!", "A.B", "M-SEARCH", "!#$%&'*+-.^_`|~1", "patch"])
async def test_every_token_is_a_method(method: str) -> None:
    """RFC 9110, section 9.1."""
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request.method)
            await peer.respond(200)

    async with open_http1(keep) as server, server.open_client() as client:
        assert (await client.request(method, "/")).method == method.upper()
    async with open_server() as server, trio_h2ws.open_client(ssl_context=server.ssl_context) as client:
        assert (await client.request(method, f"{server.url}/json")).json()["method"] == method.upper()
    assert seen == [method.upper()]


async def test_names_are_written_in_their_usual_case() -> None:
    """Case does not matter, but some servers look for `Sec-WebSocket-Key` as browsers write it."""
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request.raw_names)
            if request.headers.get("upgrade") == "websocket":
                await (await peer.accept_websocket(request)).echo()
                return
            await peer.respond(200)

    async with open_http1(keep) as server, server.open_client() as client:
        await client.get("/", headers={"te": "trailers", "dnt": "1", "x-my-own": "1", "if-none-match": '"a"'})
        async with client.websocket("/", subprotocols=["a"], compression=trio_h2ws.DeflateOptions()):
            pass
    request, handshake = seen
    assert {b"Host", b"TE", b"DNT", b"X-My-Own", b"If-None-Match", b"User-Agent", b"Accept-Encoding"} <= {*request}
    assert {name for name in handshake if name.lower().startswith(b"sec-")} == {
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Version",
        b"Sec-WebSocket-Protocol",
        b"Sec-WebSocket-Extensions",
    }


async def test_a_body_of_unknown_length_is_chunked() -> None:
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.respond(200)

    async with open_http1(keep) as server, server.open_client() as client:
        await client.post("/", content=pieces(b"one", b"", b"two" * 100_000), trailers={"x-sum": "3"})
        await client.put("/", content=iter([b"a", b"b"]))
        await client.post("/", content=pieces(b"abc"), headers={"content-length": "3"})
        assert server.accepted == 1
    first, second, sized = seen
    assert first.headers["transfer-encoding"] == "chunked"
    assert first.body == b"one" + b"two" * 100_000
    assert first.trailers == {"x-sum": "3"}
    assert second.body == b"ab"
    assert "transfer-encoding" not in sized.headers
    assert (sized.headers["content-length"], sized.body) == ("3", b"abc")


WITH_TRAILERS: dict[str, tuple[Callable[[], Any], dict[str, str], bytes]] = {
    "bytes": (lambda: b"body", {}, b"body"),
    "str": (lambda: "body", {}, b"body"),
    "memoryview": (lambda: memoryview(b"body"), {}, b"body"),
    "large bytes": (lambda: b"body" * 100_000, {}, b"body" * 100_000),
    "list": (lambda: [b"bo", b"dy"], {}, b"body"),
    "file": (lambda: io.BufferedReader(io.BytesIO(b"body")), {}, b"body"),
    "empty bytes": (lambda: b"", {}, b""),
    "no body": (lambda: None, {}, b""),
    "bytes with a length": (lambda: b"body", {"content-length": "4"}, b"body"),
    "parts with a length": (lambda: iter([b"bo", b"dy"]), {"content-length": "4"}, b"body"),
    "no body with a length": (lambda: None, {"content-length": "0"}, b""),
}


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
@pytest.mark.parametrize("kind", WITH_TRAILERS)
async def test_trailers_arrive_after_any_body(kind: str, method: str) -> None:
    """They were dropped after a body with a content-length: HTTP/1.1 has trailers only after a chunked one."""
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.respond(200)

    content, headers, body = WITH_TRAILERS[kind]
    async with open_http1(keep) as server, server.open_client() as client:
        await client.request(method, "/", content=content(), headers=headers, trailers={"x-sum": "5"})
        await client.request(method, "/")
        assert server.accepted == 1
    with_trailers, _ = seen
    assert with_trailers.trailers == {"x-sum": "5"}
    assert with_trailers.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in with_trailers.headers
    assert with_trailers.body == body


async def test_no_trailers_are_not_trailers() -> None:
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.respond(200)

    async with open_http1(keep) as server, server.open_client() as client:
        await client.post("/", content=b"body", trailers={})
        await client.get("/", trailers=[])
    post, get = seen
    assert (post.headers["content-length"], post.body) == ("4", b"body")
    assert not {"content-length", "transfer-encoding"} & {*get.headers}


async def test_a_file_has_a_length_and_a_list_as_well(tmp_path: Path) -> None:
    """With trailers they are chunked: HTTP/1.1 has trailers nowhere else (RFC 9112, section 7.1.2)."""
    seen = []

    async def keep(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            seen.append(request)
            await peer.respond(200)

    path = tmp_path / "file"
    path.write_bytes(b"12345" * 50_000)
    async with open_http1(keep) as server, server.open_client() as client:
        with path.open("rb") as file:
            contents = [file, [b"12345"] * 50_000, [b"12", b"345"]]
            for content in contents:
                await client.post("/", content=content)
                file.seek(0)
                await client.post("/", content=content, trailers={"x-sum": "5"})
        assert server.accepted == 1
    for request, with_trailers in zip(seen[::2], seen[1::2], strict=True):
        assert request.headers["content-length"] == str(len(request.body))
        assert "transfer-encoding" not in request.headers
        assert "content-length" not in with_trailers.headers
        assert with_trailers.headers["transfer-encoding"] == "chunked"
        assert with_trailers.trailers == {"x-sum": "5"}
        assert with_trailers.body == request.body
    assert [len(request.body) for request in seen[::2]] == [250_000, 250_000, 5]


@pytest.mark.parametrize("body", [b"ab", b"abcd"])
async def test_a_body_that_belies_its_length_is_an_error(body: bytes) -> None:
    async def keep(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.respond(200)

    async with open_http1(keep) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.LocalProtocolError, match="content-length"):
            await client.post("/", content=pieces(body), headers={"content-length": "3"})
        assert (await client.get("/")).status == 200


async def test_a_streamed_echo_is_full_duplex() -> None:
    send, receive = trio.open_memory_channel[bytes](0)
    async with open_http1(echo) as server, server.open_client() as client:
        async with client.stream("POST", "/", content=receive, trailers={"x-end": "1"}) as response:
            assert response.status == 200
            for i in range(10):
                await send.send(b"%d" % i)
                assert await response.__anext__() == b"%d" % i
            await send.aclose()
            assert await response.read() == b""
            assert response.trailers["x-end"] == "1"
        # The exchange is complete, so the connection is used again.
        assert (await client.post("/", content=b"again")).content == b"again"
        assert server.accepted == 1


async def test_large_bodies_pass_both_ways() -> None:
    async with open_http1(echo) as server, server.open_client() as client:
        body = bytes(range(256)) * 20_000
        assert (await client.post("/", content=body)).content == body


async def test_an_error_of_the_body_reaches_the_caller() -> None:
    async def bad() -> AsyncIterator[bytes]:
        yield b"first"
        await trio.sleep(0.01)
        raise RuntimeError("mine")

    async with open_http1(echo) as server, server.open_client() as client:
        with pytest.raises(RuntimeError, match="mine"):
            await client.post("/", content=bad())
        assert (await client.post("/", content=b"next")).content == b"next"


async def test_an_early_response_ends_the_upload() -> None:
    async def early(peer: Peer) -> None:
        if await peer.head() is None:
            return
        await peer.respond(413, b"too much", [("connection", "close")])
        await peer.gone()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 10_000
            await trio.lowlevel.checkpoint()

    async with open_http1(early) as server, server.open_client() as client:
        response = await client.post("/", content=endless())
        assert (response.status, response.content) == (413, b"too much")
