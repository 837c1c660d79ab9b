"""The two kinds of transport: a socket, and any other stream of Trio."""

from __future__ import annotations

import socket

import pytest
import trio
from trio.testing import lockstep_stream_pair

from trio_h2ws._network.transport import EarlyBytes, SocketTransport, StreamTransport, transport_for


async def test_a_socket_takes_what_it_can_and_keeps_the_rest() -> None:
    left, right = socket.socketpair()
    ours, theirs = SocketTransport(left), SocketTransport(right)
    ours.write(b"small")
    assert not ours.blocked
    assert await theirs.receive() == b"small"
    data = bytes(range(256)) * 20_000
    ours.write(data)
    assert ours.blocked
    received = bytearray()

    async def read() -> None:
        while len(received) < len(data):
            received.extend(await theirs.receive())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await ours.drain()
    assert not ours.blocked
    assert received == data
    await ours.aclose()
    await ours.aclose()
    assert await theirs.receive() == b""
    await theirs.aclose()


async def test_closing_wakes_waiting_tasks() -> None:
    left, right = socket.socketpair()
    ours = SocketTransport(left)
    while not ours.blocked:
        ours.write(bytes(100_000))

    async def wait(function: object) -> None:
        with pytest.raises(trio.ClosedResourceError):
            await function()  # type: ignore[operator]

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait, ours.receive)
        nursery.start_soon(wait, ours.drain)
        await trio.testing.wait_all_tasks_blocked()
        await ours.aclose()
    right.close()


async def test_writing_to_a_broken_socket_is_an_os_error() -> None:
    left, right = socket.socketpair()
    ours = SocketTransport(left)
    right.close()
    with pytest.raises(OSError):  # noqa: PT011
        for _ in range(5):
            ours.write(b"x")
    await ours.aclose()


async def test_large_data_arrives_whole() -> None:
    left, right = socket.socketpair()
    left.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_000_000)
    ours, theirs = SocketTransport(left), SocketTransport(right)
    data = bytes(600_000)
    ours.write(data)
    received = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.drain)
        while received < len(data):
            received += len(await theirs.receive())
    await ours.aclose()
    await theirs.aclose()


async def test_any_trio_stream_can_be_a_transport() -> None:
    left, right = lockstep_stream_pair()
    ours = transport_for(left)
    assert isinstance(ours, StreamTransport)
    ours.write(b"one ")
    ours.write(b"two")
    assert ours.blocked
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.drain)
        received = b""
        while len(received) < 7:
            received += await right.receive_some()
    assert received == b"one two"
    assert not ours.blocked
    await ours.aclose()
    assert await right.receive_some() == b""


async def test_bytes_written_while_draining_are_kept() -> None:
    left, right = lockstep_stream_pair()
    ours = StreamTransport(left)
    ours.write(b"first")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.drain)
        await trio.testing.wait_all_tasks_blocked()
        ours.write(b"second")
        assert await right.receive_some() == b"first"
    assert ours.blocked
    async with trio.open_nursery() as nursery:
        nursery.start_soon(ours.drain)
        assert await right.receive_some() == b"second"
    assert not ours.blocked
    await ours.aclose()


async def test_a_trio_socket_stream_becomes_a_socket_transport() -> None:
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    stream = await trio.open_tcp_stream(*listener.socket.getsockname()[:2])
    transport = transport_for(stream)
    assert isinstance(transport, SocketTransport)
    await transport.aclose()
    await listener.aclose()


async def test_early_bytes_come_first() -> None:
    left, right = socket.socketpair()
    ours = EarlyBytes(SocketTransport(left), b"too far")
    assert ours.has_pending_input
    with trio.CancelScope() as scope:
        scope.cancel()
        await ours.receive()
    assert scope.cancelled_caught  # and nothing is lost
    assert await ours.receive() == b"too far"
    assert not ours.has_pending_input
    right.send(b"and on")
    assert await ours.receive() == b"and on"
    ours.write(b"there")
    assert right.recv(100) == b"there"
    await ours.aclose()
    right.close()
