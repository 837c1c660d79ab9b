"""A server that sets HEADER_TABLE_SIZE twice to the same value ended the connection with COMPRESSION_ERROR.

A smaller table must be announced at the beginning of the next header block (RFC 7541, section 4.2). hpack keeps that
in a flag, and setting the same size once more, before there was a next block, cleared it: nothing was announced.
"""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from toolkit import assert_clean, frames, scripted_peer


@pytest.mark.parametrize("sizes", [(0, 0), (100, 100), (100, 4096, 65536), (65536, 0, 0)])
async def test_the_change_is_announced(sizes: tuple[int, ...], autojump_clock: MockClock) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/", headers={"x-in-the-table": "1"})
        await peer.respond(await peer.expect_headers())
        await call.result()
        for size in sizes:
            await peer.settings({frames.HEADER_TABLE_SIZE: size})
        await peer.until(lambda: peer.acks == 1 + len(sizes))
        # Acknowledged: from now on hpack insists on being told.
        peer.decoder.max_allowed_table_size = min(sizes)
        announced: list[int] = []
        update = peer.decoder._update_encoding_context

        def note(data: bytes) -> int:
            consumed = update(data)
            announced.append(peer.decoder.header_table_size)
            peer.decoder.max_allowed_table_size = sizes[-1]
            return consumed

        peer.decoder._update_encoding_context = note
        call = peer.call(client.get, "/next", headers={"x-in-the-table": "1"})
        request = await peer.expect_headers()
        assert request["x-in-the-table"] == "1"
        assert min(announced) == min(sizes)
        await peer.respond(request)
        await call.result()
        await peer.settle()
        assert_clean(client, peer)
