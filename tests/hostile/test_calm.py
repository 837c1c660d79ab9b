"""A server that asks for calm (ENHANCE_YOUR_CALM) gets calm.

It is a loss signal for the origin: fewer calls are under way there at once, those that were lost are sent again, and
no other connection is opened.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import Call, Peer, Request, assert_clean, frames, open_websocket, scripted_peer

CALM = frames.ENHANCE_YOUR_CALM
PAUSE = 0.5
"""Seconds: longer than the pause before a retry, shorter than the time in which the bound grows by itself."""


class Load:
    """GETs, as the peer sees them."""

    def __init__(self, peer: Peer, client: trio_h2ws.Client) -> None:
        self.peer = peer
        self.client = client
        self.calls: list[Call[trio_h2ws.Response]] = []
        self._over: set[int] = set()

    async def begin(self, count: int) -> None:
        for _ in range(count):
            self.calls.append(self.peer.call(self.client.get, f"/{len(self.calls)}"))
        await self.peer.settle()

    @property
    def open(self) -> list[Request]:
        """The requests that the peer has not answered."""
        requests = self.peer.requests.values()
        over = self._over
        return [one for one in requests if one.stream not in over and one.reset is None and not one.get(":protocol")]

    async def calm(self, count: int) -> None:
        """Reset the newest of them, all in one read."""
        lost = self.open[-count:]
        self._over.update(one.stream for one in lost)
        await self.peer.raw(b"".join(frames.rst(one.stream, CALM) for one in lost))
        await self.peer.settle()

    async def answer(self, count: int) -> None:
        for one in self.open[:count]:
            self._over.add(one.stream)
            await self.peer.respond(one)
        await self.peer.settle()

    async def answer_all(self) -> None:
        """Until each call has its response."""
        with trio.fail_after(100):
            while not all(call.done for call in self.calls):
                await self.answer(len(self.open))
                await trio.sleep(0.01)
        for call in self.calls:
            assert (await call.result()).status == 200

    @property
    def bound(self) -> int | None:
        return self.client.connections[-1].calm


async def test_the_bound_is_what_survived(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(10)
        assert (load.bound, client.connections[0].streams_allowed) == (None, 100)
        await load.calm(7)
        assert (load.bound, client.connections[0].streams_allowed) == (3, 3)
        await trio.sleep(PAUSE)
        assert len(load.open) == 3  # the others wait, although there are free slots
        await load.answer(1)
        assert len(load.open) == 3
        await load.answer_all()
        assert peer.dials == 1
        assert_clean(client)


async def test_one_call_at_a_time_is_always_admitted(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(5)
        await load.calm(5)
        assert load.bound == 1
        await trio.sleep(PAUSE)
        assert len(load.open) == 1
        await load.answer_all()


async def test_new_calls_wait_as_well(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(4)
        await load.calm(2)
        await load.begin(20)
        assert len(load.open) == 2
        load.calls.pop().cancel()
        await load.answer_all()
        assert peer.dials == 1
        assert_clean(client)


async def test_a_straggler_belongs_to_the_same_loss(autojump_clock: MockClock) -> None:
    """One event a round trip: what was open when it began does not begin another."""
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(10)
        await load.calm(2)
        assert load.bound == 8
        await load.answer(4)
        await load.calm(1)
        assert load.bound == 7  # and not the 3 that are open
        await load.answer_all()


async def test_a_later_loss_lowers_the_bound_again(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(10)
        await load.calm(4)
        await load.answer(6)
        await trio.sleep(PAUSE)
        assert (load.bound, len(load.open)) == (7, 4)
        await load.calm(1)
        assert load.bound == 3
        await load.answer_all()


async def test_responses_raise_the_bound_slowly(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(4)
        await load.calm(2)
        await load.begin(20)
        bounds = []
        for _ in range(3):
            await load.answer(len(load.open))
            bounds.append(load.bound)
        assert bounds == [3, 4, 5]
        assert len(load.open) == 5
        await load.answer_all()


async def test_time_raises_the_bound_while_streams_last(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(3)
        await load.calm(1)
        await load.begin(5)
        await trio.sleep(0.9)
        assert len(load.open) == 2
        await trio.sleep(0.2)
        assert len(load.open) == 3
        await trio.sleep(3)
        assert len(load.open) == 6
        await load.answer_all()


async def test_the_bound_is_forgotten(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(3)
        await load.calm(2)
        await load.answer_all()
        await trio.sleep(299)
        call = peer.call(client.get, "/last")
        await peer.settle()
        await load.answer(1)
        await call.result()
        assert load.bound is not None
        await trio.sleep(2)
        assert load.bound is None


async def test_the_bound_outlives_its_connection(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(5)
        await load.calm(3)
        await peer.close()
        await peer.settle()
        assert client.connections == []
        later = Load(peer.another(), client)
        await later.begin(0)
        await trio.sleep(PAUSE)
        assert (len(later.open), later.bound) == (1, 1)  # the end of the connection was part of the loss
        later.calls = load.calls
        await later.answer_all()
        assert peer.dials == 2


# WebSockets.


async def test_open_websockets_are_not_counted(autojump_clock: MockClock) -> None:
    settings = {frames.MAX_CONCURRENT_STREAMS: 10, frames.ENABLE_CONNECT_PROTOCOL: 1}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        sockets = [await open_websocket(peer, client) for _ in range(5)]
        load = Load(peer, client)
        await load.begin(5)
        await load.calm(5)
        assert (load.bound, client.connections[0].streams_allowed) == (1, 6)
        await trio.sleep(PAUSE)
        assert len(load.open) == 1
        await load.answer_all()
        assert peer.dials == 1
        for ws, theirs in sockets:
            await theirs.send("still here")
            assert await ws.receive() == "still here"
            ws.abort()


async def test_no_connection_is_opened_beside_websockets(autojump_clock: MockClock) -> None:
    """They hold every slot, which leads to another connection at any other time."""
    settings = {frames.MAX_CONCURRENT_STREAMS: 4, frames.ENABLE_CONNECT_PROTOCOL: 1}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(1)
        await load.calm(1)
        await trio.sleep(PAUSE)
        await load.answer_all()
        for _ in range(2):
            await peer.expect_headers()
        sockets = [await open_websocket(peer, client) for _ in range(4)]
        call = peer.call(client.get, "/waits")
        await trio.sleep(10)
        assert (call.done, peer.dials) == (False, 1)
        sockets.pop()[0].abort()
        await peer.settle()
        await load.answer(1)
        await call.result()
        for ws, _ in sockets:
            ws.abort()


async def test_a_handshake_stays_on_its_connection(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.rst(await peer.expect_headers(), CALM)
        await peer.accept_websocket()
        (await opening.result()).abort()
        assert peer.dials == 1


async def test_a_handshake_does_not_move_to_http1() -> None:
    limits = trio_h2ws.Limits(max_retries=1)
    async with scripted_peer(transport="tls") as peer, peer.open_client(limits=limits, http2="auto") as client:
        opening = peer.call(client.connect_websocket, "/")
        for _ in range(3):
            await peer.rst(await peer.expect_headers(), CALM)
        error = await opening.error(trio_h2ws.StreamReset)
        assert error.error_code == CALM
        assert peer.dials == 1


# What is sent again, and how often.


async def test_a_post_is_not_repeated() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.post, "/", content=b"once")
        await peer.rst(await peer.expect_headers(), CALM)
        error = await call.error(trio_h2ws.StreamReset)
        assert (error.error_code, error.may_have_been_processed) == (CALM, True)


@pytest.mark.parametrize(("max_retries", "tries"), [(0, 1), (1, 3), (3, 5)])
async def test_only_tries_under_the_bound_are_counted(
    autojump_clock: MockClock, max_retries: int, tries: int
) -> None:
    limits = trio_h2ws.Limits(max_retries=max_retries)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        call = peer.call(client.get, "/")
        for _ in range(tries):
            await peer.rst(await peer.expect_headers(), CALM)
        await call.error(trio_h2ws.StreamReset, within=100)
        assert len(peer.requests) == tries


async def test_a_streamed_response_that_has_begun_is_not_repeated() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:

        async def read() -> bytes:
            async with client.stream("GET", "/") as response:
                return await response.read()

        call = peer.call(read)
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        await peer.data(request, b"half")
        await peer.settle()
        await peer.rst(request, CALM)
        await call.error(trio_h2ws.StreamReset)
        assert len(peer.requests) == 1


async def test_other_resets_soon_after_it_are_part_of_the_loss(autojump_clock: MockClock) -> None:
    """Node resets every stream with INTERNAL_ERROR, in the middle of bodies, when it has asked often enough."""
    async with scripted_peer() as peer, peer.open_client() as client:
        first, second = (peer.call(client.get, path) for path in ("/1", "/2"))
        half = await peer.expect_headers()
        asked = await peer.expect_headers()
        await peer.respond(half, end=False)
        await peer.data(half, b"half")
        await peer.raw(frames.rst(asked.stream, CALM) + frames.rst(half.stream, frames.INTERNAL_ERROR))
        await peer.goaway(asked, frames.INTERNAL_ERROR)
        await peer.close()
        peer.another().serve()
        for call in (first, second):
            assert (await call.result()).status == 200


async def test_a_reset_long_after_it_is_not(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(2)
        await load.calm(1)
        await trio.sleep(5)
        lost = load.open[0]
        await peer.rst(lost, frames.INTERNAL_ERROR)
        await load.calls[int(lost.path.removeprefix("/"))].error(trio_h2ws.StreamReset)


# GOAWAY.


async def test_goaway_for_calm_bounds_the_next_connection(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(2)
        post = peer.call(client.post, "/post", content=b"not processed")
        await peer.settle()
        await load.begin(3)
        await peer.goaway(3, CALM, b"too_many_resets")
        await trio.sleep(PAUSE)
        assert client.connections[0].calm == 2
        assert peer.dials == 1  # two are under way, and more are not wanted
        await load.answer(2)
        other = peer.another()
        await peer.settle()
        assert len(other.requests) == 3  # two responses have raised the bound by one
        other.serve()
        for call in (post, *load.calls):
            assert (await call.result(within=100)).status == 200
        assert peer.dials == 2
        assert_clean(client)


async def test_goaway_for_calm_and_the_end_lose_no_get(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        load = Load(peer, client)
        await load.begin(20)
        await peer.goaway(2**31 - 1, CALM)
        await peer.close()
        later = Load(peer.another(), client)
        await trio.sleep(PAUSE)
        assert (len(later.open), later.bound) == (1, 1)
        later.calls = load.calls
        await later.answer_all()
        assert peer.dials == 2
        assert_clean(client)
