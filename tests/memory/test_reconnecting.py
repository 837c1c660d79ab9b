"""`reconnecting_websocket`: when it is tried again and when not, and hand-overs in which nothing is lost."""

from __future__ import annotations

import itertools
import logging
from typing import Any

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, PeerSocket, frames, scripted_peer

MAX = 2**31 - 1


class Loop:
    """A loop over a reconnecting WebSocket, in a task."""

    def __init__(self, sockets: Any) -> None:
        self.sockets = sockets
        self.received: list[Any] = []
        self.turns: list[float] = []
        self.errors: list[Exception] = []
        self.current: trio_h2ws.WebSocket | None = None

    async def run(self) -> None:
        async with self.sockets:
            async for ws in self.sockets:
                self.current = ws
                self.turns.append(trio.current_time())
                try:
                    async for message in ws:
                        self.received.append(message)
                except trio_h2ws.H2WSError as error:
                    self.errors.append(error)


async def start(peer: Peer, client: Any, **options: Any) -> tuple[Loop, Any, PeerSocket]:
    loop = Loop(client.reconnecting_websocket("/", **options))
    call = peer.call(loop.run)
    theirs = await peer.accept_websocket()
    await peer.settle()
    return loop, call, theirs


# When the next attempt is made.


@pytest.mark.parametrize(("code", "least", "most"), [(1000, 0, 0), (1001, 0, 0), (1012, 0, 0), (1011, 0, 1.0)])
async def test_the_first_attempt_waits_after_an_end_that_was_not_planned(
    code: int, least: float, most: float, autojump_clock: MockClock
) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        loop, call, theirs = await start(peer, client)
        await trio.sleep(20)
        before = trio.current_time()
        await theirs.close(code, end=True)
        await peer.accept_websocket()
        await peer.settle()
        assert least <= loop.turns[1] - before <= most + 0.01
        assert loop.sockets.last_error.code == code
        call.cancel()


