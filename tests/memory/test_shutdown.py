"""The end of a client: GOAWAY, the last bytes, nothing left over, and the user's exception as it was."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import hyperframe.frame as hf
import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import READY, Peer, frames, scripted_peer
from toolkit.inside import dialer_of
from trio_h2ws.testing import open_server


async def test_leaving_sends_goaway_and_closes() -> None:
    async with scripted_peer() as peer:
        async with peer.open_client() as client:
            peer.serve()
            await client.get("/")
        await peer.expect_goaway(0)
        await peer.expect_eof()


@pytest.mark.parametrize("transport", ["socket", "tls"])
async def test_leaving_sends_goaway_on_real_transports(transport: str) -> None:
    async with scripted_peer(transport=transport) as peer:  # type: ignore[arg-type]
        async with peer.open_client() as client:
            peer.serve()
            await client.get("/")
        await peer.expect_goaway(0)
        await peer.expect_eof()
        # It ended with close_notify; anything else would have been an error.
        assert peer.crash is None


async def test_a_client_may_be_left_unused() -> None:
    async with trio_h2ws.open_client():
        pass


@pytest.mark.parametrize("used", [False, True])
async def test_the_users_exception_comes_out_bare(used: bool) -> None:
    async with scripted_peer() as peer:
        peer.serve() if used else None
        error = LookupError("mine")
        with pytest.raises(LookupError) as caught:
            async with peer.open_client() as client:
                if used:
                    await client.get("/")
                raise error
        assert caught.value is error
        if used:
            await peer.expect_goaway(0)


@pytest.mark.parametrize("used", [False, True])
async def test_the_users_exception_comes_out_of_a_cancelled_scope(used: bool) -> None:
    # The clean-up may await, and must not let its own Cancelled take the exception's place.
    async with scripted_peer() as peer:
        peer.serve() if used else None
        with pytest.raises(LookupError):
            with trio.CancelScope() as scope:
                async with peer.open_client() as client:
                    if used:
                        await client.get("/")
                    scope.cancel()
                    raise LookupError("mine")


async def test_the_users_exception_group_is_not_wrapped_again() -> None:
    async with scripted_peer() as peer:
        with pytest.raises(ExceptionGroup) as caught:
            async with peer.open_client():
                async with trio.open_nursery() as nursery:

                    async def fail() -> None:
                        raise LookupError("mine")

                    nursery.start_soon(fail)
        assert [type(error) for error in caught.value.exceptions] == [LookupError]


async def test_every_block_lets_the_users_exception_out_bare() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.serve()

        async def handler(ws: trio_h2ws.WebSocket) -> None:
            raise LookupError("mine")

        with pytest.raises(LookupError):
            async with client.stream("GET", "/"):
                raise LookupError("mine")
        with pytest.raises(LookupError):
            async with client.websocket("/"):
                raise LookupError("mine")
        with pytest.raises(LookupError):
            await client.run_websocket("/", handler)


async def test_a_call_that_waits_for_a_dial_ends_with_the_client() -> None:
    async with scripted_peer(settings=None) as peer:
        async with peer.open_client() as client:
            waiting = peer.call(client.connect_websocket, "/")
            sent = peer.call(client.get, "/")
            await peer.settle()
        await waiting.error(trio.ClosedResourceError)
        await sent.error(trio_h2ws.ConnectionLost)


async def test_open_streams_end_with_the_client() -> None:
    async with scripted_peer() as peer:
        async with peer.open_client() as client:
            opening = peer.call(client.connect_websocket, "/")
            await peer.accept_websocket()
            ws = await opening.result()
            receiving = peer.call(ws.receive)
            call = peer.call(client.get, "/")
            await peer.expect_headers()
        await receiving.error(trio_h2ws.ConnectionLost)
        await call.error(trio_h2ws.ConnectionLost)
        await peer.expect_goaway(0)


async def test_a_call_that_waits_for_a_slot_ends_with_the_client() -> None:
    async with scripted_peer({3: 1}) as peer:
        async with peer.open_client() as client:
            peer.call(client.get, "/")
            await peer.expect_headers()
            waiting = peer.call(client.get, "/")
            await peer.settle()
        await waiting.error(trio.ClosedResourceError)


async def test_an_upload_ends_with_its_client() -> None:
    closed = trio.Event()

    async def parts():  # type: ignore[no-untyped-def]
        try:
            while True:
                yield b"x"
                await trio.sleep_forever()
        finally:
            closed.set()

    async with scripted_peer() as peer:
        async with peer.open_client() as client:
            call = peer.call(client.post, "/", content=parts())
            await peer.expect_headers()
            await peer.settle()
        assert closed.is_set()
        await call.error(trio_h2ws.ConnectionLost)


async def test_leaving_waits_no_longer_than_timeouts_close(
    autojump_clock: trio.testing.MockClock,
) -> None:
    timeouts = trio_h2ws.Timeouts(close=3)
    async with scripted_peer(transport="lockstep") as peer:
        async with peer.open_client(timeouts=timeouts) as client:
            peer.serve()
            await client.get("/")
            peer.pause()
            with trio.move_on_after(0.1):
                await client.post("/", content=b"x" * 10_000)
            start = trio.current_time()
        assert trio.current_time() - start == pytest.approx(3)


async def test_what_was_sent_before_the_end_is_written() -> None:
    async with scripted_peer() as peer:
        async with peer.open_client() as client:
            opening = peer.call(client.connect_websocket, "/")
            theirs = await peer.accept_websocket()
            ws = await opening.result()
            await ws.send("first")
            await trio.testing.wait_all_tasks_blocked()
            ws.abort()
        assert await theirs.expect_message() == "first"
        await theirs.expect_rst()
        await peer.expect_goaway(0)
        assert isinstance(peer.frames[-1], hf.GoAwayFrame)


async def test_messages_sent_just_before_leaving_arrive() -> None:
    async with open_server(memory=True) as server:
        async with trio_h2ws.open_client(ssl_context=server.ssl_context, open_stream=server.open_stream) as client:
            ws = await client.connect_websocket(f"{server.ws_url}/ws/echo", compression=None)
            before = server.stats.bytes_in
            for _ in range(5):
                await ws.send("x" * 1000)
        with trio.fail_after(5):
            while server.stats.bytes_in - before < 5000:  # noqa: ASYNC110  # the server has no event for it
                await trio.sleep(0.01)


@pytest.mark.parametrize("passes", range(8))
async def test_nothing_follows_our_goaway(passes: int) -> None:
    """The client is left while the writer waits for more output, which must not be sent after GOAWAY."""
    async with scripted_peer() as peer, trio.open_nursery() as nursery:
        async with peer.open_client() as client:

            async def post() -> None:
                with trio.CancelScope(shield=True):
                    try:
                        await client.post("/log", content=b"bye")
                    except (trio_h2ws.H2WSError, trio.ClosedResourceError):
                        pass  # no answer will arrive, or it was too late to ask

            call = peer.call(client.get, "/")
            await peer.respond(await peer.expect_headers())
            await call.result()
            for _ in range(3):
                nursery.start_soon(post)
            for _ in range(passes):
                await trio.lowlevel.checkpoint()
        await peer.expect_goaway(0)
        await trio.testing.wait_all_tasks_blocked()
        kinds = [type(frame) for frame in peer.frames]
        assert kinds.index(hf.GoAwayFrame) == len(kinds) - 1


# The scope around the client is cancelled while it waits for its last bytes.

WIDE = {**READY, frames.INITIAL_WINDOW_SIZE: 2**30}


async def block(peer: Peer, client: trio_h2ws.Client) -> None:
    """Afterwards the peer does not read, and the transport holds bytes that it does not take."""
    peer.serve()
    await client.get("/")
    await peer.window_update(0, 2**30)
    await peer.ping(b"in order")
    await peer.expect_pong()
    peer.pause()
    with trio.move_on_after(0.3):
        await client.post("/", content=bytes(30_000_000))


@pytest.mark.parametrize("close", [100, None])
@pytest.mark.parametrize("transport", ["lockstep", "socket", "tls"])
@pytest.mark.slow
async def test_a_deadline_is_heeded_during_the_goodbye(transport: str, close: float | None) -> None:
    """A wait in our clean-up that no cancellation reaches."""
    timeouts = trio_h2ws.Timeouts(close=close)
    async with scripted_peer(WIDE, transport=transport) as peer:  # type: ignore[arg-type]
        with trio.CancelScope() as scope:
            async with peer.open_client(timeouts=timeouts) as client:
                await block(peer, client)
                start = trio.current_time()
                scope.deadline = start + 0.2
        assert scope.cancelled_caught
        assert 0.1 < trio.current_time() - start < 2
        peer.resume()
        await peer.expect_eof()


async def test_the_users_exception_survives_a_cancelled_goodbye() -> None:
    async with scripted_peer(WIDE, transport="lockstep") as peer:
        with pytest.raises(LookupError), trio.CancelScope() as scope:
            async with peer.open_client(timeouts=trio_h2ws.Timeouts(close=None)) as client:
                await block(peer, client)
                scope.deadline = trio.current_time() + 0.2
                raise LookupError("mine")
        assert not scope.cancelled_caught


async def test_a_value_is_returned_out_of_a_cancelled_block() -> None:
    """The end of a block that is cancelled already waits for nothing, so it does not raise Cancelled."""

    async def fetch(peer: Peer) -> int:
        with trio.CancelScope() as scope:
            async with peer.open_client() as client:
                response = await client.get("/")
                scope.cancel()
                return response.status
        raise AssertionError("Cancelled was raised")

    async with scripted_peer() as peer:
        peer.serve()
        assert await fetch(peer) == 200


@pytest.mark.parametrize("transport", ["socket", "tls"])
async def test_a_cancelled_client_says_goodbye_if_it_can(transport: str) -> None:
    async with scripted_peer(transport=transport) as peer:  # type: ignore[arg-type]
        with trio.CancelScope() as scope:
            async with peer.open_client() as client:
                peer.serve()
                await client.get("/")
                scope.cancel()
        await peer.expect_goaway(0)
        await peer.expect_eof()


async def test_a_drained_connection_does_not_hold_a_cancelled_client(autojump_clock: MockClock) -> None:
    """It is in no pool any more, and waits for its own last bytes."""
    async with scripted_peer(WIDE, transport="lockstep") as peer:
        start = trio.current_time()
        with trio.move_on_at(start + 10) as scope:
            async with peer.open_client(timeouts=trio_h2ws.Timeouts(close=None, ping_interval=None)) as client:
                await block(peer, client)
                await peer.goaway()
                await trio.sleep(1)
                assert client.connections == []
        assert scope.cancelled_caught
        assert trio.current_time() - start == pytest.approx(10)


async def test_an_endless_upload_does_not_hold_the_client(autojump_clock: MockClock) -> None:
    """Its response is complete, so no error ends it: only that the connection is over."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"x"
        await trio.sleep_forever()

    async def read(client: trio_h2ws.Client) -> None:
        async with client.stream("POST", "/", content=parts()) as response:
            await response.read()
            await trio.sleep(1000)

    async with scripted_peer() as peer:
        async with peer.open_client() as client:
            call = peer.call(read, client)
            await peer.respond(await peer.expect_headers(), body=b"enough")
            await peer.settle()
            start = trio.current_time()
        assert trio.current_time() - start < 10
        assert not call.done
        await call.result(within=2000)


