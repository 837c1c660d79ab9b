"""Which version of HTTP is used for WebSockets and for requests: HTTP/2 where the server can, else HTTP/1.1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, Request
from servers.http2 import Answer, Both, HangUp, goaway, hang_up, open_both, reset, silence, status
from servers.listener import until

REFUSED_STREAM = 7


HTTP_1_1_REQUIRED = 13


QUICK = trio_h2ws.Timeouts(handshake=0.2)


def page_without_length(h2: Any, stream: int) -> None:
    h2.send_headers(stream, [(":status", "200"), ("content-type", "text/html; charset=utf-8")])
    h2.send_data(stream, b"<html>")


def accept(h2: Any, stream: int) -> None:
    """Accept the WebSocket over HTTP/2, and send a message."""
    h2.send_headers(stream, [(":status", "200")])
    h2.send_data(stream, b"\x81\x02hi")


def accept_and_end(h2: Any, stream: int) -> None:
    h2.send_headers(stream, [(":status", "200"), ("content-length", "0")])
    h2.end_stream(stream)


async def echoes(ws: trio_h2ws.WebSocket) -> bool:
    await ws.send("x")
    return await ws.receive() == "x"


def ways(client: trio_h2ws.Client) -> set[tuple[str, str | None]]:
    """What `client.connections` shows of it."""
    return {(connection.protocol, connection.websockets) for connection in client.connections}


async def test_a_websocket_uses_the_connection_of_requests() -> None:
    async with open_both(accept) as server, server.listener.open_client() as client:
        response = await client.get("/")
        ws = await client.connect_websocket("/")
        assert (ws.http_version, await ws.receive()) == ("HTTP/2", "hi")
        assert ws.connection.id == response.connection.id
        assert server.listener.accepted == 1
        assert ways(client) == {("HTTP/2", "HTTP/2")}


@pytest.mark.parametrize("request_first", [True, False])
async def test_without_the_setting_websockets_use_http1(request_first: bool) -> None:
    async with open_both(extended_connect=False) as server, server.listener.open_client() as client:
        if request_first:
            assert (await client.get("/")).http_version == "HTTP/2"
        for _ in range(3):
            async with client.websocket("/") as ws:
                assert ws.http_version == "HTTP/1.1"
                assert await echoes(ws)
        assert (await client.get("/")).http_version == "HTTP/2"
        # No extended CONNECT was sent: some servers end the connection for it (h2o).
        assert (server.connects, server.upgrades) == (0, 3)
        # The first TLS handshake offers both versions, those for the WebSockets only HTTP/1.1.
        assert server.listener.offers == [["h2", "http/1.1"], *[["http/1.1"]] * 3]
        assert ("HTTP/2", "HTTP/1.1 (setting-absent)") in ways(client)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (silence, "silent"),
        (reset(HTTP_1_1_REQUIRED), "refused"),
        (reset(2), "reset with 2"),
        (reset(8), "reset with 8"),
        (status(400), "refused with 400"),
        (status(405, b"method not allowed"), "refused with 405"),
        (status(421), "refused with 421"),
        (status(426), "refused with 426"),
        (status(501), "refused with 501"),
        (status(200, b"<html>"), "refused with 200"),
        (status(200), "refused with 200"),
        (status(204), "refused with 204"),
        (status(205), "refused with 205"),
        (accept_and_end, "refused with 200"),
        (page_without_length, "refused with 200"),
    ],
)
async def test_an_unkept_setting_leads_to_http1(answer: Answer, reason: str) -> None:
    async with open_both(answer) as server, server.listener.open_client(timeouts=QUICK) as client:
        first = await client.connect_websocket("/")
        assert first.http_version == "HTTP/1.1"
        assert await echoes(first)
        assert ("HTTP/2", f"HTTP/1.1 ({reason})") in ways(client)
        # It is remembered: HTTP/2 is not tried again, and no time is lost.
        start = trio.current_time()
        second = await client.connect_websocket("/")
        assert trio.current_time() - start < 0.2
        assert await echoes(second)
        assert (server.connects, server.upgrades) == (1, 2)
        # Requests still use HTTP/2, and the connection works.
        assert (await client.get("/")).http_version == "HTTP/2"


@pytest.mark.parametrize(
    ("answer", "reason", "tries"),
    [
        (reset(REFUSED_STREAM), "refused", 2),
        (hang_up, "connection lost", 2),
        (goaway(2, seen=True), "connection lost", 2),
        (goaway(HTTP_1_1_REQUIRED, seen=False), "refused", 1),
        (goaway(HTTP_1_1_REQUIRED, seen=True), "refused", 1),
    ],
)
async def test_a_lost_connection_is_tried_twice(answer: Answer, reason: str, tries: int) -> None:
    async with open_both(answer) as server, server.listener.open_client(timeouts=QUICK) as client:
        for upgrades in (1, 2, 3):
            with trio.fail_after(1):
                assert await echoes(await client.connect_websocket("/"))
            assert (server.connects, server.upgrades) == (tries, upgrades)
        assert ("HTTP/1.1", f"HTTP/1.1 ({reason})") in ways(client)
        assert (await client.get("/")).http_version == "HTTP/2"


async def test_one_lost_connection_does_not_lead_to_http1() -> None:
    answers = [hang_up, accept]
    async with (
        open_both(lambda h2, stream: answers.pop(0)(h2, stream)) as server,
        server.listener.open_client() as client,
    ):
        ws = await client.connect_websocket("/")
        assert (ws.http_version, await ws.receive()) == ("HTTP/2", "hi")
        assert server.upgrades == 0


async def test_an_endless_refusal_costs_no_time() -> None:
    def never_ends(h2: Any, stream: int) -> None:
        h2.send_headers(stream, [(":status", "501")])

    async with open_both(never_ends) as server, server.listener.open_client() as client:
        with trio.fail_after(2):
            assert await echoes(await client.connect_websocket("/"))


async def test_a_remembered_fallback_expires() -> None:
    timeouts = trio_h2ws.Timeouts(remember=0.1)
    async with open_both(status(501)) as server, server.listener.open_client(timeouts=timeouts) as client:
        for connects in (1, 2):
            await client.connect_websocket("/")
            await client.connect_websocket("/")
            assert server.connects == connects
            await trio.sleep(0.15)
            assert ("HTTP/2", "HTTP/2") in ways(client)


async def test_remember_none_tries_http2_each_time() -> None:
    timeouts = trio_h2ws.Timeouts(remember=None)
    async with open_both(status(501)) as server, server.listener.open_client(timeouts=timeouts) as client:
        for connects in (1, 2, 3):
            assert await echoes(await client.connect_websocket("/"))
            assert server.connects == connects


@pytest.mark.parametrize("fault", [hang_up, reset(REFUSED_STREAM)])
async def test_a_fault_after_a_success_does_not_lead_to_http1(fault: Answer) -> None:
    """Hundreds of WebSockets on a bad network must not get one connection each."""
    answers = [accept, *[fault] * 100]
    limits = trio_h2ws.Limits(max_retries=2)
    async with (
        open_both(lambda h2, stream: answers.pop(0)(h2, stream)) as server,
        server.listener.open_client(limits=limits) as client,
    ):
        await client.connect_websocket("/")
        with pytest.raises((trio_h2ws.ConnectionLost, trio_h2ws.RequestNotProcessed)):
            await client.connect_websocket("/")
        answers[:] = [accept]
        assert (await client.connect_websocket("/")).http_version == "HTTP/2"
        assert server.upgrades == 0


async def test_one_silence_after_a_success_is_not_remembered() -> None:
    answers = [accept, silence, accept]
    async with (
        open_both(lambda h2, stream: answers.pop(0)(h2, stream)) as server,
        server.listener.open_client(timeouts=QUICK) as client,
    ):
        versions = [(await client.connect_websocket("/")).http_version for _ in range(3)]
        assert versions == ["HTTP/2", "HTTP/1.1", "HTTP/2"]
        # A second silence counts.
        answers[:] = [silence, silence]
        assert (await client.connect_websocket("/")).http_version == "HTTP/1.1"
        assert (await client.connect_websocket("/")).http_version == "HTTP/1.1"
        assert (len(answers), server.connects, server.upgrades) == (1, 4, 3)


async def test_many_handshakes_at_once_all_fall_back() -> None:
    """A handshake that was already sent when the first was refused falls back by itself; none is lost."""
    async with open_both(status(501)) as server, server.listener.open_client() as client:
        done = []

        async def one() -> None:
            async with client.websocket("/") as ws:
                assert await echoes(ws)
                done.append(ws.http_version)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(one)
        assert done == ["HTTP/1.1"] * 20
        assert server.connects <= 20
        assert server.upgrades == 20


async def test_a_handshake_can_be_cancelled_in_its_fallback() -> None:
    async def hang(peer: Peer, request: Request) -> None:
        await peer.gone()

    async with open_both(status(501), over_http1=hang) as server, server.listener.open_client() as client:
        with trio.move_on_after(0.1) as scope:
            await client.connect_websocket("/")
        assert scope.cancelled_caught
        assert server.upgrades == 1
        await until(lambda: server.listener.alive == 1)
        assert (await client.get("/")).status == 200
        assert server.listener.accepted == 2


async def test_a_group_falls_back_as_well() -> None:
    async with open_both(extended_connect=False) as server, server.listener.open_client() as client:
        async with client.open_websocket_group([server.ws_url] * 5) as group:
            assert server.upgrades == 5
            assert group is not None


async def test_connections_shows_the_choice_of_alpn() -> None:
    async with (
        open_both(alpn=["http/1.1"]) as server,
        server.listener.open_client() as client,
    ):
        await client.get("/")
        async with client.websocket("/"):
            assert ("HTTP/1.1", "HTTP/1.1 (alpn)") in ways(client)


async def wrong_accept(peer: Peer, request: Request) -> None:
    await peer.send(
        b"HTTP/1.1 101 S\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: no\r\n\r\n"
    )


async def hangs_up(peer: Peer, request: Request) -> None:
    await peer.stream.aclose()


@pytest.mark.parametrize("over_http1", [wrong_accept, hangs_up])
async def test_the_error_over_http1_is_raised(over_http1: Any) -> None:
    async with (
        open_both(extended_connect=False, over_http1=over_http1) as server,
        server.listener.open_client() as client,
    ):
        errors = []
        for _ in range(2):
            with pytest.raises(trio_h2ws.H2WSError) as caught:
                await client.connect_websocket("/")
            errors.append((type(caught.value), str(caught.value)))
        assert errors[0] == errors[1]
        assert errors[0][0] is not trio_h2ws.HTTP2NotAvailable


async def test_the_bound_on_http1_websockets_is_raised() -> None:
    limits = trio_h2ws.Limits(max_http1_websockets=1)
    async with (
        open_both(extended_connect=False) as server,
        server.listener.open_client(limits=limits, timeouts=trio_h2ws.Timeouts(remember=None)) as client,
    ):
        async with client.websocket("/"):
            with pytest.raises(trio_h2ws.LimitExceeded):
                await client.connect_websocket("/")
        assert server.upgrades == 1


# http2="require" and "never".


async def require(server: Both, client: trio_h2ws.Client) -> trio_h2ws.HTTP2NotAvailable:
    with pytest.raises(trio_h2ws.HTTP2NotAvailable) as caught:
        await client.connect_websocket("/", http2="require")
    assert server.upgrades == 0
    return caught.value


async def test_require_gives_setting_absent_as_the_reason() -> None:
    async with open_both(extended_connect=False) as server, server.listener.open_client() as client:
        assert (await require(server, client)).reason == "setting-absent"


async def test_require_gives_refused_as_the_reason() -> None:
    async with open_both(reset(HTTP_1_1_REQUIRED)) as server, server.listener.open_client() as client:
        assert (await require(server, client)).reason == "refused"


async def test_require_gives_alpn_as_the_reason() -> None:
    async with open_both(alpn=["http/1.1"]) as server, server.listener.open_client() as client:
        assert (await require(server, client)).reason == "alpn"


async def test_require_ignores_a_remembered_fallback() -> None:
    async with open_both(silence) as server, server.listener.open_client(timeouts=QUICK) as client:
        await client.connect_websocket("/")
        with pytest.raises(trio_h2ws.WebSocketError, match="handshake"):
            await client.connect_websocket("/", http2="require")
        assert (server.connects, server.upgrades) == (2, 1)


async def test_require_waits_for_the_whole_refusal() -> None:
    def slow_no(h2: Any, stream: int) -> None:
        h2.send_headers(stream, [(":status", "400")])

    async with open_both(slow_no) as server, server.listener.open_client(http2="require") as client:
        with trio.move_on_after(0.5) as scope, pytest.raises(trio_h2ws.WebSocketRejected):
            await client.connect_websocket("/")
        assert scope.cancelled_caught
        assert server.connects == 1


async def test_never_uses_only_http1() -> None:
    async with open_both(accept) as server, server.listener.open_client(http2="never") as client:
        assert await echoes(await client.connect_websocket("/"))
        assert (server.connects, server.upgrades) == (0, 1)
        assert server.listener.offers == [["http/1.1"]]


async def test_never_may_be_given_for_one_call() -> None:
    async with open_both(accept) as server, server.listener.open_client() as client:
        assert (await client.connect_websocket("/", http2="never")).http_version == "HTTP/1.1"
        assert (await client.connect_websocket("/")).http_version == "HTTP/2"


# Answers that are final.


@pytest.mark.parametrize("code", [302, 401, 403, 404, 410, 429, 500, 503])
async def test_a_real_refusal_does_not_lead_to_http1(code: int) -> None:
    answer = status(code, b"because", location="/elsewhere")
    async with open_both(answer) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert (caught.value.status, caught.value.body) == (code, b"because")
        assert (server.connects, server.upgrades, server.listener.accepted) == (1, 0, 1)
        assert ways(client) == {("HTTP/2", "HTTP/2")}


@pytest.mark.parametrize("answer", [status(400), reset(2), silence])
async def test_if_http1_fails_as_well_the_first_error_is_raised(answer: Answer) -> None:
    async def refuse(peer: Peer, request: Request) -> None:
        await peer.respond(400, b"not even so", [("connection", "close")])

    async with open_both(answer, over_http1=refuse) as server, server.listener.open_client(timeouts=QUICK) as client:
        for tries in (1, 2):
            with pytest.raises(trio_h2ws.H2WSError) as caught:
                await client.connect_websocket("/")
            assert isinstance(caught.value.__cause__, trio_h2ws.WebSocketRejected)
            # Nothing was learned, so both are tried again.
            assert (server.connects, server.upgrades) == (tries, tries)


async def test_a_refusal_over_http1_is_raised() -> None:
    async def refuse(peer: Peer, request: Request) -> None:
        await peer.respond(401, b"who are you?", [("connection", "close")])

    async with open_both(status(501), over_http1=refuse) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert (caught.value.status, caught.value.body) == (401, b"who are you?")
        assert server.upgrades == 1


async def test_without_http1_the_refusal_over_http2_is_raised() -> None:
    """HTTP/1.1 is impossible, so the user gets the answer over HTTP/2."""
    async with open_both(status(405), http1=False) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert caught.value.status == 405
        assert (await client.get("/")).status == 200


async def test_a_200_with_a_page_is_a_refusal() -> None:
    page = status(200, b"<html>hello", **{"content-type": "text/html"})
    async with open_both(page) as server, server.listener.open_client(http2="require") as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert (caught.value.status, caught.value.body) == (200, b"<html>hello")
        assert server.connects == 1


async def test_an_acceptance_may_have_a_content_type() -> None:
    def careless(h2: Any, stream: int) -> None:
        h2.send_headers(stream, [(":status", "200"), ("content-type", "text/html")])
        h2.send_data(stream, b"\x81\x02hi")

    async with open_both(careless) as server, server.listener.open_client(http2="require") as client:
        assert await (await client.connect_websocket("/")).receive() == "hi"
        assert server.connects == 1


# A server that refuses and hangs up at once has still refused.


HEADS = [
    b"HTTP/1.1 401 Unauthorized\r\n\r\n",  # its body ends with the connection
    b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\nwho",
    b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 100\r\n\r\nwho",
    b"HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n3\r\nwho\r\n",
]


@pytest.mark.parametrize("head", HEADS)
async def test_a_cut_refusal_over_http1_is_a_refusal(head: bytes) -> None:
    async def refuse(peer: Peer, request: Request) -> None:
        await peer.send(head)
        inner = peer.stream.transport_stream if isinstance(peer.stream, trio.SSLStream) else peer.stream
        await inner.aclose()  # no close_notify

    async with (
        open_both(extended_connect=False, over_http1=refuse) as server,
        server.listener.open_client() as client,
    ):
        for _ in range(3):
            with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
                await client.connect_websocket("/")
            assert caught.value.status == 401
            assert caught.value.body in (b"", b"who")


def half(code: int) -> Any:
    def answer(h2: Any, stream: int) -> None:
        h2.send_headers(stream, [(":status", str(code)), ("content-length", "100")])
        h2.send_data(stream, b"half of it")
        raise HangUp

    return answer


async def test_a_cut_refusal_over_http2_is_a_refusal() -> None:
    async with open_both(half(403)) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.WebSocketRejected) as caught:
            await client.connect_websocket("/")
        assert (caught.value.status, caught.value.body) == (403, b"half of it")
        assert (server.connects, server.upgrades) == (1, 0)


async def test_a_cut_501_over_http2_leads_to_http1() -> None:
    async with open_both(half(501)) as server, server.listener.open_client() as client:
        assert (await client.connect_websocket("/")).http_version == "HTTP/1.1"
        assert (server.connects, server.upgrades) == (1, 1)


# HTTP_1_1_REQUIRED for a request (RFC 9113, section 7): it is sent over HTTP/1.1, and so are those after it.


NOTHING_DONE = [reset(HTTP_1_1_REQUIRED), goaway(HTTP_1_1_REQUIRED, seen=False)]


def half_an_answer(h2: Any, stream: int) -> None:
    h2.send_headers(stream, [(":status", "200")])
    h2.send_data(stream, b"half of it")
    h2.reset_stream(stream, HTTP_1_1_REQUIRED)


@pytest.mark.parametrize("answer", NOTHING_DONE)
async def test_http_1_1_required_sends_requests_over_http1(answer: Answer) -> None:
    async with open_both(request=answer) as server, server.listener.open_client() as client:
        with trio.fail_after(1):
            for _ in range(3):
                response = await client.post("/", content=b"again")
                assert (response.http_version, response.text) == ("HTTP/1.1", "over HTTP/1.1")
            async with client.stream("GET", "/") as streamed:
                assert await streamed.read() == b"over HTTP/1.1"
        assert server.requests == ["HTTP/2 /", *["HTTP/1.1 /"] * 4]


async def test_a_request_that_may_have_run_is_not_repeated() -> None:
    async with open_both(request=goaway(HTTP_1_1_REQUIRED, seen=True)) as server:
        async with server.listener.open_client() as client:
            with pytest.raises(trio_h2ws.ConnectionTerminated):
                await client.post("/", content=b"pay")
            assert server.requests == ["HTTP/2 /"]
            assert (await client.get("/")).http_version == "HTTP/1.1"  # a GET may be sent twice


async def test_a_request_with_half_an_answer_is_not_repeated() -> None:
    async with open_both(request=half_an_answer) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.StreamReset):
            await client.post("/", content=b"pay")
        assert server.requests == ["HTTP/2 /"]


async def test_http_1_1_required_sends_websockets_over_http1() -> None:
    async with open_both(request=reset(HTTP_1_1_REQUIRED)) as server, server.listener.open_client() as client:
        await client.get("/")
        assert {c.websockets for c in client.connections} == {"HTTP/1.1 (refused)"}
        async with client.websocket("/") as ws:
            assert ws.http_version == "HTTP/1.1"
        assert server.connects == 0


async def test_http_1_1_required_is_not_available_under_require() -> None:
    async with open_both(request=reset(HTTP_1_1_REQUIRED)) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.HTTP2NotAvailable) as caught:
            await client.get("/", http2="require")
        assert caught.value.reason == "refused"
        assert server.requests == ["HTTP/2 /"]


@pytest.mark.parametrize("max_retries", [0, 1, 2])
async def test_the_move_to_http1_counts_as_a_retry(max_retries: int) -> None:
    """So does each try over HTTP/2 before it: there is one budget for a call."""
    limits = trio_h2ws.Limits(max_retries=max_retries)
    answers = [reset(REFUSED_STREAM), reset(HTTP_1_1_REQUIRED)]
    async with (
        open_both(request=lambda h2, stream: answers.pop(0)(h2, stream)) as server,
        server.listener.open_client(limits=limits) as client,
    ):
        if max_retries == 2:
            assert (await client.get("/")).http_version == "HTTP/1.1"
        else:
            with pytest.raises(trio_h2ws.RequestNotProcessed) as caught:
                await client.get("/")
            assert not caught.value.may_have_been_processed
        assert len(server.requests) == 1 + max_retries


@pytest.mark.parametrize("max_retries", [0, 1, 2])
async def test_the_second_handshake_over_http1_counts_as_a_retry(max_retries: int) -> None:
    limits = trio_h2ws.Limits(max_retries=max_retries)
    answers = [hang_up, status(501)]
    async with (
        open_both(lambda h2, stream: answers.pop(0)(h2, stream)) as server,
        server.listener.open_client(limits=limits) as client,
    ):
        if max_retries == 2:
            assert (await client.connect_websocket("/")).http_version == "HTTP/1.1"
        else:
            with pytest.raises(trio_h2ws.ConnectionLost if max_retries == 0 else trio_h2ws.WebSocketRejected):
                await client.connect_websocket("/")
        assert server.connects + server.upgrades == 1 + max_retries


async def test_without_the_setting_http1_is_not_a_retry() -> None:
    limits = trio_h2ws.Limits(max_retries=0)
    async with open_both(extended_connect=False) as server, server.listener.open_client(limits=limits) as client:
        assert (await client.connect_websocket("/")).http_version == "HTTP/1.1"


async def test_a_consumed_body_is_not_sent_again() -> None:
    async def parts() -> AsyncIterator[bytes]:
        yield b"once"

    async with open_both(request=reset(HTTP_1_1_REQUIRED)) as server, server.listener.open_client() as client:
        with pytest.raises(trio_h2ws.RequestNotProcessed):
            await client.post("/", content=parts())
        assert (await client.post("/", content=parts())).http_version == "HTTP/1.1"
        assert server.requests == ["HTTP/2 /", "HTTP/1.1 /"]
