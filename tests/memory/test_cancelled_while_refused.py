"""A call that was refused at once, in a cancelled scope, took the whole program down with a TrioInternalError.

The pool answered a waiter before that had gone to sleep, and rescheduled a task that was running. Trio forgives that,
unless a cancellation is pending: then the task is rescheduled twice.
"""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

import trio_h2ws
from toolkit import assert_clean, frames, scripted_peer

ONE_SLOT = {frames.MAX_CONCURRENT_STREAMS: 1, frames.ENABLE_CONNECT_PROTOCOL: 1}
ONE_CONNECTION = trio_h2ws.Limits(max_connections_per_origin=1)


async def test_refused_in_a_cancelled_scope(autojump_clock: MockClock) -> None:
    async with scripted_peer(ONE_SLOT) as peer, peer.open_client(limits=ONE_CONNECTION) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        with trio.CancelScope() as scope:
            scope.cancel()
            with pytest.raises(trio_h2ws.LimitExceeded):
                await client.get("/")
            await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        await ws.send("still here")
        assert await theirs.expect_message() == "still here"
        ws.abort()
        await theirs.expect_rst()
        assert_clean(client, peer)


async def test_a_slot_given_in_a_cancelled_scope(autojump_clock: MockClock) -> None:
    """A newcomer behind others that gave up gets the free slot at once, too."""
    async with scripted_peer(ONE_SLOT) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        request = await peer.expect_headers()
        second = peer.call(client.get, "/second")
        await peer.settle()
        second.cancel()
        await second.over()
        await peer.respond(request)
        await first.result()
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.get("/never")
        assert scope.cancelled_caught
        peer.serve()
        assert (await client.get("/next")).content == b"/next"
        await peer.settle()
        assert_clean(client, peer)
