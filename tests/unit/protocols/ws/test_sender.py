"""The frames that we send. wsproto's server is the judge."""

from __future__ import annotations

import struct

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, Ping, TextMessage
from wsproto.extensions import PerMessageDeflate

from trio_h2ws import DeflateOptions
from trio_h2ws._protocols.ws.deflate import Deflate
from trio_h2ws._protocols.ws.frames import check_close
from trio_h2ws._protocols.ws.sender import FrameSender


def make_deflate(threshold: int = 0) -> Deflate:
    options = DeflateOptions(threshold=threshold)
    return Deflate(options, server_bits=15, client_bits=15, server_takeover=False, client_takeover=False)


def server_with_deflate() -> Connection:
    extension = PerMessageDeflate()
    extension.accept("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
    return Connection(ConnectionType.SERVER, [extension])


def read(server: Connection, data: bytes) -> str | bytes:
    """The one message in `data`."""
    server.receive_data(data)
    events = list(server.events())
    assert all(isinstance(event, (TextMessage, BytesMessage)) for event in events)
    assert [event.message_finished for event in events] == [False] * (len(events) - 1) + [True]  # type: ignore[union-attr]
    return type(events[0].data)().join(event.data for event in events)  # type: ignore[union-attr, no-any-return]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1536, 1537, 65_535, 65_536, 100_000])
def test_wsproto_reads_the_messages_that_we_send(size: int) -> None:
    outgoing = FrameSender(None)
    server = Connection(ConnectionType.SERVER)
    for message in ("x" * size, bytes(n % 251 for n in range(size)), bytearray(size), memoryview(bytes(size))):
        data = outgoing.message(message)
        assert data[1] & 0x80
        assert read(server, data) == (message if isinstance(message, str) else bytes(message))


@pytest.mark.parametrize("parts", [("",), ("one",), ("one", "", "two"), (b"one", bytes(70_000), b"")])
@pytest.mark.parametrize("compressed", [False, True])
def test_wsproto_reads_the_parts_that_we_send(parts: tuple[str, ...] | tuple[bytes, ...], compressed: bool) -> None:
    outgoing = FrameSender(make_deflate() if compressed else None)
    server = server_with_deflate() if compressed else Connection(ConnectionType.SERVER)
    for _ in range(2):  # the second message begins anew
        frames = [outgoing.part(part, at == len(parts) - 1) for at, part in enumerate(parts)]
        assert read(server, b"".join(frames)) == type(parts[0])().join(parts)  # type: ignore[arg-type]


def test_wsproto_reads_the_compressed_messages_that_we_send() -> None:
    outgoing, server = FrameSender(make_deflate(threshold=20)), server_with_deflate()
    for message in ("x" * 19, "x" * 20, bytes(100_000)):
        data = outgoing.message(message)
        assert bool(data[0] & 0x40) == (len(message) >= 20)
        assert read(server, data) == message


def test_a_ping_between_the_parts_of_a_message_leaves_it_whole() -> None:
    outgoing, server = FrameSender(None), Connection(ConnectionType.SERVER)
    server.receive_data(outgoing.part("a", False) + outgoing.ping(b"p") + outgoing.part("b", True))
    first, ping, last = server.events()
    assert first == TextMessage(data="a", frame_finished=True, message_finished=False)
    assert ping == Ping(payload=b"p")
    assert last == TextMessage(data="b", frame_finished=True, message_finished=True)


def test_each_frame_has_a_new_mask() -> None:
    outgoing = FrameSender(None)
    assert len({outgoing.message("x" * 50)[2:6] for _ in range(100)}) == 100


def test_a_close_without_a_code_is_empty() -> None:
    assert FrameSender(None).close(None, "")[:2] == b"\x88\x80"


def test_a_close_holds_code_and_reason() -> None:
    outgoing = FrameSender(None)
    data = outgoing.close(1000, "bye")
    key, payload = data[2:6], data[6:]
    plain = bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))
    assert plain == struct.pack(">H", 1000) + b"bye"
    assert outgoing.close_sent


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_valid_close_codes_may_be_sent(code: int) -> None:
    check_close(code, "x" * 123)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 2**16])
def test_reserved_close_codes_are_refused(code: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        check_close(code, "")
