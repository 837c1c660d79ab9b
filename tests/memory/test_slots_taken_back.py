"""A slot that was promised before the server lowered MAX_CONCURRENT_STREAMS was used after it.

One read brings the end of a response and new SETTINGS. The end frees a slot, which the pool promises to who waits.
The SETTINGS take it back, and are acknowledged in the same moment. Then the waiter runs and opens its stream, one too
many. Servers answer that with REFUSED_STREAM, or end the connection.
"""

from __future__ import annotations

import hyperframe.frame as hf
from trio.testing import MockClock

from toolkit import assert_clean, frames, scripted_peer


async def test_max_concurrent_streams_lowered_under_a_promised_slot(autojump_clock: MockClock) -> None:
    async with scripted_peer({frames.MAX_CONCURRENT_STREAMS: 2}) as peer, peer.open_client() as client:
        first = peer.call(client.get, "/first")
        ends_soon = await peer.expect_headers()
        second = peer.call(client.get, "/second")
        stays = await peer.expect_headers()
        third = peer.call(client.get, "/third")
        await peer.settle()

        answer = frames.headers(ends_soon.stream, frames.encode(peer.encoder, {":status": "204"}), end=True)
        await peer.raw(answer + frames.settings({frames.MAX_CONCURRENT_STREAMS: 1}))
        await first.result()
        await peer.settle()
        assert len(peer.sent(hf.HeadersFrame)) == 2

        await peer.respond(stays)
        await second.result()
        await peer.respond(await peer.expect_headers(), body=b"third")
        assert (await third.result()).content == b"third"
        await peer.settle()
        assert peer.dials == 1
        assert_clean(client, peer)
