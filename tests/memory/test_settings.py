"""SETTINGS: ours, and how the server's are applied."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest
from trio.testing import MockClock

import trio_h2ws
from toolkit import Peer, assert_clean, frames, scripted_peer
from toolkit.inside import on_table_update


async def peer_round(peer: Peer, client: trio_h2ws.Client) -> None:
    """One request and its response."""
    call = peer.call(client.get, "/round")
    await peer.respond(await peer.expect_headers())
    await call.result()


def frames_ready(**more: int) -> dict[int, int]:
    return {frames.MAX_CONCURRENT_STREAMS: 100, frames.ENABLE_CONNECT_PROTOCOL: 1}


async def test_no_websocket_is_opened_before_the_first_settings() -> None:
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        opening = peer.call(client.connect_websocket, "/")
        await peer.expect_preface()
        await peer.settle()
        assert peer.requests == {}
        await peer.settings(frames_ready())
        peer.serve()
        (await opening.result()).abort()


@pytest.mark.parametrize("settings", [{}, {frames.ENABLE_CONNECT_PROTOCOL: 0}], ids=["absent", "zero"])
async def test_only_the_first_settings_allow_extended_connect(settings: dict[int, int]) -> None:
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        for _ in range(2):
            opening = peer.call(client.connect_websocket, "/")
            error = await opening.error(trio_h2ws.HTTP2NotAvailable)
            assert error.reason == "setting-absent"
        # A later frame does not change it: only the first one counts.
        await peer.settings({frames.ENABLE_CONNECT_PROTOCOL: 1})
        await peer_round(peer, client)
        opening = peer.call(client.connect_websocket, "/")
        await opening.error(trio_h2ws.HTTP2NotAvailable)
        assert [request[":method"] for request in peer.requests.values()] == ["GET"]
        assert_clean(client, peer)


async def test_our_settings_follow_the_limits() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        await peer_round(peer, client)
        limits = trio_h2ws.Limits()
        assert peer.client_settings[frames.ENABLE_PUSH] == 0
        assert peer.client_settings[frames.INITIAL_WINDOW_SIZE] == limits.stream_window
        assert peer.client_settings[frames.MAX_HEADER_LIST_SIZE] == limits.max_header_list_size
        # It is a setting of servers, and 0 from a client makes some servers refuse every WebSocket.
        assert frames.ENABLE_CONNECT_PROTOCOL not in peer.client_settings
        # No setting exists for the connection's window: it is enlarged right after the preface.
        assert isinstance(peer.frames[1], hf.WindowUpdateFrame)
        assert peer.may_send == limits.connection_window
        # Each of the peer's SETTINGS frames is acknowledged, once.
        await peer.settings({frames.INITIAL_WINDOW_SIZE: 100_000})
        await peer.settings({})
        await peer.settle()
        assert peer.acks == 3


@pytest.mark.parametrize("sizes", [(0, 0), (100, 100), (100, 4096, 65536), (65536, 0, 0)])
async def test_a_smaller_header_table_is_always_announced(sizes: tuple[int, ...], autojump_clock: MockClock) -> None:
    """A smaller table must be announced at the beginning of the next header block (RFC 7541, section 4.2). hpack
    keeps that in a flag, and clears it when the same size is set once more: without the announcement the server ends
    the connection with COMPRESSION_ERROR."""
    async with scripted_peer() as peer, peer.open_client() as client:
        call = peer.call(client.get, "/", headers={"x-in-the-table": "1"})
        await peer.respond(await peer.expect_headers())
        await call.result()
        for size in sizes:
            await peer.settings({frames.HEADER_TABLE_SIZE: size})
        await peer.until(lambda: peer.acks == 1 + len(sizes))
        # Acknowledged: from now on hpack requires the announcement.
        peer.decoder.max_allowed_table_size = min(sizes)
        announced: list[int] = []

        def note(size: int) -> None:
            announced.append(size)
            peer.decoder.max_allowed_table_size = sizes[-1]

        on_table_update(peer.decoder, note)
        call = peer.call(client.get, "/next", headers={"x-in-the-table": "1"})
        request = await peer.expect_headers()
        assert request["x-in-the-table"] == "1"
        assert min(announced) == min(sizes)
        await peer.respond(request)
        await call.result()
        await peer.settle()
        assert_clean(client, peer)
