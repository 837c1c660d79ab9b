"""Whatever bytes a server sends, every call ends with a result or an error of ours, and nothing breaks inside."""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_h2ws
from toolkit import frames, scripted_peer

from .test_splits import bad_frames, cut, deflated, engine_frames, good_frames, places, tame_frames

anything = engine_frames | tame_frames | st.binary(max_size=20)


async def check(call: Any) -> None:
    """The call has ended with a result or with an error that a user can understand."""
    await call.over()
    error = call.failure
    assert error is None or isinstance(error, (trio_h2ws.H2WSError, trio.ClosedResourceError)), repr(error)
    while error is not None:
        assert "bug in trio_h2ws" not in str(error)
        error = error.__cause__


@settings(max_examples=60, deadline=None)
@given(st.lists(anything, max_size=15), places)
async def test_any_frames_end_every_call(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    async with scripted_peer() as peer, peer.open_client(limits=trio_h2ws.Limits(max_retries=0)) as client:

        async def read() -> None:
            async with client.stream("POST", "/", content=[b"part"] * 3) as response:
                await response.read()

        async def socket() -> None:
            async with client.websocket("/") as ws:
                async for _ in ws:
                    pass

        calls = []
        for function in (lambda: client.get("/"), read, socket):
            calls.append(peer.call(function))
            await peer.expect_headers()
        try:
            for piece in cut(data, at):
                await peer.raw(piece)
            await peer.settle()
            await peer.close()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has already closed the connection
        for call in calls:
            await check(call)


@settings(max_examples=60, deadline=None)
@given(st.lists(good_frames | bad_frames | deflated, max_size=15), places, st.booleans(), st.booleans())
async def test_any_websocket_frames_end_every_call(
    parts: list[bytes], at: list[int], deflate: bool, end: bool
) -> None:
    data = b"".join(parts)
    limits = trio_h2ws.Limits(max_message_size=200, max_queued_messages=3)
    async with scripted_peer() as peer, peer.open_client(limits=limits) as client:
        opening = peer.call(client.connect_websocket, "/")
        theirs = await peer.accept_websocket({"sec-websocket-extensions": "permessage-deflate"} if deflate else {})
        ws = await opening.result()

        async def receive() -> None:
            async for message in ws:
                assert len(message) <= 200
                await ws.send(message)

        calls = [peer.call(receive), peer.call(ws.ping)]
        for piece in cut(data, at):
            await peer.data(theirs, piece)
        if end:
            await peer.data(theirs, end=True)
        else:
            await peer.rst(theirs, frames.CANCEL)
        for call in calls:
            await check(call)
        # The connection still works.
        call = peer.call(client.get, "/")
        await peer.respond(await peer.expect_headers())
        await call.result()
