"""One dial serves every call that waits for it, and fails within its time."""

from __future__ import annotations

import errno

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import frames, scripted_peer


def frames_ready(**more: int) -> dict[int, int]:
    return {frames.MAX_CONCURRENT_STREAMS: 100, frames.ENABLE_CONNECT_PROTOCOL: 1}


async def test_cancelling_the_first_caller_does_not_fail_the_others() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        await peer.settle()
        others = [peer.call(client.get, f"/{n}") for n in range(3)]
        await peer.settle()
        first.cancel()
        await first.over()
        await peer.settings(frames_ready())
        peer.serve()
        for n, other in enumerate(others):
            assert (await other.result()).content == f"/{n}".encode()
        assert peer.dials == 1


async def test_a_dial_without_callers_serves_the_next_call() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        await peer.settle()
        first.cancel()
        await first.over()
        second = peer.call(client.get, "/second")
        await peer.settings(frames_ready())
        peer.serve()
        assert (await second.result()).content == b"/second"
        assert peer.dials == 1


async def test_a_failed_dial_fails_each_waiter_with_a_new_error() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        calls = [peer.call(client.connect_websocket, "/") for _ in range(3)]
        await peer.settle()
        await peer.close()
        errors = [await call.error(trio_h2ws.ConnectFailed) for call in calls]
        assert len({id(error) for error in errors}) == 3
        again = peer.call(client.get, "/again")
        other = peer.another()
        await other.settings(frames_ready())
        other.serve()
        assert (await again.result()).content == b"/again"


async def test_an_error_of_open_stream_is_a_failed_dial() -> None:
    async def refuse(host: str, port: int) -> trio.abc.Stream:
        raise ConnectionRefusedError("no server here")

    async with trio_h2ws.open_client(open_stream=refuse) as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match="no server here"):
            await client.get("https://nowhere.test/")


async def test_a_dial_without_settings_fails_in_time(autojump_clock: MockClock) -> None:
    timeouts = trio_h2ws.Timeouts(connect=4)
    async with scripted_peer(settings=None) as peer, peer.open_client(timeouts=timeouts) as client:
        start = trio.current_time()
        sent = [peer.call(client.get, "/") for _ in range(3)]
        waiting = [peer.call(client.connect_websocket, "/") for _ in range(2)]
        errors: list[trio_h2ws.H2WSError] = []
        errors += [await call.error(trio_h2ws.ConnectionTimedOut, within=60) for call in sent]
        assert all(error.may_have_been_processed for error in errors)
        errors += [await call.error(trio_h2ws.ConnectFailed, within=60) for call in waiting]
        assert trio.current_time() - start == pytest.approx(4)
        assert len({id(error) for error in errors}) == len(errors)
        assert all("Timeouts.connect" in str(error) for error in errors)
        await peer.expect_eof()
        assert client.connections == []


async def test_a_dial_that_hangs_fails_in_time(autojump_clock: MockClock) -> None:
    async def never(host: str, port: int) -> trio.abc.Stream:
        await trio.sleep_forever()
        raise AssertionError

    async with trio_h2ws.open_client(open_stream=never, timeouts=trio_h2ws.Timeouts(connect=4)) as client:
        start = trio.current_time()
        with pytest.raises(trio_h2ws.ConnectFailed):
            await client.get("https://example.org/")
        assert trio.current_time() - start == pytest.approx(4)


async def test_a_tls_handshake_that_hangs_fails_in_time(autojump_clock: MockClock) -> None:
    ours, theirs = trio.testing.memory_stream_pair()

    async def silent(host: str, port: int) -> trio.abc.Stream:
        await trio.lowlevel.checkpoint()
        return ours

    async with trio_h2ws.open_client(open_stream=silent, timeouts=trio_h2ws.Timeouts(connect=4)) as client:
        start = trio.current_time()
        with pytest.raises(trio_h2ws.ConnectFailed):
            await client.get("https://example.org/")
        assert trio.current_time() - start == pytest.approx(4)
    assert await theirs.receive_some()  # the ClientHello
    assert await theirs.receive_some() == b""


async def test_a_dial_that_no_call_wants_does_not_wait_for_a_file() -> None:
    """The operating system refuses it a file (EMFILE) after its last call was cancelled. The next one dials again."""
    async with scripted_peer() as peer, peer.open_client() as client:
        busy = peer.call(client.get, "http://busy.test/")
        await peer.expect_headers()
        hold = trio.Event()

        async def refuse() -> None:
            await hold.wait()
            raise OSError(errno.EMFILE, "Too many open files")

        peer.network.before_dial = refuse
        unwanted = peer.call(client.get, "http://other.test/")
        await peer.settle()
        unwanted.cancel()
        await unwanted.over()
        hold.set()
        await peer.settle()
        peer.network.before_dial = None
        again = peer.call(client.get, "http://other.test/")
        peer.another().another().serve()
        await again.result()
        busy.cancel()