async def leave_at_once(ws: trio_h2ws.WebSocket) -> None:
    pass


@pytest.mark.parametrize("http2", ["require", "never"])
@pytest.mark.parametrize("how", ["aclose", "block", "run_websocket", "group", "reconnecting"])
async def test_closing_a_websocket_can_be_cancelled(how: str, http2: str, autojump_clock: MockClock) -> None:
    """The server never answers our Close."""
    timeouts = trio_h2ws.Timeouts(close=None)
    async with open_server(memory=True, tls=False) as server:
        url = f"{server.ws_url}/ws/silent"
        start = trio.current_time()
        with trio.CancelScope() as scope:
            async with trio_h2ws.open_client(
                open_stream=server.open_stream,
                http2=http2,
                timeouts=timeouts,  # type: ignore[arg-type]
            ) as client:
                scope.deadline = start + 5
                if how == "aclose":
                    await (await client.connect_websocket(url)).aclose()
                elif how == "block":
                    async with client.websocket(url):
                        pass
                elif how == "run_websocket":
                    await client.run_websocket(url, leave_at_once)
                elif how == "group":
                    async with client.open_websocket_group([url, url]):
                        pass
                else:
                    async with client.reconnecting_websocket(url) as sockets:
                        await anext(aiter(sockets))
        assert scope.cancelled_caught
        assert trio.current_time() - start == pytest.approx(5, abs=0.1)


