"""The testing server over HTTP/2, seen by a client that shares nothing with trio_h2ws: bare h2 and wsproto."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import AsyncIterator

import pytest
import trio
from h2.settings import SettingCodes
from wsproto.events import CloseConnection, Ping, Pong
from wsproto.extensions import PerMessageDeflate

from toolkit.inside import routes_of_the_testing_server, set_max_message, set_max_owed
from toolkit.plain_client import Answer, PlainClient, open_plain_client
from trio_h2ws.testing import Server, open_server


@pytest.fixture(params=["tls", "clear", "memory", "memory-clear"])
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    kind: str = request.param
    async with open_server(tls="clear" not in kind, memory="memory" in kind) as server:
        yield server
    assert server.stats.errors == []
    assert server.stats.connections_open == server.stats.streams_open == server.stats.websockets_open == 0


@pytest.fixture
async def client(server: Server) -> AsyncIterator[PlainClient]:
    async with open_plain_client(server) as client:
        yield client


async def eventually(condition: object) -> None:
    """Wait for the server, which runs in the same thread."""
    for _ in range(1000):
        if condition():  # type: ignore[operator]
            return
        await trio.sleep(0.001)
    raise AssertionError("it did not happen")


def pattern(count: int) -> bytes:
    return (bytes(range(256)) * (count // 256 + 1))[:count]


async def test_simple_routes_are_served(client: PlainClient) -> None:
    assert b"hello" in (await client.get("/")).body
    assert (await client.get("/status/418")).status == 418
    nothing = await client.get("/status/204")
    assert (nothing.status, bytes(nothing.body)) == (204, b"")
    assert "content-length" not in nothing.headers
    assert (await client.get("/nope")).status == 404
    assert (await client.get("/bytes/1/2")).status == 404
    for path in ("/bytes/many", "/bytes/-1", "/status/100", "/slow/nan", "/reset/4294967296", "/stream/1/1?delay=-1"):
        assert (await client.get(path)).status == 400, path
    assert json.loads((await client.get("/json")).body)["hello"] == "world"
    answer = await client.get("/gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(answer.body).startswith(b"hello")
    assert (await client.get("/redirect/2")).headers["location"] == "/redirect/1"
    assert (await client.get("/redirect/0")).headers["location"] == "/"


async def test_headers_are_echoed(client: PlainClient) -> None:
    pairs = json.loads(
        (await client.get("/headers?a=1", headers={"x-thing": "1", "X-Thing".lower() + "2": "é"})).body
    )
    assert [":path", "/headers?a=1"] in pairs
    assert ["x-thing", "1"] in pairs


async def test_bytes_are_served_and_head_has_no_body(client: PlainClient) -> None:
    answer = await client.get("/bytes/100001")
    assert answer.headers["content-length"] == "100001"
    assert bytes(answer.body) == pattern(100001)
    head = await client.get("/bytes/100001", "HEAD")
    assert (head.headers["content-length"], bytes(head.body)) == ("100001", b"")
    assert bytes((await client.get("/bytes/0")).body) == b""


async def test_stream_sends_pieces_with_pauses(client: PlainClient) -> None:
    answer = await client.get("/stream/3/5")
    assert "content-length" not in answer.headers
    assert bytes(answer.body) == b"\0\0\0\0\0\1\1\1\1\1\2\2\2\2\2"
    before = trio.current_time()
    answer = await client.get("/stream/3/100000?delay=0.02")
    assert len(answer.body) == 300000
    assert trio.current_time() - before >= 0.04
    assert bytes((await client.get("/stream/0/5")).body) == b""


async def test_trailers_and_informational_responses_are_sent(client: PlainClient) -> None:
    answer = await client.get("/trailers")
    assert (bytes(answer.body), answer.trailers["x-count"]) == (b"abc", "3")
    answer = await client.get("/informational/3")
    assert [head[":status"] for head in answer.informational] == ["103"] * 3
    assert answer.status == 200


async def test_echo_is_full_duplex(client: PlainClient) -> None:
    stream_id = client.start("/echo", "POST", end=False, headers={"content-type": "text/x-thing"})
    answer = client.answers[stream_id]
    await client.send(stream_id, b"first")
    await client.until(lambda: answer.body == b"first")
    assert answer.headers["content-type"] == "text/x-thing"
    await client.send(stream_id, b"x" * 5_000_000)
    client.h2.send_headers(stream_id, [("x-sum", "42")], end_stream=True)
    await client.answer(stream_id)
    assert len(answer.body) == 5_000_005
    assert answer.trailers == {"x-sum": "42"}


@pytest.mark.slow
async def test_echo_holds_a_client_that_does_not_read(client: PlainClient) -> None:
    stream_id = client.start("/echo", "POST", end=False)
    client.unread.add(stream_id)
    sent = 0
    with trio.move_on_after(1):
        while True:
            await client.send(stream_id, b"x" * 16384)
            sent += 16384
    # The server's window, what our window admits, and not much more.
    assert sent <= 1024 * 1024 + 2 * 65535
    assert (await client.get("/")).status == 200


async def test_upload_counts_and_hashes(client: PlainClient) -> None:
    stream_id = client.start("/upload", "POST", end=False)
    await client.send(stream_id, pattern(3_000_000), end=True)
    said = json.loads((await client.answer(stream_id)).body)
    assert said == {"bytes": 3_000_000, "sha256": hashlib.sha256(pattern(3_000_000)).hexdigest()}


async def test_one_unread_stream_stalls_no_other(client: PlainClient) -> None:
    stalled = client.start("/bytes/10000000")
    client.unread.add(stalled)
    answer = await client.get("/bytes/1000000")
    assert len(answer.body) == 1_000_000
    assert 0 < len(client.answers[stalled].body) <= 65535


async def test_resets_are_sent_and_recorded(server: Server, client: PlainClient) -> None:
    assert (await client.get("/reset/7")).reset == 7
    assert (await client.get("/reset/12345")).reset == 12345
    stream_id = client.start("/early/413", "POST", end=False)
    answer = await client.answer(stream_id)
    await client.until(lambda: answer.reset is not None)
    assert (answer.status, bytes(answer.body), answer.ended, answer.reset) == (413, b"enough\n", True, 0)
    answer = await client.get("/partial/100000/2")
    assert (answer.status, answer.reset, len(answer.body)) == (200, 2, 100000)
    hanging = client.start("/hang")
    slow = client.start("/slow/1000")
    await client.get("/")
    assert server.stats.streams_open == 2
    client.h2.reset_stream(hanging, 8)
    client.h2.reset_stream(slow, 5)
    await client.get("/")
    assert server.stats.resets == [(hanging, 8), (slow, 5)]
    assert server.stats.streams_open == 0
    # The request and its reset in one read.
    client.h2.reset_stream(client.start("/bytes/1000"), 8)
    assert (await client.get("/slow/0.01")).status == 200


async def test_stats_count_connections_and_bytes(server: Server, client: PlainClient) -> None:
    await client.get("/")
    stats = server.stats
    assert (stats.tcp_connections, stats.connections_open, stats.streams_opened) == (1, 1, 1)
    assert stats.tls_handshakes == (1 if server.url.startswith("https") else 0)
    assert stats.bytes_in > 50
    assert stats.bytes_out > 50
    client.h2.close_connection(error_code=11)
    await client.flush()
    await eventually(lambda: stats.goaways == [11])


async def test_a_goaway_from_the_client_lets_streams_finish(client: PlainClient) -> None:
    stream_id = client.start("/stream/3/10?delay=0.01")
    await client.until(lambda: client.answers[stream_id].body)
    goaway = bytes.fromhex("000008 07 00 00000000 00000000 00000000")
    await client.transport.send_all(goaway)
    assert len((await client.answer(stream_id)).body) == 30


async def test_a_websocket_echoes(server: Server, client: PlainClient) -> None:
    ws = await client.websocket("/ws/echo")
    assert ws.answer.status == 200
    assert "sec-websocket-protocol" not in ws.answer.headers
    await ws.send("hello é")
    assert await ws.receive() == "hello é"
    await ws.send(pattern(3_000_000))
    assert await ws.receive() == pattern(3_000_000)
    await ws.say(Ping(payload=b"p"))
    assert await ws.event() == Pong(payload=b"p")
    assert (server.stats.extended_connects, server.stats.websockets_open) == (1, 1)
    await ws.say(CloseConnection(code=1000, reason="done"))
    assert await ws.closing() == CloseConnection(code=1000, reason="done")
    await client.until(lambda: ws.answer.ended)
    assert server.stats.websockets_open == 0
    assert server.stats.streams_open == 1
    ws.reset()
    await client.get("/")
    assert server.stats.streams_open == 0


async def test_subprotocol_and_deflate_are_negotiated(client: PlainClient) -> None:
    extension = PerMessageDeflate()
    headers = {
        "sec-websocket-protocol": "v9, v2, v1",
        "sec-websocket-extensions": (
            "x-other, permessage-deflate; client_max_window_bits=8, permessage-deflate; server_max_window_bits=x, "
            "permessage-deflate"
        ),
    }
    ws = await client.websocket("/ws/subprotocol", headers, [extension])
    assert ws.answer.headers["sec-websocket-protocol"] == "v2"
    accepted = ws.answer.headers["sec-websocket-extensions"]
    assert accepted == "permessage-deflate"
    await ws.send("x" * 100_000)
    assert await ws.receive() == "x" * 100_000


async def test_websockets_are_refused_with_a_status(client: PlainClient) -> None:
    for path, status in [
        ("/ws/refuse/403", 403),
        ("/ws/nope", 404),
        ("/elsewhere", 404),
        ("/ws/close/x", 400),
        ("/ws/close/70000", 400),
    ]:
        ws = await client.websocket(path)
        answer = await client.answer(ws.stream_id)
        assert (answer.status, bool(answer.body)) == (status, True)
    ws = await client.websocket("/ws/echo", {"sec-websocket-version": "8"})
    assert (ws.answer.status, ws.answer.headers["sec-websocket-version"]) == (426, "13")
    ws = await client.websocket("/ws/echo", {":protocol": "connect-udp"})
    assert ws.answer.status == 501
    stream_id = client.h2.get_next_available_stream_id()
    client.answers[stream_id] = Answer()
    client.h2.send_headers(stream_id, [(":method", "CONNECT"), (":authority", "elsewhere:443")])
    assert (await client.answer(stream_id)).status == 501


async def test_the_server_can_close_a_websocket(client: PlainClient) -> None:
    ws = await client.websocket("/ws/close/4000")
    assert await ws.receive() == "bye"
    assert await ws.closing() == CloseConnection(code=4000, reason="closed with 4000")
    assert not ws.answer.over
    await ws.say(CloseConnection(code=4000))
    await client.until(lambda: ws.answer.ended)

    ws = await client.websocket("/ws/close/1005")
    await ws.receive()
    assert (await ws.closing()).code == 1005

    ws = await client.websocket("/ws/close/1006")
    assert (await client.answer(ws.stream_id)).reset == 8

    ws = await client.websocket("/ws/close/1000?end=stream")
    await ws.receive()
    assert (await ws.closing()).code == 1000
    await client.until(lambda: ws.answer.ended)

    ws = await client.websocket("/ws/close/1000?end=reset")
    answer = await client.answer(ws.stream_id)
    assert (answer.reset, b"closed with 1000" in answer.body) == (8, True)


async def test_a_close_without_an_answer_is_bounded_in_time() -> None:
    async with open_server(close_timeout=0.05) as server, open_plain_client(server) as client:
        ws = await client.websocket("/ws/close/1000")
        assert (await client.answer(ws.stream_id)).reset == 8
        assert server.stats.websockets_open == 0


async def test_websocket_routes_push_ping_and_stay_silent(server: Server, client: PlainClient) -> None:
    ws = await client.websocket("/ws/push/100/1000")
    assert [await ws.receive() for _ in range(100)] == [b"x" * 1000] * 100
    assert (await ws.closing()).code == 1000

    ws = await client.websocket("/ws/push/2/3?text=1&stay=1")
    assert [await ws.receive() for _ in range(2)] == ["xxx"] * 2

    ws = await client.websocket("/ws/ping/3")
    for _ in range(3):
        ping = await ws.event()
        assert isinstance(ping, Ping)
        await ws.say(ping.response())
    await ws.send("how many?")
    assert await ws.receive() == "3"

    ws = await client.websocket("/ws/silent")
    await ws.send(b"x" * 3_000_000)
    await ws.say(Ping())
    await client.get("/")
    assert not ws.answer.body

    ws = await client.websocket("/ws/reset/2")
    assert (await client.answer(ws.stream_id)).reset == 2

    with trio.move_on_after(0.05) as scope:
        await client.websocket("/ws/hang")
    assert scope.cancelled_caught
    await eventually(lambda: server.stats.extended_connects == 6)


async def test_a_websocket_may_end_without_a_close(server: Server, client: PlainClient) -> None:
    ws = await client.websocket("/ws/echo")
    client.h2.end_stream(ws.stream_id)
    await client.until(lambda: ws.answer.ended)
    assert server.stats.websockets_open == 0


async def test_an_invalid_websocket_frame_closes_with_1002(client: PlainClient) -> None:
    ws = await client.websocket("/ws/echo")
    await client.send(ws.stream_id, b"\x81\x05hello")  # a client's frame must be masked
    assert (await ws.closing()).code == 1002
    await client.until(lambda: ws.answer.ended)
    assert (await client.get("/")).status == 200


async def test_a_message_over_the_bound_closes_with_1009(
    client: PlainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_max_message(monkeypatch, 1000)
    ws = await client.websocket("/ws/echo")
    await ws.send("x" * 1000)
    assert len(await ws.receive()) == 1000
    await ws.send("x" * 1001)
    assert (await ws.closing()).code == 1009


@pytest.mark.slow
async def test_a_websocket_that_does_not_read_is_held_back(client: PlainClient) -> None:
    ws = await client.websocket("/ws/echo")
    client.unread.add(ws.stream_id)
    sent = 0
    with trio.move_on_after(0.5):
        while True:
            await ws.send(b"x" * 10_000)
            sent += 10_000
    assert sent < 1024 * 1024 + 4 * 65535
    assert (await client.get("/")).status == 200


async def test_verbs_reach_every_websocket(server: Server, client: PlainClient) -> None:
    sockets = [await client.websocket("/ws/echo") for _ in range(3)]
    assert len(server.websockets) == 3
    server.broadcast("all")
    assert [await ws.receive() for ws in sockets] == ["all"] * 3
    server.close_websockets(1001, "restart")
    assert [(await ws.closing()).code for ws in sockets] == [1001] * 3
    server.reset_streams(2)
    await client.until(lambda: all(ws.answer.reset == 2 for ws in sockets))
    assert server.websockets == []


async def test_settings_are_sent_and_updated() -> None:
    codes = SettingCodes
    async with open_server(settings={codes.MAX_CONCURRENT_STREAMS: 3, 0x42: 7}) as server:
        async with open_plain_client(server) as client:
            await client.get("/")
            assert client.settings[codes.ENABLE_CONNECT_PROTOCOL] == 1
            assert client.settings[codes.MAX_CONCURRENT_STREAMS] == 3
            assert client.settings[0x42] == 7
            assert server.connections[0].client_settings[codes.INITIAL_WINDOW_SIZE] == 65535
            server.update_settings({codes.MAX_CONCURRENT_STREAMS: 5})
            await client.until(lambda: client.settings[codes.MAX_CONCURRENT_STREAMS] == 5)
        async with open_plain_client(server) as client:
            await client.get("/")
            assert client.settings[codes.MAX_CONCURRENT_STREAMS] == 5


async def test_extended_connect_can_be_switched_off() -> None:
    async with open_server(extended_connect=False) as server, open_plain_client(server) as client:
        await client.get("/")
        assert SettingCodes.ENABLE_CONNECT_PROTOCOL not in client.settings
        ws = await client.websocket("/ws/echo")
        assert ws.answer.reset == 1
        assert server.stats.extended_connects == 1


async def test_a_window_of_zero_gets_credit_later() -> None:
    async with open_server(settings={SettingCodes.INITIAL_WINDOW_SIZE: 0}) as server:
        async with open_plain_client(server) as client:
            await client.until(lambda: client.settings)
            stream_id = client.start("/echo", "POST", end=False)
            await client.send(stream_id, b"x" * 300_000, end=True)
            assert len((await client.answer(stream_id)).body) == 300_000


async def test_settings_can_be_delayed() -> None:
    async with open_server(settings_delay=0.1) as server, open_plain_client(server) as client:
        before = trio.current_time()
        await client.until(lambda: client.settings)
        assert trio.current_time() - before >= 0.09


async def test_goaway_ends_the_streams_above(server: Server, client: PlainClient) -> None:
    first = client.start("/stream/2/10?delay=0.05")
    second = client.start("/hang")
    await client.until(lambda: client.answers[first].body)
    await server.goaway(first, error_code=0)
    assert server.stats.streams_open == 1
    # h2's client gives up at GOAWAY, so the rest is read from the wire by hand.
    await client.until(lambda: client.goaways)
    assert client.goaways == [(first, 0)]
    assert second not in server.connections[0].streams


async def test_after_goaway_new_streams_are_ignored(server: Server, client: PlainClient) -> None:
    await client.get("/")
    await server.goaway()
    client.start("/")
    await client.flush()
    with trio.move_on_after(0.05):
        await client.until(lambda: False)
    assert (client.goaways, server.stats.streams_opened) == ([(1, 0)], 1)


async def test_drain_finishes_what_is_in_flight(server: Server) -> None:
    async with open_plain_client(server) as client, trio.open_nursery() as nursery:
        client.start("/stream/3/10?delay=0.05")
        await client.flush()
        await eventually(lambda: server.stats.streams_open)
        nursery.start_soon(server.drain)
        wire = bytearray()
        while piece := await client.transport.receive_some(4096):
            wire += piece
    goaway = bytes.fromhex("000008 07 00 00000000")
    assert wire.count(goaway) == 2
    assert wire.index(goaway + bytes.fromhex("7fffffff")) < wire.index(goaway + bytes.fromhex("00000001"))
    assert wire.index(b"\2" * 10) > wire.index(goaway + bytes.fromhex("00000001"))


async def test_freeze_inject_and_abort_work(server: Server, client: PlainClient) -> None:
    await client.get("/")
    server.freeze()
    with trio.move_on_after(0.05) as scope:
        await client.get("/")
    assert scope.cancelled_caught
    server.thaw()
    assert (await client.get("/")).status == 200
    server.inject(bytes.fromhex("000000 ff 00 00000000"))  # a frame of an unknown type
    assert (await client.get("/")).status == 200
    server.abort()
    with pytest.raises((AssertionError, trio.BrokenResourceError)):
        await client.until(lambda: False)
    await eventually(lambda: not server.connections)


@pytest.mark.slow
async def test_a_broken_client_ends_only_its_own_connection(server: Server) -> None:
    async with open_plain_client(server) as good, open_plain_client(server) as bad:
        await good.get("/")
        stream_id = bad.start("/hang")
        await bad.until(lambda: bad.settings)
        await bad.transport.send_all(bytes.fromhex("000001 00 00 00000063 00"))  # DATA on an idle stream
        await bad.until(lambda: bad.goaways)
        assert bad.goaways == [(stream_id, 1)]
        await eventually(lambda: len(server.connections) == 1)
        assert (await good.get("/")).status == 200
    assert len(server.stats.protocol_errors) == 1


async def test_a_bug_of_the_server_is_recorded(
    client: PlainClient, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    def boom(exchange: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setitem(routes_of_the_testing_server(), "boom", boom)
    with pytest.raises(AssertionError, match="closed the connection"):
        await client.get("/boom")
    assert [str(error) for error in server.stats.errors] == ["boom"]
    server.stats.errors.clear()


async def test_a_flood_of_pings_ends_the_connection(
    client: PlainClient, monkeypatch: pytest.MonkeyPatch, server: Server
) -> None:
    set_max_owed(monkeypatch, 10_000)
    for _ in range(1000):
        client.h2.ping(b"12345678")
    await client.flush()
    await eventually(lambda: server.stats.protocol_errors)
    assert "does not read" in server.stats.protocol_errors[0]


@pytest.mark.slow
async def test_padding_is_credited(client: PlainClient) -> None:
    stream_id = client.start("/upload", "POST", end=False)
    for _ in range(5000):  # with their padding they need more than the window of the stream
        await client.until(lambda: client.h2.local_flow_control_window(stream_id) > 1000)
        client.h2.send_data(stream_id, b"x" * 100, pad_length=255)
    client.h2.end_stream(stream_id)
    assert json.loads((await client.answer(stream_id)).body)["bytes"] == 500_000


async def test_garbage_and_hang_ups_are_survived(server: Server) -> None:
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 100, b"PRI", b""):
        transport = await server.open_stream()
        if data:
            await transport.send_all(data)
        with trio.move_on_after(0.05):
            while await transport.receive_some(100):
                pass
        await trio.aclose_forcefully(transport)
    async with open_plain_client(server) as client:
        assert (await client.get("/")).status == 200


@pytest.mark.slow
async def test_a_thousand_websockets_work_beside_a_download() -> None:
    async with (
        open_server(settings={SettingCodes.MAX_CONCURRENT_STREAMS: 2000}) as server,
        open_plain_client(server) as client,
    ):
        download = client.start("/bytes/10000000")
        client.h2.increment_flow_control_window(10_000_000, download)
        sockets = [await client.websocket("/ws/echo") for _ in range(1000)]
        for i, ws in enumerate(sockets):
            await ws.send(str(i))
        assert [await ws.receive() for ws in sockets] == [str(i) for i in range(1000)]
        assert len((await client.answer(download)).body) == 10_000_000
        assert server.stats.websockets_open == 1000
        assert server.stats.tcp_connections == 1
