"""The frames that we send. wsproto's server is the judge."""

from __future__ import annotations

import struct

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from trio_h2ws import Limits
from trio_h2ws._protocols.ws.frames import check_close
from trio_h2ws._protocols.ws.receiver import FrameReceiver
from trio_h2ws._protocols.ws.sender import FrameSender


def make_receiver() -> FrameReceiver:
    receiver = FrameReceiver(Limits(), None, lambda: 0.0)
    receiver.queue.want_parts = False
    return receiver


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1536, 1537, 65_535, 65_536, 100_000])
def test_wsproto_reads_the_messages_that_we_send(size: int) -> None:
    outgoing = FrameSender(make_receiver(), None)
    server = Connection(ConnectionType.SERVER)
    for message in ("x" * size, bytes(n % 251 for n in range(size)), bytearray(size), memoryview(bytes(size))):
        data = outgoing.message(message)
        assert data[1] & 0x80
        server.receive_data(data)
        events = list(server.events())
        assert all(isinstance(event, (TextMessage, BytesMessage)) for event in events)
        whole = type(events[0].data)().join(event.data for event in events)  # type: ignore[union-attr]
        assert whole == (message if isinstance(message, str) else bytes(message))


def test_each_frame_has_a_new_mask() -> None:
    outgoing = FrameSender(make_receiver(), None)
    assert len({outgoing.message("x" * 50)[2:6] for _ in range(100)}) == 100


def test_a_close_holds_code_and_reason() -> None:
    outgoing = FrameSender(make_receiver(), None)
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