# Dials under way.


async def test_a_dial_under_way_ends_with_the_client(autojump_clock: trio.testing.MockClock) -> None:
    async def never(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    start = trio.current_time()
    async with trio_h2ws.open_client(open_stream=never) as client, trio.open_nursery() as nursery:

        async def call() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await client.get("https://example.org/")

        with trio.move_on_after(1):
            await client.get("https://example.org/")
    del nursery, call
    assert trio.current_time() - start == pytest.approx(1)


@pytest.mark.parametrize("cancelled", [False, True])
async def test_leaving_does_not_wait_for_a_dial_just_finished(cancelled: bool, autojump_clock: MockClock) -> None:
    """The dial has its connection and is about to put it into the pool, which has been closed meanwhile. Nothing but
    the idle time would end it there, and leaving the client waits for all of its tasks."""
    async with scripted_peer() as peer:
        start = trio.current_time()
        with trio.CancelScope() as scope:
            async with peer.open_client() as client:
                dialer, is_ready = dialer_of(client), trio.Event()
                dial = dialer.dial

                async def dial_then_nothing_to_cancel(*args: Any, **options: Any) -> Any:
                    connection = await dial(*args, **options)
                    is_ready.set()
                    for _ in range(10):
                        await trio.lowlevel.cancel_shielded_checkpoint()
                    return connection

                dialer.dial = dial_then_nothing_to_cancel
                call = peer.call(client.connect_websocket, "/")
                await is_ready.wait()
                if cancelled:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
        assert trio.current_time() - start < 5
        await call.error(trio_h2ws.ConnectionLost)
        await peer.expect_eof()


async def test_leaving_does_not_wait_for_a_dial_just_begun(autojump_clock: MockClock) -> None:
    for _ in range(20):  # the scheduler decides which of the two tasks runs first
        async with scripted_peer(settings=None) as peer:
            start = trio.current_time()
            async with peer.open_client() as client:
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await client.get("/")
            assert trio.current_time() == start


async def test_a_websocket_being_dialled_ends_with_the_client(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer:
        start = trio.current_time()
        async with peer.open_client(http2="never") as client:
            connecting, on = trio.Event(), trio.Event()

            async def hold() -> None:
                connecting.set()
                await on.wait()

            peer.network.before_dial = hold
            call = peer.call(client.connect_websocket, "ws://peer.test/")
            await connecting.wait()
        on.set()
        await call.error(trio.ClosedResourceError)
        await peer.expect_eof()
        assert trio.current_time() - start < 5
