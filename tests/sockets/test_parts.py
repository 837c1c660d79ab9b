"""Messages in parts: loops over them that are left early, and one message of 1 GB both ways."""

from __future__ import annotations

import base64
import hashlib
import struct
import tracemalloc

import pytest
import trio

import trio_h2ws
from trio_h2ws import DeflateOptions, Limits
from trio_h2ws.testing import Server


@pytest.mark.parametrize("limits", [Limits(), Limits(max_queued_bytes=5000)])
@pytest.mark.parametrize("compression", [None, DeflateOptions()])
@pytest.mark.parametrize("then", ["receive", "parts", "parts, left again"])
async def test_leaving_a_loop_over_parts_skips_the_rest(
    h2ws_server: Server, limits: Limits, compression: DeflateOptions | None, then: str
) -> None:
    async with trio_h2ws.open_client(ssl_context=h2ws_server.ssl_context, limits=limits) as client:
        async with client.websocket(f"{h2ws_server.ws_url}/ws/echo", compression=compression) as ws:
            for text in ("first" * 200_000, "second" * 1000, "third"):
                await ws.send(text)
            async for _ in ws.receive_parts():
                break
            if then == "receive":
                assert await ws.receive() == "second" * 1000
            elif then == "parts":
                assert (
                    "".join([part async for part in ws.receive_parts() if isinstance(part, str)]) == "second" * 1000
                )
            else:
                async for _ in ws.receive_parts():
                    break
            assert await ws.receive() == "third"


# A gigabyte. The peer is as simple as possible, and fast.


GIGABYTE = 10**9


PART = 1_000_000


async def serve(stream: trio.SocketStream, received: list[int]) -> None:
    """Accept a WebSocket, send a message of 1 GB in a thousand frames, and count the bytes that come."""
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.receive_some()
    lines = head.lower().split(b"\r\n"), head.split(b"\r\n")
    key = next(line.split(b":")[1].strip() for low, line in zip(*lines, strict=True) if b"websocket-key" in low)
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    await stream.send_all(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )

    async def send() -> None:
        payload = bytes(PART)
        for number in range(GIGABYTE // PART):
            first = (0x02 if number == 0 else 0x00) | (0x80 if number == GIGABYTE // PART - 1 else 0x00)
            await stream.send_all(struct.pack(">BBQ", first, 127, PART) + payload)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        buffer = bytearray(1 << 20)
        try:
            while n := await stream.socket.recv_into(buffer):
                received[0] += n
        except OSError:
            nursery.cancel_scope.cancel()


@pytest.mark.slow
async def test_a_gigabyte_in_parts_uses_little_memory() -> None:
    received = [0]
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, lambda stream: serve(stream, received), listeners)
        port = listeners[0].socket.getsockname()[1]
        async with trio_h2ws.open_client(trust_env=False) as client:
            ws = await client.connect_websocket(f"ws://127.0.0.1:{port}/", compression=None)
            tracemalloc.start()

            async def send() -> None:
                part = bytes(PART)
                async with ws.open_message(text=False) as message:
                    for _ in range(GIGABYTE // PART):
                        await message.send(part)

            total = 0
            async with trio.open_nursery() as both:
                both.start_soon(send)
                async for part in ws.receive_parts():
                    total += len(part)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            with trio.move_on_after(10):
                while received[0] < GIGABYTE:  # noqa: ASYNC110  # the server has no event for it
                    await trio.sleep(0.01)
            ws.abort()
        nursery.cancel_scope.cancel()
    assert total == GIGABYTE
    assert GIGABYTE <= received[0] < GIGABYTE * 1.001  # frame headers included
    assert peak < 20 * PART, f"{peak:,} bytes at the peak"