async def test_first_delay_may_be_zero(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        loop, call, theirs = await start(peer, client, first_delay=0)
        await trio.sleep(20)
        before = trio.current_time()
        await peer.rst(theirs)
        await peer.accept_websocket()
        assert trio.current_time() == before
        assert isinstance(loop.sockets.last_error, trio_h2ws.WebSocketClosed)
        assert loop.sockets.attempts == 2
        call.cancel()


@pytest.mark.parametrize(
    ("status", "asked", "waited"), [(503, "40", 40), (429, "7", 7), (503, "9999", 300), (500, "50", 0.25)]
)
async def test_retry_after_is_obeyed_within_reason(
    status: int, asked: str, waited: float, autojump_clock: MockClock
) -> None:
    timeouts = trio_h2ws.Timeouts(idle=None)
    async with scripted_peer() as peer, peer.open_client(timeouts=timeouts) as client:
        loop = Loop(client.reconnecting_websocket("/"))
        call = peer.call(loop.run)
        await peer.respond(await peer.expect_headers(), status, {"retry-after": asked})
        before = trio.current_time()
        await peer.accept_websocket(within=1000)
        assert trio.current_time() - before == pytest.approx(waited, rel=0.6 if waited < 1 else 0.01)
        call.cancel()


async def test_pauses_grow_while_attempts_fail(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        loop = Loop(client.reconnecting_websocket("/", first_backoff=1, max_backoff=8))
        call = peer.call(loop.run)
        times = []
        for _ in range(6):
            request = await peer.expect_headers(within=100)
            times.append(trio.current_time())
            await peer.respond(request, 503)
        pauses = [b - a for a, b in itertools.pairwise(times)]
        for pause, longest in zip(pauses, (1, 2, 4, 8, 8), strict=True):
            assert longest / 2 <= pause <= longest + 0.1
        assert loop.sockets.attempts == 6
        assert isinstance(loop.sockets.last_error, trio_h2ws.WebSocketRejected)
        call.cancel()


# What ends the loop.


@pytest.mark.parametrize(
    ("headers", "status", "error"),
    [
        ({}, 403, trio_h2ws.WebSocketRejected),
        ({"sec-websocket-protocol": "other"}, 200, trio_h2ws.RemoteProtocolError),
        ({"sec-websocket-extensions": "x-other"}, 200, trio_h2ws.RemoteProtocolError),
    ],
)
async def test_what_another_attempt_cannot_change_ends_the_loop(
    headers: dict[str, str], status: int, error: type[Exception], autojump_clock: MockClock
) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        loop = Loop(client.reconnecting_websocket("/", subprotocols=["mine"]))
        call = peer.call(loop.run)
        await peer.respond(await peer.expect_headers(), status, headers, end=status != 200)
        await call.error(error)
        assert loop.sockets.attempts == 1


@pytest.mark.parametrize("stop_on", [{4004, 4005}, lambda error: getattr(error, "code", None) == 4004])
async def test_codes_that_the_caller_names_end_the_loop(stop_on: Any, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        _, call, theirs = await start(peer, client, stop_on=stop_on)
        await theirs.close(4003, end=True)
        again = await peer.accept_websocket(within=60)
        await peer.settle()
        await again.close(4004, "banned", end=True)
        error = await call.error(trio_h2ws.WebSocketClosed, within=60)
        assert (error.code, error.reason) == (4004, "banned")


@pytest.mark.parametrize("bad", [4004, "4004", [4004.0], [99], [5000], [True]])
async def test_bad_codes_are_refused(bad: Any) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        with pytest.raises((TypeError, ValueError), match="stop_on"):
            client.reconnecting_websocket("/", stop_on=bad)


# URLs and headers that differ at each attempt.


async def test_url_and_headers_may_be_functions(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def url(sockets: Any) -> str:
            await trio.lowlevel.checkpoint()
            return f"/?attempt={sockets.attempts}&resume={getattr(sockets.last_error, 'code', None)}"

        loop = Loop(client.reconnecting_websocket(url, headers=lambda: {"x-token": f"{len(peer.requests)}"}))
        call = peer.call(loop.run)
        request = await peer.expect_headers()
        assert (request.path, request["x-token"]) == ("/?attempt=1&resume=None", "0")
        await peer.respond(request, end=False)
        await peer.settle()
        theirs = PeerSocket(peer, request)
        await theirs.close(1012, end=True)
        request = await peer.expect_headers()
        assert (request.path, request["x-token"]) == ("/?attempt=2&resume=1012", "1")
        call.cancel()


async def test_a_function_of_the_url_that_raises_ends_the_loop() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        def url() -> str:
            raise KeyError("no token")

        call = peer.call(Loop(client.reconnecting_websocket(url)).run)
        await call.error(KeyError)


# Hand-over.


async def test_nothing_is_lost_when_a_connection_drains(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        loop, call, theirs = await start(peer, client)
        await trio.sleep(60)
        await theirs.send("before")
        await peer.goaway(MAX)
        other = peer.another()
        others = await other.accept_websocket()
        # The successor is open, and held back; the old one goes on.
        await others.send("from the successor")
        await theirs.send("while it is handed over")
        await peer.settle()
        assert loop.received == ["before", "while it is handed over"]
        assert loop.current is not None
        await loop.current.send("a question")
        await theirs.expect_frame(frames.TEXT)
        await theirs.expect_close(1000)
        with pytest.raises(trio_h2ws.WebSocketClosed, match="handed over"):
            await loop.current.send("too late")
        await theirs.send("the answer, after our Close")
        await theirs.close(1000, end=True)
        await peer.settle()
        assert loop.received == [
            "before",
            "while it is handed over",
            "the answer, after our Close",
            "from the successor",
        ]
        assert len(loop.turns) == 2
        assert loop.errors == []
        call.cancel()


async def test_an_old_websocket_that_breaks_is_followed_by_the_successor(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        loop, call, theirs = await start(peer, client)
        await trio.sleep(60)
        await peer.goaway(MAX)
        other = peer.another()
        await other.accept_websocket()
        await peer.rst(theirs)
        await peer.settle()
        assert len(loop.turns) == 2
        assert len(loop.errors) == 1
        assert other.dials == 2
        call.cancel()


async def test_a_loop_that_is_left_ends_the_hand_over(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        _, call, _ = await start(peer, client)
        await trio.sleep(60)
        await peer.goaway(MAX)
        other = peer.another()
        others = await other.accept_websocket()
        await peer.settle()
        call.cancel()
        await others.expect_rst()


async def test_the_client_may_end_during_a_hand_over(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer:
        async with peer.open_client() as client:
            _, call, _ = await start(peer, client)
            await trio.sleep(60)
            await peer.goaway(MAX)
            other = peer.another()
            await other.expect_headers()  # which is never answered
        call.cancel()


async def test_a_server_that_drains_every_connection_is_no_storm(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        loop = Loop(client.reconnecting_websocket("/"))
        call = peer.call(loop.run)
        start = trio.current_time()
        one = peer
        turns = 0
        answers = []
        while trio.current_time() - start < 60:
            theirs = await one.accept_websocket(within=100)
            await one.goaway(MAX)
            await theirs.send(f"{turns}")
            turns += 1

            async def answer(theirs: PeerSocket = theirs) -> None:
                await theirs.expect_close(within=1000)
                await theirs.close(end=True)

            answers.append(peer.call(answer))
            one = one.another()
        assert turns < 15
        assert loop.received == [f"{n}" for n in range(len(loop.received))]
        assert len(loop.received) >= turns - 2
        for each in answers:
            each.cancel()
        call.cancel()


# What can be seen.


async def test_attempts_are_logged_without_tokens(
    caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    caplog.set_level(logging.INFO, "trio_h2ws.websocket")
    async with scripted_peer() as peer, peer.open_client() as client:
        loop = Loop(client.reconnecting_websocket("/secret?token=secret", headers={"authorization": "secret"}))
        call = peer.call(loop.run)
        await peer.respond(await peer.expect_headers(), 503, body=b"secret")
        theirs = await peer.accept_websocket()
        await peer.settle()
        await theirs.close(4000, "secret", end=True)
        await peer.accept_websocket(within=60)
        await peer.settle()
        call.cancel()
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("INFO", "http://peer.test: attempt 1") in said
    assert ("INFO", "http://peer.test: open over HTTP/2") in said
    assert any(
        level == "WARNING" and "attempt 1 failed: WebSocketRejected: status 503" in text for level, text in said
    )
    assert any(level == "WARNING" and "ended: WebSocketClosed: code 4000" in text for level, text in said)
    assert "secret" not in str(said)
