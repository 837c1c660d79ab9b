"""HTTP/1.1 heads as servers on the web send them: what browsers skip is skipped.

The kind: a head that RFC 9112 does not allow and every browser takes. Whatever touches the framing of the body stays
an error.
"""

from __future__ import annotations

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import client_context, listening

SLOPPY = (
    b"\r\n\nHTTP/1.1 103 Early Hints\r\nPHP Warning:  early\r\nlink: </a>\r\n\r\n"
    b"\r\nHTTP/1.1 200 OK\r\n"
    b"PHP Warning:  Undefined variable $x in /srv/index.php on line 3\r\n  #0 {main}\r\n"
    b"no colon at all\r\n"
    b"Bad Name: x\r\n"
    b"x-good: yes\r\n"
    b"content-length: 5\r\n\r\nhello"
)


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("step", [1, 7, 10_000])
async def test_a_sloppy_head_is_read_in_any_pieces(tls: bool, step: int) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            for start in range(0, len(SLOPPY), step):
                await peer.send(SLOPPY[start : start + step])
                await trio.lowlevel.checkpoint()

    async with open_http1(serve, tls=tls) as server, server.open_client() as client:
        for turn in (1, 2):
            response = await client.get("/")
            assert (response.status, response.content) == (200, b"hello")
            assert response.headers.raw == [(b"x-good", b"yes"), (b"content-length", b"5")]
            [(status, fields)] = response.informational
            assert (status, fields.raw) == (103, [(b"link", b"</a>")])
            async with client.stream("POST", "/", content=b"x") as streamed:
                assert await streamed.read() == b"hello"
            # Two parsers could differ about such a head, so the next response must not come from the same bytes.
            assert server.accepted == 2 * turn


@pytest.mark.parametrize("start", [b"\r\n", b"\n"])
async def test_a_connection_is_reused_after_blank_lines(start: bytes) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(start)
            await trio.sleep(0.01)
            await peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

    async with open_http1(serve) as server, server.open_client() as client:
        for _ in range(3):
            assert (await client.get("/")).content == b"ok"
        assert server.accepted == 1


async def test_a_blank_line_alone_does_not_begin_a_response() -> None:
    """So an idempotent request on a used connection is sent again after it."""

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"ok")
        await peer.head()
        await peer.send(b"\r\n")

    async with open_http1(serve) as server, server.open_client() as client:
        for turn in (1, 2, 3):
            assert (await client.get("/")).content == b"ok"
            assert server.accepted == turn


@pytest.mark.parametrize("value", ["identity", "Identity"])
async def test_transfer_encoding_identity_is_as_if_absent(value: str) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.respond(200, b"hello", [("Transfer-Encoding", value)])

    async with open_http1(serve) as server, server.open_client() as client:
        for _ in range(3):
            response = await client.get("/")
            assert response.content == b"hello"
            assert "transfer-encoding" not in response.headers
        assert server.accepted == 1


async def test_identity_without_a_length_ends_with_the_connection() -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.respond(200, b"to the end", [("transfer-encoding", "identity")], length=False)
        await peer.stream.aclose()

    async with open_http1(serve) as server, server.open_client() as client:
        response = await client.get("/")
        assert (response.content, response.may_be_truncated) == (b"to the end", False)


async def test_trailers_may_be_sloppy() -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nPHP Notice: x\r\n"
            )
            await trio.sleep(0.01)
            await peer.send(b"x-sum: 3\r\n\r\n")

    async with open_http1(serve) as server, server.open_client() as client:
        for turn in (1, 2):
            response = await client.get("/")
            assert (response.content, response.trailers.raw) == (b"abc", [(b"x-sum", b"3")])
            assert server.accepted == turn


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length : 5\r\n",
        b" Content-Length: 5\r\n",
        b"Content-Length:\r\n 5\r\n",
        b"PHP Warning: x\r\n Content-Length: 5\r\n",
        b"content-length: 5\r\nContent-Length: 6\r\n",
        b"content-length: 5\r\nbad line\r\nContent-Length: 6\r\n",
        b"Bad Name: x\rContent-Length: 5\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: identity, chunked\r\n",
        b"content-length: 5\r\nTransfer-Encoding\x0b: chunked\r\n",
    ],
)
@pytest.mark.parametrize("status", [b"200 OK", b"103 Early Hints"])
async def test_what_touches_the_framing_stays_an_error(lines: bytes, status: bytes) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 " + status + b"\r\n" + lines + b"\r\nhello")
        await peer.gone()

    async with open_http1(serve) as server, server.open_client() as client:
        for turn in (1, 2):
            with pytest.raises(trio_h2ws.RemoteProtocolError):
                await client.get("/")
            assert server.accepted == turn


