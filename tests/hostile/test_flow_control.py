"""Flow control under a peer that changes its mind or its arithmetic."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest

import trio_h2ws
from toolkit import assert_clean, bystanders, connection_of, frames, scripted_peer
from toolkit.inside import header_table_size_of, receive_window_of, streams_of


async def test_a_lowered_initial_window_may_become_negative() -> None:
    # RFC 9113, section 6.9.2: the window becomes negative, and the sender waits until it is positive again.
    async with scripted_peer({frames.INITIAL_WINDOW_SIZE: 40_000}) as peer, peer.open_client() as client:
        await peer.exchange(client)
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=bytes(100_000))
        request = await peer.expect_headers()
        await peer.expect_data(request, 40_000)
        await peer.settings({frames.INITIAL_WINDOW_SIZE: 10_000})
        await peer.settle()
        assert streams_of(connection_of(client))[request.stream].send_window == -30_000
        await peer.window_update(request, 30_000)
        await peer.settle()
        assert len(request.body) == 40_000
        await peer.window_update(request, 1)
        await peer.settle()
        assert len(request.body) == 40_001
        await peer.settings({frames.INITIAL_WINDOW_SIZE: 1_000_000})
        await peer.window_update(0, 1_000_000)
        await peer.expect_end(request)
        assert len(request.body) == 100_000
        await peer.respond(request)
        await call.result()


async def test_an_initial_window_of_zero_waits_for_credit() -> None:
    settings = {frames.INITIAL_WINDOW_SIZE: 0, frames.ENABLE_CONNECT_PROTOCOL: 1}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        empty = peer.call(client.post, "/", content=b"")
        await peer.respond(await peer.expect_headers())
        await empty.result()
        call = peer.call(client.post, "/", content=b"x" * 10)
        request = await peer.expect_headers()
        await peer.settle()
        assert request.body == b""
        for n in range(10):
            await peer.window_update(request, 1)
            await peer.expect_data(request, n + 1)
        await peer.expect_end(request)
        await peer.respond(request)
        await call.result()
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket()
        ws = await opening.result()
        await ws.send("waits")
        await peer.settle()
        assert theirs.request.body == b""
        await peer.window_update(theirs, 100)
        assert await theirs.expect_message() == "waits"
        ws.abort()


async def test_trailers_and_an_end_need_no_credit() -> None:
    async with scripted_peer({frames.INITIAL_WINDOW_SIZE: 4}) as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=[b"four"], trailers={"x-sum": "4"})
        request = await peer.expect_headers()
        await peer.expect_end(request)
        assert request.trailers == [(b"x-sum", b"4")]
        await peer.respond(request)
        await call.result()
        call = peer.call(client.post, "/", content=[b"four"])
        request = await peer.expect_headers()
        await peer.expect_end(request)
        await peer.respond(request)
        await call.result()


async def test_max_frame_size_may_change_in_flight() -> None:
    settings = {frames.MAX_FRAME_SIZE: 20_000, frames.INITIAL_WINDOW_SIZE: 1_000_000}
    async with scripted_peer(settings) as peer, peer.open_client() as client:
        await peer.exchange(client)
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=bytes(300_000))
        request = await peer.expect_headers()
        await peer.expect_data(request, 65_535)
        await peer.settings({frames.MAX_FRAME_SIZE: 16_384})
        await peer.settle()
        count = len(peer.sent(hf.DataFrame))
        await peer.window_update(0, 300_000)
        await peer.expect_end(request)
        sizes = [frame.body_len for frame in peer.sent(hf.DataFrame)]
        assert max(sizes[:count]) == 20_000
        assert max(sizes[count:]) == 16_384
        await peer.respond(request)
        await call.result()


@pytest.mark.parametrize("size", [0, 100, 4096, 65_536, 2**32 - 1])
async def test_header_table_size_may_change_in_flight(size: int) -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        for n in range(6):
            call = peer.call(client.get, f"/{n}", headers={"x-repeated": "again", f"x-{n}": f"{n}" * 50})
            # The peer's decoder fails if the encoder ignores the setting.
            request = await peer.expect_headers()
            assert (request["x-repeated"], request[f"x-{n}"]) == ("again", f"{n}" * 50)
            await peer.respond(request)
            await call.result()
            if n == 2:
                await peer.settings({frames.HEADER_TABLE_SIZE: size})
                peer.decoder.max_allowed_table_size = size
                await peer.settle()
            if n == 4:
                await peer.settings({frames.HEADER_TABLE_SIZE: 0})
                await peer.settings({frames.HEADER_TABLE_SIZE: 4096})
                peer.decoder.max_allowed_table_size = 4096
                await peer.settle()


async def test_a_huge_header_table_is_not_filled() -> None:
    async with scripted_peer({frames.HEADER_TABLE_SIZE: 2**32 - 1}) as peer, peer.open_client() as client:
        peer.decoder.max_allowed_table_size = 2**32 - 1
        peer.serve()
        for n in range(300):
            await client.get("/", headers={"x-unique": f"{n}".rjust(500)})
        assert header_table_size_of(connection_of(client)) <= 16_384


async def test_max_header_list_size_is_obeyed() -> None:
    # HAProxy and Jetty end the connection for large request headers.
    async with scripted_peer({frames.MAX_HEADER_LIST_SIZE: 2000, frames.ENABLE_CONNECT_PROTOCOL: 1}) as peer:
        async with peer.open_client() as client:
            await peer.exchange(client)
            for function in (client.get, client.connect_websocket):
                with pytest.raises(trio_h2ws.LocalProtocolError, match="2000"):
                    await function("/", headers={"x-large": "x" * 2000})  # type: ignore[operator]
            assert list(peer.requests) == [1]
            call = peer.call(client.get, "/", headers={"x-small": "x" * 1000})
            await peer.respond(await peer.expect_headers())
            await call.result()
            assert_clean(client, peer)


async def test_large_request_headers_use_continuation_frames() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        headers = {f"x-{n}": f"{n:04}" * 250 for n in range(50)}
        call = peer.call(client.get, "/", headers=headers)
        request = await peer.expect_headers()
        assert all(request[name] == value for name, value in headers.items())
        assert len(peer.sent(hf.ContinuationFrame)) >= 1
        await peer.respond(request)
        await call.result()


async def test_the_connection_window_is_credited_on_receipt() -> None:
    limits = trio_h2ws.Limits(connection_window=65_535, stream_window=1_000_000, max_stream_window=1_000_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        # All of it in one read, so the sender cannot have seen credit for the first part.
        await peer.raw(frames.body(request.stream, bytes(200_000), end=False))
        await peer.settle()
        # Credit is given on receipt, so this does not overdraw the window.
        await peer.data(request, end=True)
        assert len((await call.result()).content) == 200_000


async def test_data_beyond_the_connection_window_is_an_error() -> None:
    limits = trio_h2ws.Limits(connection_window=65_535, stream_window=1_000_000, max_stream_window=1_000_000)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request, end=False)
        receive_window_of(connection_of(client)).left = 1000
        await peer.raw(frames.data(request.stream, bytes(1001)))
        await peer.expect_goaway(frames.FLOW_CONTROL_ERROR)
        await call.error(trio_h2ws.RemoteProtocolError)


async def test_settings_that_overflow_a_stream_window_are_an_error() -> None:
    async with scripted_peer() as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=bytes(100_000))
        request = await peer.expect_headers()
        await peer.window_update(request, 2**31 - 1 - 65_535)
        await peer.settle()
        await peer.settings({frames.INITIAL_WINDOW_SIZE: 1_000_000})
        await peer.expect_goaway(frames.FLOW_CONTROL_ERROR)
        await call.error(trio_h2ws.RemoteProtocolError)


async def test_the_largest_windows_are_accepted() -> None:
    async with scripted_peer({frames.INITIAL_WINDOW_SIZE: 2**31 - 1}) as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=bytes(1_000_000))
        request = await peer.expect_headers()
        await peer.expect_data(request, 65_535)
        await peer.window_update(0, 2**31 - 1)
        await peer.expect_end(request)
        await peer.respond(request)
        await call.result()


async def test_window_updates_for_ended_streams_are_ignored() -> None:
    async with scripted_peer() as peer, peer.open_client() as client, bystanders(peer, client):
        call = peer.call(client.get, "/")
        request = await peer.expect_headers()
        await peer.respond(request)
        await call.result()
        await peer.window_update(request, 1000)
        await peer.window_update(request, 2**31 - 1)
        await peer.rst(request)
        await peer.settle()


async def test_settings_and_a_window_update_may_share_a_read() -> None:
    # Servers written in Go send SETTINGS and a large WINDOW_UPDATE at once.
    async with scripted_peer(settings=None) as peer, peer.open_client() as client:
        peer.auto_credit = False
        call = peer.call(client.post, "/", content=bytes(300_000))
        await peer.expect_preface()
        await peer.raw(frames.settings({frames.INITIAL_WINDOW_SIZE: 1_000_000}) + frames.window_update(0, 1_000_000))
        request = await peer.expect_headers()
        await peer.expect_end(request)
        await peer.respond(request)
        await call.result()
