"""A client that was left in the moment in which a dial became ready waited for that connection's idle time.

The dial had its connection and was about to put it into the pool. The pool was ended, and did not know it yet. Then
it was put there, where nobody would end it. Leaving the client waits for all of its tasks: 300 seconds by default.
"""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from toolkit import scripted_peer


@pytest.mark.parametrize("cancelled", [False, True])
async def test_left_when_the_dial_is_ready(cancelled: bool, autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer:
        start = trio.current_time()
        with trio.CancelScope() as scope:
            async with peer.open_client() as client:
                dial, is_ready = client._pool._dialer.dial, trio.Event()

                async def dial_then_nothing_to_cancel(*args: Any, **options: Any) -> Any:
                    connection = await dial(*args, **options)
                    is_ready.set()
                    for _ in range(10):
                        await trio.lowlevel.cancel_shielded_checkpoint()
                    return connection

                client._pool._dialer.dial = dial_then_nothing_to_cancel
                call = peer.call(client.get, "/")
                await is_ready.wait()
                if cancelled:
                    scope.cancel()
                    await trio.lowlevel.checkpoint()
        assert trio.current_time() - start < 5
        await call.error(trio.ClosedResourceError)
        await peer.expect_eof()


async def test_left_before_the_dial_has_run(autojump_clock: MockClock) -> None:
    for _ in range(20):  # which of the two tasks runs first is up to the scheduler
        async with scripted_peer(settings=None) as peer:
            start = trio.current_time()
            async with peer.open_client() as client:
                with trio.CancelScope() as scope:
                    scope.cancel()
                    await client.get("/")
            assert trio.current_time() == start


async def test_a_websocket_of_a_task_outside_that_is_just_being_dialled(autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer:
        start = trio.current_time()
        async with peer.open_client(http2="never") as client:
            connecting, on = trio.Event(), trio.Event()

            async def hold() -> None:
                connecting.set()
                await on.wait()

            peer._network.before_dial = hold
            call = peer.call(client.connect_websocket, "ws://peer.test/")
            await connecting.wait()
        on.set()
        await call.error(trio.ClosedResourceError)
        await peer.expect_eof()
        assert trio.current_time() - start < 5
