"""HTTP/1.1: which connection carries a call, and connections that end between two calls or with one."""

from __future__ import annotations

import socket
import threading

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import until
from toolkit.inside import dials_of


async def hello(peer: Peer) -> None:
    while (request := await peer.request()) is not None:
        await peer.respond(200, b"hello" if request.method != "HEAD" else b"", [("x-target", request.target)])


@pytest.mark.parametrize("tls", [True, False])
async def test_requests_in_turn_share_one_connection(tls: bool) -> None:
    async with open_http1(hello, tls=tls) as server, server.open_client() as client:
        for i in range(20):
            response = await client.get(f"/{i}")
            assert (response.status, response.content, response.http_version) == (200, b"hello", "HTTP/1.1")
            assert response.headers["x-target"] == f"/{i}"
            assert response.stream_id is None
        assert server.accepted == 1
        [connection] = client.connections
        assert (connection.protocol, connection.streams_in_use, connection.streams_allowed) == ("HTTP/1.1", 0, 1)
        assert connection.settings == {}
        assert connection.bytes_in > 20 * 5


async def test_parallel_calls_use_connections_up_to_the_bound() -> None:
    most = 0

    async def slow(peer: Peer) -> None:
        nonlocal most
        while await peer.request() is not None:
            most = max(most, server.alive)
            await trio.sleep(0.02)
            await peer.respond(200, b"slow")

    done = []
    limits = trio_h2ws.Limits(max_http1_connections=3)
    async with open_http1(slow) as server, server.open_client(limits=limits) as client:

        async def get(i: int) -> None:
            assert (await client.get("/")).content == b"slow"
            done.append(i)

        async with trio.open_nursery() as nursery:
            for i in range(20):
                nursery.start_soon(get, i)
        assert len(done) == 20
        assert most == server.accepted == len(client.connections) == 3


async def test_calls_in_turn_open_no_new_connection_after_many() -> None:
    async with open_http1(hello) as server, server.open_client() as client:
        async with trio.open_nursery() as nursery:
            for _ in range(6):
                nursery.start_soon(client.get, "/")
        await until(lambda: not dials_of(client))  # some were begun although a connection was free sooner
        before = server.accepted
        for _ in range(10):
            await client.get("/")
        assert server.accepted == before


async def test_auto_uses_http1_when_alpn_chooses_it() -> None:
    async with open_http1(hello, alpn=["http/1.1"]) as server, server.open_client() as client:
        assert (await client.get("/")).http_version == "HTTP/1.1"
        assert server.offers == [["h2", "http/1.1"]]


async def test_auto_uses_http1_without_alpn() -> None:
    async with open_http1(hello, alpn=[]) as server, server.open_client() as client:
        assert (await client.get("/")).http_version == "HTTP/1.1"


async def test_never_offers_only_http1() -> None:
    async with open_http1(hello, alpn=["h2", "http/1.1"]) as server, server.open_client(http2="never") as client:
        assert (await client.get("/")).http_version == "HTTP/1.1"
        assert server.offers == [["http/1.1"]]


async def test_never_may_be_given_for_one_request() -> None:
    async with open_http1(hello, alpn=["http/1.1"]) as server, server.open_client() as client:
        await client.get("/", http2="never")
        await client.get("/")
        assert server.offers == [["http/1.1"], ["h2", "http/1.1"]]


async def test_require_says_why_http2_is_not_available() -> None:
    async with open_http1(hello, alpn=["http/1.1"]) as server, server.open_client(http2="require") as client:
        for _ in range(2):
            with pytest.raises(trio_h2ws.HTTP2NotAvailable, match=r"chose HTTP/1\.1") as caught:
                await client.get("/")
            assert caught.value.reason == "alpn"
        # The connection works nevertheless.
        assert (await client.get("/", http2="auto")).status == 200


async def test_require_in_clear_fails_on_an_http1_server() -> None:
    async def confused(peer: Peer) -> None:
        await peer.stream.receive_some(1000)
        await peer.respond(400, b"what?", [("connection", "close")])

    async with open_http1(confused, tls=False) as server, server.open_client(http2="require") as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match="localhost"):
            await client.get("/")


async def test_connection_close_ends_the_connection() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"once", [("connection", "close")])
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        for turn in (1, 2, 3):
            assert (await client.get("/")).content == b"once"
            assert server.accepted == turn