@pytest.mark.parametrize("pieces", [1, 50])
async def test_the_bound_of_a_head_does_not_depend_on_its_pieces(pieces: int) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + b"PHP Warning: x\r\n" * 200 + b"\r\n"

    async def serve(peer: Peer) -> None:
        await peer.request()
        for part in range(pieces):
            await peer.send(head[part * len(head) // pieces : (part + 1) * len(head) // pieces])
            await trio.lowlevel.checkpoint()
        await peer.gone()

    for bound, good in ((len(head), True), (len(head) - 1, False)):
        limits = trio_h2ws.Limits(max_header_list_size=bound)
        async with open_http1(serve) as server, server.open_client(limits=limits) as client:
            if good:
                assert (await client.get("/")).status == 200
            else:
                with pytest.raises(trio_h2ws.LimitExceeded) as caught:
                    await client.get("/")
                assert caught.value.bound == "max_header_list_size"


# Upgrade.


async def test_a_websocket_opens_with_a_sloppy_101() -> None:
    async def serve(peer: Peer) -> None:
        request = await peer.request()
        assert request is not None

        async def send(data: bytes) -> None:
            if data.startswith(b"HTTP/1.1 101"):
                first, _, rest = data.partition(b"\r\n")
                data = b"\r\n" + first + b"\r\nTransfer-Encoding: identity\r\nPHP Notice: x\r\n" + rest
            await peer.stream.send_all(data)

        peer.send = send  # type: ignore[method-assign]
        await (await peer.accept_websocket(request)).echo()

    async with open_http1(serve) as server, server.open_client() as client:
        async with client.websocket("/") as ws:
            for message in ("a", "b" * 100_000):
                await ws.send(message)
                assert await ws.receive() == message


async def test_a_refused_handshake_may_have_a_sloppy_head() -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.send(b"HTTP/1.1 403 No\r\nPHP Warning: x\r\ncontent-length: 2\r\n\r\nno")

    async with open_http1(serve) as server, server.open_client() as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert (caught.value.status, caught.value.body) == (403, b"no")


# Proxies.


async def tunnel_to(peer: Peer, port: int, answer: bytes) -> None:
    """A proxy that answers CONNECT with these bytes, one by one, and then passes everything on."""
    await peer.head()
    for byte in answer:
        await peer.send(bytes((byte,)))
    there = await trio.open_tcp_stream("127.0.0.1", port)

    async def pass_on(source: trio.abc.Stream, target: trio.abc.Stream) -> None:
        async for data in source:
            await target.send_all(data)
        nursery.cancel_scope.cancel()

    async with there, trio.open_nursery() as nursery:
        nursery.start_soon(pass_on, there, peer.stream)
        await pass_on(peer.stream, there)


@pytest.mark.usefixtures("no_proxies_of_this_machine")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
        b"\r\nHTTP/1.1 100 Continue\r\n\r\n\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.0 200 Established\r\nPHP Warning: x\r\nVia : a proxy\r\nContent-Length: 10\r\n\r\n",
    ],
)
async def test_a_proxy_may_answer_connect_sloppily(answer: bytes) -> None:
    async def serve(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.respond(200, b"through")

    async with open_http1(serve) as origin:

        async def proxy(stream: trio.abc.Stream, alpn: str | None) -> None:
            await tunnel_to(Peer(stream), origin.port, answer)

        async with listening(proxy, tls=False) as listener:
            address = f"http://127.0.0.1:{listener.port}"
            async with trio_h2ws.open_client(proxy=address, ssl_context=client_context()) as client:
                assert (await client.get(origin.url)).content == b"through"


@pytest.mark.usefixtures("no_proxies_of_this_machine")
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n", "illegal header line"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding"),
        (b"SSH-2.0-OpenSSH\r\n", "does not begin with HTTP/"),
        (b"HTTP/1.1 200 OK\r\n" + b"bad line\r\n" * 10_000, "more than 65536 bytes"),
    ],
)
async def test_a_proxy_with_a_wrong_answer_is_an_error(answer: bytes, reason: str) -> None:
    async def proxy(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(65536)
        await stream.send_all(answer)
        await trio.sleep_forever()

    async with listening(proxy, tls=False) as listener:
        async with trio_h2ws.open_client(proxy=f"http://127.0.0.1:{listener.port}") as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match=reason):
                await client.get("https://a.test/")
