"""The testing server over HTTP/1.1, seen by a client on bare h11 and wsproto."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import trio
from wsproto.events import CloseConnection, Ping, Pong
from wsproto.extensions import PerMessageDeflate

from toolkit.inside import routes_of_the_testing_server
from toolkit.plain_client import open_plain_client
from toolkit.plain_http1 import ACCEPT, KEY, Answer, PlainHTTP1, open_plain_http1
from trio_h2ws.testing import Server, open_server

ALPN = ("h2", "http/1.1")


@pytest.fixture(params=["tls", "clear", "memory", "memory-clear"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    kind: str = request.param
    async with open_server(tls="clear" not in kind, memory="memory" in kind, alpn=ALPN) as server:
        yield server
    stats = server.stats
    assert stats.errors == []
    assert stats.connections_open == stats.streams_open == stats.websockets_open == 0
    assert stats.streams_opened == stats.requests + stats.extended_connects + stats.upgrades
    assert not server.connections
    assert not server.http1_connections


@pytest.fixture
async def http1(server: Server) -> AsyncIterator[PlainHTTP1]:
    async with open_plain_http1(server) as http1:
        yield http1


async def eventually(condition: Callable[[], object]) -> None:
    """Wait for the server, which runs in the same thread."""
    for _ in range(1000):
        if condition():
            return
        await trio.sleep(0.001)
    raise AssertionError("it did not happen")


def pattern(count: int) -> bytes:
    return (bytes(range(256)) * (count // 256 + 1))[:count]


async def send_until_held(server: Server, send: Callable[[bytes], Awaitable[None]]) -> None:
    """Write and never read: the server must stop reading, and hold only so much that it has not sent."""
    sent = 0
    with trio.move_on_after(1):
        while sent < 100_000_000:
            await send(b"x" * 16384)
            sent += 16384
        raise AssertionError("the server never stops reading")
    stats = server.stats
    assert stats.bytes_in - stats.bytes_out < 1_500_000


async def test_routes_are_served_on_one_connection(server: Server, http1: PlainHTTP1) -> None:
    answer = await http1.request("/")
    assert (answer.status, answer.http_version) == (200, "1.1")
    assert b"hello" in answer.body
    assert (await http1.request("/status/418")).status == 418
    nothing = await http1.request("/status/204")
    assert (nothing.status, bytes(nothing.body), "content-length" in nothing.headers) == (204, b"", False)
    assert (await http1.request("/status/304")).status == 304
    assert (await http1.request("/status/599")).status == 599
    assert (await http1.request("/nope")).status == 404
    assert (await http1.request("/bytes/many")).status == 400
    assert (await http1.request("/slow/0.01")).status == 200
    assert (await http1.request("/redirect/2")).headers["location"] == "/redirect/1"
    assert gzip.decompress((await http1.request("/gzip")).body).startswith(b"hello")
    assert json.loads((await http1.request("/json?a=1")).body)["target"] == "/json?a=1"
    assert json.loads((await http1.request("http://localhost:1/json?a=1")).body)["target"] == "/json?a=1"
    assert ["x-thing", "é"] in json.loads((await http1.request("/headers", x_thing="é")).body)
    # A body that no route asks for is read, so that the next request can be found.
    assert (await http1.request("/json", "POST", pattern(300_000))).status == 200
    assert (await http1.request("elsewhere:443", "CONNECT")).status == 501
    assert (await http1.request("/", upgrade="h2c", connection="upgrade")).status == 200
    stats = server.stats
    assert (stats.tcp_connections, stats.requests, stats.upgrades, stats.extended_connects) == (1, 16, 0, 0)
    assert stats.tls_handshakes == (1 if server.url.startswith("https") else 0)
    assert stats.bytes_in > 300_000
    assert stats.bytes_out > 1000
    assert (len(server.http1_connections), server.connections) == (1, [])


async def test_bytes_streams_and_head_are_framed(http1: PlainHTTP1) -> None:
    answer = await http1.request("/bytes/100001")
    assert (answer.headers["content-length"], bytes(answer.body)) == ("100001", pattern(100001))
    head = await http1.request("/bytes/100001", "HEAD")
    assert (head.headers["content-length"], bytes(head.body)) == ("100001", b"")
    for path in ("/stream/3/5", "/stream/3/5?delay=0.01"):
        answer = await http1.request(path)
        assert answer.headers["transfer-encoding"] == "chunked"
        assert bytes(answer.body) == b"\0\0\0\0\0\1\1\1\1\1\2\2\2\2\2"
        assert bytes((await http1.request(path, "HEAD")).body) == b""
    assert bytes((await http1.request("/echo", "HEAD")).body) == b""
    assert (await http1.request("/slow/0.01", "HEAD")).status == 200


async def test_trailers_and_informational_responses_are_sent(http1: PlainHTTP1) -> None:
    answer = await http1.request("/trailers")
    assert (bytes(answer.body), answer.trailers["x-count"]) == (b"abc", "3")
    answer = await http1.request("/informational/3")
    assert (answer.informational, answer.status) == ([103] * 3, 200)


async def test_echo_is_full_duplex(http1: PlainHTTP1) -> None:
    answer = await http1.start("/echo", "POST", content_type="text/x-thing", transfer_encoding="chunked")
    await http1.send(b"first")
    while answer.body != b"first":
        await http1.step()
    assert answer.headers["content-type"] == "text/x-thing"
    for _ in range(100):
        await http1.send(b"x" * 10_000)
    await http1.end(x_sum="42")
    await http1.answer()
    assert (len(answer.body), answer.trailers) == (1_000_005, {"x-sum": "42"})
    assert (await http1.request("/echo", "PUT", b"again")).body == b"again"


async def test_upload_counts_and_hashes(http1: PlainHTTP1) -> None:
    said = json.loads((await http1.request("/upload", "POST", pattern(3_000_000))).body)
    assert said == {"bytes": 3_000_000, "sha256": hashlib.sha256(pattern(3_000_000)).hexdigest()}


@pytest.mark.slow
@pytest.mark.parametrize("tls", [True, False])
async def test_echo_holds_a_client_that_does_not_read(tls: bool) -> None:
    async with open_server(tls=tls, alpn=ALPN) as server, open_plain_http1(server) as http1:
        await http1.start("/echo", "POST", transfer_encoding="chunked")
        await send_until_held(server, http1.send)
        async with open_plain_http1(server) as other:
            assert (await other.request("/")).status == 200


async def test_expect_continue_is_answered(http1: PlainHTTP1) -> None:
    for path in ("/upload", "/echo"):
        answer = await http1.start(path, "POST", expect="100-continue", content_length="5")
        while not answer.informational:
            await http1.step()
        assert answer.informational == [100]
        await http1.send(b"12345")
        await http1.end()
        await http1.answer()
        assert answer.status == 200
    # A route that does not read the body refuses it: it is unknown whether the body will follow.
    answer = await http1.start("/status/403", "POST", expect="100-continue", content_length="5")
    assert (await http1.answer()).informational == []
    assert (answer.status, answer.headers["connection"]) == (403, "close")
    assert await http1.closed() == b""


@pytest.mark.slow
async def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    transport = await server.open_stream()
    if server.ssl_context is not None:
        transport = trio.SSLStream(transport, server.ssl_context, server_hostname="localhost", https_compatible=True)
    wire = bytearray()

    async def write() -> None:
        wait = b"HEAD /slow/0.05 HTTP/1.1\r\nhost: x\r\n\r\n"
        await transport.send_all(wait + b"GET /json HTTP/1.1\r\nhost: x\r\n\r\n" * 5000)
        await transport.send_all(b"GET /bytes/3 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write)
        while piece := await transport.receive_some(65536):
            wire += piece
    assert wire.count(b"HTTP/1.1 200 OK\r\n") == 5002
    assert wire.endswith(b"\r\n\r\n\0\1\2")
    await trio.aclose_forcefully(transport)


async def test_http10_gets_no_chunks_and_a_close(server: Server) -> None:
    for path, body in [("/bytes/3", b"\0\1\2"), ("/stream/2/2", b"\0\0\1\1"), ("/trailers", b"abc")]:
        async with open_plain_http1(server, clean=True) as http1:
            # Over TLS only close_notify distinguishes the end of such a body from a cut.
            await http1.transport.send_all(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            head, _, rest = (await http1.closed()).partition(b"\r\n\r\n")
            assert (head.startswith(b"HTTP/1.1 200"), b"chunked" in head, rest) == (True, False, body)
    async with open_plain_http1(server) as http1:
        await http1.transport.send_all(b"GET /informational/3 HTTP/1.0\r\nupgrade: websocket\r\n\r\n")
        assert (await http1.closed()).startswith(b"HTTP/1.1 200 OK")


async def test_resets_cut_the_connection(server: Server) -> None:
    for path in ("/reset/7", "/reset/0"):
        async with open_plain_http1(server) as http1:
            await http1.start(path)
            await http1.end()
            assert await http1.closed() == b""
    async with open_plain_http1(server) as http1:
        await http1.start("/partial/100000/2")
        await http1.end()
        wire = await http1.closed()
        assert wire.startswith(b"HTTP/1.1 200 OK")
        assert len(wire) > 100_000
        assert not wire.endswith(b"\r\n0\r\n\r\n")
    async with open_plain_http1(server) as http1:
        await http1.start("/early/413", "POST", content_length="1000000000")
        answer = await http1.answer()
        assert (answer.status, bytes(answer.body), answer.headers["connection"]) == (413, b"enough\n", "close")
        assert await http1.closed() == b""
    async with open_plain_http1(server) as http1:
        await http1.start("/hang")
        await http1.end()
        await eventually(lambda: server.stats.streams_open)
        server.reset_streams(8)
        assert await http1.closed() == b""


async def test_a_client_that_leaves_ends_its_exchange(server: Server) -> None:
    for path in ("/hang", "/slow/1000", "/stream/1000/10?delay=1", "/upload", "/echo"):
        async with open_plain_http1(server) as http1:
            await http1.start(path, "POST", content_length="5")
            await http1.send(b"12345" if path == "/hang" else b"1")
            await eventually(lambda: server.stats.streams_open == 1)
        await eventually(lambda: server.stats.streams_open == 0)
    await eventually(lambda: server.stats.connections_open == 0)
    assert server.stats.protocol_errors == []


async def test_a_half_closed_client_is_answered() -> None:
    async with open_server(tls=False) as server, open_plain_http1(server) as http1:
        assert isinstance(http1.transport, trio.SocketStream)
        await http1.transport.send_all(b"GET /bytes/1000000 HTTP/1.1\r\nhost: x\r\n\r\n")
        await http1.transport.send_eof()
        assert len(await http1.closed()) > 1_000_000


async def test_invalid_http1_is_an_error(server: Server) -> None:
    for wire, status in [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),  # no Host
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"x" * 300_000, b"431"),
        (b"POST /upload HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n", b"400"),
        (b"POST /echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n", b"200"),
    ]:
        server.stats.protocol_errors.clear()
        async with open_plain_http1(server) as http1:
            await http1.transport.send_all(wire)
            assert (await http1.closed())[9:12] == status
        assert len(server.stats.protocol_errors) == 1
    async with open_plain_http1(server) as http1:
        assert (await http1.request("/")).status == 200


async def test_a_bug_of_the_server_is_recorded(
    http1: PlainHTTP1, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    def boom(exchange: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setitem(routes_of_the_testing_server(), "boom", boom)
    await http1.start("/boom")
    await http1.end()
    assert await http1.closed() == b""
    assert [str(error) for error in server.stats.errors] == ["boom"]
    server.stats.errors.clear()


@pytest.mark.parametrize("verb", ["goaway", "drain"])
@pytest.mark.parametrize("tls", [True, False])
async def test_goaway_and_drain_close_after_the_exchange(
    tls: bool, verb: str, autojump_clock: trio.abc.Clock
) -> None:
    async with (
        open_server(tls=tls, memory=True, alpn=ALPN) as server,
        open_plain_http1(server) as idle,
        open_plain_http1(server) as busy,
        open_plain_http1(server) as begun,
        trio.open_nursery() as nursery,
    ):
        await idle.request("/")
        await busy.start("/slow/10")
        await busy.end()
        answer = await begun.start("/stream/3/10?delay=10")
        await begun.end()
        while not answer.body:
            await begun.step()
        nursery.start_soon(getattr(server, verb))
        assert await idle.closed() == b""
        assert (await busy.answer()).headers["connection"] == "close"
        assert len((await begun.answer()).body) == 30
        assert await busy.closed() == await begun.closed() == b""


async def test_freeze_inject_and_abort_work(server: Server, http1: PlainHTTP1) -> None:
    await http1.request("/")
    server.update_settings({3: 5})
    server.freeze()
    await http1.start("/bytes/1")
    await http1.end()
    with trio.move_on_after(0.05) as scope:
        await http1.answer()
    assert scope.cancelled_caught
    server.thaw()
    assert (await http1.answer()).status == 200
    server.inject(b"unasked bytes")
    assert await http1.transport.receive_some(100) == b"unasked bytes"
    server.abort()
    assert await http1.closed() == b""
    await eventually(lambda: not server.http1_connections)


async def test_a_websocket_echoes(server: Server, http1: PlainHTTP1) -> None:
    assert (await http1.request("/")).status == 200
    ws = await http1.accepted("/ws/echo")
    assert ws.answer.headers["sec-websocket-accept"] == ACCEPT
    assert "sec-websocket-protocol" not in ws.answer.headers
    await ws.send("hello é")
    assert await ws.receive() == "hello é"
    for _ in range(3):
        await ws.send(pattern(300_000))
        assert await ws.receive() == pattern(300_000)
    await ws.say(Ping(payload=b"p"))
    assert await ws.event() == Pong(payload=b"p")
    stats = server.stats
    assert (stats.requests, stats.upgrades, stats.websockets_open, stats.streams_open) == (1, 1, 1, 1)
    await ws.say(CloseConnection(code=1000, reason="done"))
    assert await ws.closing() == CloseConnection(code=1000, reason="done")
    assert await http1.closed() == b""
    assert (stats.websockets_open, stats.streams_open) == (0, 0)


async def test_frames_in_one_read_with_the_handshake_are_served(http1: PlainHTTP1) -> None:
    # No client may do that before it has the answer, but one that does must not wait for ever.
    lines = ["GET /ws/echo HTTP/1.1", "host: x", "upgrade: websocket", "connection: keep-alive, Upgrade"]
    lines += [f"sec-websocket-key: {KEY}", "sec-websocket-version: 13", "", ""]
    await http1.transport.send_all("\r\n".join(lines).encode() + b"\x81\x82\0\0\0\0hi\x88\x80\0\0\0\0")
    head, _, frames = (await http1.closed()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols")
    assert frames == b"\x81\x02hi\x88\x00"


async def test_subprotocol_and_deflate_are_negotiated(http1: PlainHTTP1) -> None:
    offers = "x-other, permessage-deflate; client_max_window_bits=8, permessage-deflate"
    ws = await http1.accepted(
        "/ws/subprotocol",
        [PerMessageDeflate()],
        sec_websocket_protocol="v9, v2, v1",
        sec_websocket_extensions=offers,
    )
    assert ws.answer.headers["sec-websocket-protocol"] == "v2"
    assert ws.answer.headers["sec-websocket-extensions"] == "permessage-deflate"
    await ws.send("x" * 100_000)
    assert await ws.receive() == "x" * 100_000


async def test_refused_websockets_keep_the_connection(server: Server, http1: PlainHTTP1) -> None:
    for path, headers, status in [
        ("/ws/refuse/403", {}, 403),
        ("/ws/nope", {}, 404),
        ("/elsewhere", {}, 404),
        ("/ws/close/x", {}, 400),
        ("/ws/echo", {"sec_websocket_version": "8"}, 426),
    ]:
        answer = await http1.websocket(path, None, **headers)
        assert isinstance(answer, Answer)
        assert (answer.status, bool(answer.body)) == (status, True)
    await http1.start("/ws/echo", upgrade="websocket", connection="Upgrade", sec_websocket_version="13")
    await http1.end()
    assert (await http1.answer()).status == 400  # no key
    assert server.stats.upgrades == 6
    assert (await http1.request("/ws/echo")).status == 404  # an ordinary request
    assert (await http1.accepted("/ws/echo")).answer.informational == [101]


async def test_the_server_can_close_a_websocket(server: Server) -> None:
    async with open_plain_http1(server, clean=True) as http1:
        ws = await http1.accepted("/ws/close/4000")
        assert await ws.receive() == "bye"
        assert await ws.closing() == CloseConnection(code=4000, reason="closed with 4000")
        await ws.say(CloseConnection(code=4000))
        assert await http1.closed() == b""
    async with open_plain_http1(server, clean=True) as http1:
        ws = await http1.accepted("/ws/close/1000?end=stream")
        await ws.receive()
        assert (await ws.closing()).code == 1000
        assert await http1.closed() == b""
    for path in ("/ws/close/1006", "/ws/reset/2"):
        async with open_plain_http1(server, clean=True) as http1:
            ws = await http1.accepted(path)
            assert isinstance(await ws.receive(), str)
            if server.url.startswith("https"):
                with pytest.raises(trio.BrokenResourceError):
                    await http1.closed()
            else:
                assert await http1.closed() == b""


async def test_a_close_without_an_answer_is_bounded_in_time() -> None:
    async with open_server(tls=False, close_timeout=0.05) as server, open_plain_http1(server) as http1:
        ws = await http1.accepted("/ws/close/1000")
        await ws.receive()
        assert (await ws.closing()).code == 1000
        assert await http1.closed() == b""
        assert server.stats.websockets_open == 0


async def test_websocket_routes_push_ping_and_stay_silent(server: Server) -> None:
    async with open_plain_http1(server) as http1:
        ws = await http1.accepted("/ws/push/100/1000")
        assert [await ws.receive() for _ in range(100)] == [b"x" * 1000] * 100
        assert (await ws.closing()).code == 1000
    async with open_plain_http1(server) as http1:
        ws = await http1.accepted("/ws/ping/3")
        for _ in range(3):
            ping = await ws.event()
            assert isinstance(ping, Ping)
            await ws.say(ping.response())
        await ws.send("how many?")
        assert await ws.receive() == "3"
    async with open_plain_http1(server) as http1:
        ws = await http1.accepted("/ws/silent")
        await ws.send(b"x" * 3_000_000)
        await ws.say(Ping())
        with trio.move_on_after(0.05) as scope:
            await ws.event()
        assert scope.cancelled_caught
    async with open_plain_http1(server) as http1:
        with trio.move_on_after(0.05) as scope:
            await http1.websocket("/ws/hang")
        assert scope.cancelled_caught
    await eventually(lambda: server.stats.connections_open == 0)


@pytest.mark.slow
@pytest.mark.parametrize("tls", [True, False])
async def test_a_websocket_that_does_not_read_is_held_back(tls: bool) -> None:
    async with open_server(tls=tls, alpn=ALPN) as server, open_plain_http1(server) as http1:
        ws = await http1.accepted("/ws/echo")
        await send_until_held(server, ws.send)


async def test_an_invalid_websocket_frame_closes_with_1002(http1: PlainHTTP1) -> None:
    ws = await http1.accepted("/ws/echo")
    await http1.transport.send_all(b"\x81\x05hello")  # a client's frame must be masked
    assert (await ws.closing()).code == 1002
    assert await http1.closed() == b""


async def test_verbs_reach_websockets_of_both_versions(server: Server) -> None:
    async with open_plain_http1(server) as first, open_plain_client(server) as http2:
        over_http1 = await first.accepted("/ws/echo")
        over_http2 = await http2.websocket("/ws/echo")
        assert len(server.websockets) == 2
        server.broadcast("all")
        assert await over_http1.receive() == await over_http2.receive() == "all"
        server.close_websockets(1001, "restart")
        assert (await over_http1.closing()).code == (await over_http2.closing()).code == 1001
        server.reset_streams(2)
        assert await first.closed() == b""
        assert server.websockets == []
        assert (server.stats.upgrades, server.stats.extended_connects) == (1, 1)


async def test_the_client_chooses_the_version(server: Server) -> None:
    async with open_plain_http1(server) as http1, open_plain_client(server) as http2:
        assert (await http1.request("/")).status == 200
        assert (await http2.get("/")).status == 200
        assert (len(server.connections), len(server.http1_connections)) == (1, 1)


async def test_without_alpn_the_first_bytes_decide(server: Server) -> None:
    async with open_plain_http1(server, alpn=()) as http1:
        assert (await http1.request("/")).status == 200


async def test_only_versions_in_alpn_are_served() -> None:
    async with open_server(alpn=("http/1.1",)) as server, open_plain_client(server) as http2:
        with pytest.raises(AssertionError, match="closed the connection"):
            await http2.get("/")
        assert (server.connections, server.stats.requests) == ([], 0)
        async with open_plain_http1(server) as http1:
            await http1.transport.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            assert (await http1.closed()).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("over_http2", ["silent", 200, 403, 501, 0, 2, 13])
async def test_websocket_over_http2_sets_the_answer(over_http2: int | str, autojump_clock: trio.abc.Clock) -> None:
    async with open_server(alpn=ALPN, memory=True, websocket_over_http2=over_http2) as server:  # type: ignore[arg-type]
        async with open_plain_client(server) as http2:
            with trio.move_on_after(1) as scope:
                ws = await http2.websocket("/ws/echo")
                answer = await http2.answer(ws.stream_id)
                assert (answer.reset if answer.reset is not None else answer.status) == over_http2
                assert bool(answer.body) == (answer.reset is None)
            assert scope.cancelled_caught == (over_http2 == "silent")
            assert (await http2.get("/")).status == 200
        async with open_plain_http1(server) as http1:
            over_http1 = await http1.accepted("/ws/echo")
            await over_http1.send("here I am")
            assert await over_http1.receive() == "here I am"
        assert (server.stats.requests, server.stats.extended_connects, server.stats.upgrades) == (1, 1, 1)