async def test_http10_is_not_kept_alive() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nold")
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        for _ in range(2):
            assert (await client.get("/")).content == b"old"
        assert server.accepted == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_a_reused_connection_that_was_closed_is_replaced(method: str) -> None:
    """The server closes on the second request of each connection, which the client cannot foresee."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200)
        await peer.head()

    async with open_http1(serve) as server, server.open_client() as client:
        for turn in (1, 2, 3):
            assert (await client.request(method, "/")).status == 200
            assert server.accepted == turn


async def test_a_post_is_not_sent_twice() -> None:
    posts = 0

    async def serve(peer: Peer) -> None:
        nonlocal posts
        await peer.request()
        await peer.respond(200)
        if (request := await peer.request()) is not None:
            posts += request.method == "POST"

    async with open_http1(serve) as server, server.open_client() as client:
        await client.get("/")
        with pytest.raises(trio_h2ws.ConnectionLost):
            await client.post("/", content=b"pay")
        assert posts == 1


@pytest.mark.parametrize("answered", [True, False])
async def test_a_lost_request_is_sent_twice_at_most(answered: bool) -> None:
    """Five connections are idle, and the server ends each of them on its second request: a retry must not try one
    after the other."""
    all_here, begun, lost = trio.Event(), 0, 0

    async def serve(peer: Peer) -> None:
        nonlocal begun, lost
        request = await peer.request()
        assert request is not None
        if request.target == "/before":
            begun += 1
            if begun == 5:
                all_here.set()
            await all_here.wait()
            await peer.respond(200)
            if await peer.request() is not None:
                lost += 1
        elif answered:
            await peer.respond(200)
            await peer.gone()
        else:
            lost += 1

    async with open_http1(serve) as server, server.open_client() as client:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(client.get, "/before")
        assert server.accepted == 5
        if answered:
            assert (await client.get("/lost")).status == 200
        else:
            with pytest.raises(trio_h2ws.ConnectionLost) as caught:
                await client.get("/lost")
            assert caught.value.may_have_been_processed
        assert (server.accepted, lost) == (6, 1 if answered else 2)


async def test_a_first_request_without_an_answer_is_not_repeated() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.ConnectionLost):
            await client.get("/")
        assert server.accepted == 1


async def test_a_connection_closed_while_idle_is_not_reused() -> None:
    closed = trio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200)
        await closed.wait()
        await peer.stream.aclose()

    async with open_http1(serve) as server, server.open_client() as client:
        await client.get("/")
        closed.set()
        await until(lambda: not client.connections)
        # Not even a POST uses the dead connection.
        assert (await client.post("/", content=b"pay")).status == 200
        assert server.accepted == 2


@pytest.mark.parametrize("last", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"])
async def test_bytes_that_just_arrived_are_seen_before_reuse(last: bytes) -> None:
    """The end of the connection, or an unasked response, has arrived, and no task has read it yet."""
    over, said = threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        for end, request in ((over.wait, b"\r\n\r\n"), (lambda: None, b"pay")):
            connection, _ = listener.accept()
            with connection:
                while not connection.recv(65536).endswith(request):
                    pass
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
                end()
                connection.sendall(last)
            said.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=[listener])
        thread.start()
        async with trio_h2ws.open_client(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}") as client:
            await client.get("/")
            over.set()
            said.wait()  # not awaited, so no other task runs meanwhile
            # Not even a POST is lost: nothing was sent on the old connection.
            assert (await client.post("/", content=b"pay")).content == b"hello"
        thread.join()


@pytest.mark.parametrize("together", [True, False])
async def test_unasked_bytes_do_not_answer_the_next_request(together: bool) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        head = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"
        await peer.send(head + b"first" + (head + b"other" if together else b""))
        if not together:
            await trio.sleep(0.02)
            await peer.send(head + b"other")
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        for turn in (1, 2, 3):
            assert (await client.get("/")).content == b"first"
            assert server.accepted == turn
            await until(lambda: not client.connections)


async def test_an_idle_connection_is_closed() -> None:
    timeouts = trio_h2ws.Timeouts(idle=0.05)
    async with open_http1(hello) as server, server.open_client(timeouts=timeouts) as client:
        await client.get("/")
        await until(lambda: not (server.alive or client.connections))
        assert (await client.get("/")).status == 200


# Cancelled calls, and slow readers.


async def test_a_cancelled_request_ends_only_its_connection() -> None:
    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if request.target == "/hang":
                await peer.gone()
                return
            await peer.respond(200, b"hello")

    async with open_http1(serve) as server, server.open_client() as client:
        for _ in range(5):
            with trio.move_on_after(0.02):
                await client.get("/hang")
            assert (await client.get("/")).content == b"hello"
        await trio.testing.wait_all_tasks_blocked()
        await until(lambda: server.alive <= 1)
        assert len(client.connections) == 1


async def test_leaving_a_stream_early_leaves_the_client_usable() -> None:
    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            await peer.respond(200, b"x" * (10_000_000 if request.target == "/big" else 5))

    async with open_http1(serve) as server, server.open_client() as client:
        async with client.stream("GET", "/big") as response:
            await response.__anext__()
        assert (await client.get("/")).content == b"xxxxx"
        assert server.accepted == 2


@pytest.mark.slow
async def test_a_slow_reader_holds_back_only_its_server() -> None:
    sent = 0

    async def serve(peer: Peer) -> None:
        nonlocal sent
        while (request := await peer.request()) is not None:
            if request.target != "/big":
                await peer.respond(200, b"small")
                continue
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
            for _ in range(10_000):
                await peer.send(b"x" * 10_000)
                sent += 10_000

    async with open_http1(serve, tls=False) as server, server.open_client() as client:
        async with client.stream("GET", "/big") as response:
            before = -1
            while before != sent:
                before = sent
                assert (await client.get("/")).content == b"small"
                await trio.sleep(0.1)
            # The window, one read, and what the two sockets hold.
            assert sent < 20_000_000
            assert response.connection.bytes_in < 1_000_000
            count = 0
            async for piece in response:
                count += len(piece)
            assert count == 100_000_000


# The end of the client.


async def test_leaving_the_client_ends_calls_that_hang() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with open_http1(serve) as server:
        async with trio.open_nursery() as nursery, server.open_client() as client:

            async def hang() -> None:
                with pytest.raises(trio_h2ws.ConnectionLost):
                    await client.get("/")

            nursery.start_soon(hang)
            await until(lambda: server.accepted and client.connections)
            await trio.sleep(0.01)
        await until(lambda: not server.alive)


async def test_close_notify_is_sent_before_the_end() -> None:
    """Without close_notify a server cannot distinguish our end from a cut, and some log an error."""
    clean: list[bool] = []

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200)
        assert isinstance(peer.stream, trio.SSLStream)
        try:
            clean.append(await peer.stream.receive_some(1) == b"")
        except trio.BrokenResourceError:
            clean.append(False)

    async with open_http1(serve) as server:
        async with server.open_client() as client:
            await client.get("/")
        await until(lambda: clean)
    assert clean == [True]
