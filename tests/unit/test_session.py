"""One WebSocket without IO: bytes in, messages, replies and failures out."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, TextMessage

from toolkit import frames
from trio_h2ws import DeflateOptions, Limits
from trio_h2ws._protocols.ws.deflate import accept_deflate
from trio_h2ws._protocols.ws.frames import check_close
from trio_h2ws._protocols.ws.receiver import FrameReceiver
from trio_h2ws._protocols.ws.sender import FrameSender

KEEP = DeflateOptions(server_context_takeover=True, client_context_takeover=True)


def make_session(limits: Limits | None = None, deflate: str | None = None) -> FrameReceiver:
    agreed = accept_deflate(deflate, KEEP) if deflate is not None else None
    session = FrameReceiver(limits or Limits(), agreed, lambda: 0.0)
    session.queue.want_parts = False
    return session


def received(*data: bytes, **options: Any) -> FrameReceiver:
    session = make_session(**options)
    for piece in data:
        session.receive(piece)
    return session


def test_messages() -> None:
    session = received(frames.ws(frames.TEXT, "a") + frames.ws(frames.BINARY, b"b") + frames.ws(frames.TEXT, ""))
    assert [session.queue.pop() for _ in range(3)] == ["a", b"b", ""]
    assert session.queue.queued_bytes == 0


def test_fragments() -> None:
    session = received(
        frames.ws(frames.TEXT, "\N{EURO SIGN}".encode()[:2], fin=False),
        frames.ws(frames.PING, b"p"),
        frames.ws(frames.CONT, "\N{EURO SIGN}".encode()[2:]),
    )
    assert session.queue.pop() == "\N{EURO SIGN}"
    assert session.replies


def test_the_queue_is_bounded_and_what_is_beyond_stays_raw() -> None:
    session = make_session(Limits(max_queued_messages=3))
    session.receive(frames.ws(frames.TEXT, "x") * 10)
    assert (len(session.queue.messages), session.queue.has_room) == (3, False)
    taken = []
    while session.queue.messages:
        taken.append(session.queue.pop())
        session.receive(b"")
    assert taken == ["x"] * 10
    session = make_session(Limits(max_queued_bytes=100))
    session.receive(frames.ws(frames.BINARY, bytes(60)) * 10)
    assert len(session.queue.messages) == 2


def test_nothing_counts_after_a_close() -> None:
    session = received(frames.ws_close(1000, "bye") + frames.ws(frames.TEXT, "late") + b"\xff\xff\xff")
    assert (session.close_received, session.close_code, session.close_reason) == (True, 1000, "bye")
    assert not session.queue.messages
    assert session.failure is None


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (1000, 1000),
        (1012, 1012),
        (1013, 1013),
        (1014, 1014),
        (3000, 3000),
        (4999, 4999),
        (None, 1005),
    ],
)
def test_closes(code: int | None, expected: int) -> None:
    session = received(frames.ws_close(code))
    assert session.close_code == expected


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_closes_that_no_peer_may_send(code: int) -> None:
    session = received(frames.ws_close(code))
    assert session.failure is not None
    assert session.failure[0] == 1002


def test_messages_before_a_failure_are_kept() -> None:
    session = received(frames.ws(frames.TEXT, "good") + frames.ws(3, b"bad"))
    assert session.queue.messages
    assert session.failure is not None


def test_bounds_are_checked_before_the_payload_is_here() -> None:
    session = received(frames.ws(frames.BINARY, length=1001), limits=Limits(max_message_size=1000))
    assert session.failure is not None
    assert session.failure[0] == 1009
    session = received(
        frames.ws(frames.BINARY, bytes(600), fin=False),
        frames.ws(frames.CONT, length=401),
        limits=Limits(max_message_size=1000),
    )
    assert session.failure is not None
    assert session.failure[0] == 1009


def test_a_message_that_just_fits() -> None:
    limits = Limits(max_message_size=1000)
    assert len(received(frames.ws(frames.BINARY, bytes(1000)), limits=limits).queue.pop()) == 1000
    session = received(
        frames.ws(frames.BINARY, bytes(600), fin=False), frames.ws(frames.CONT, bytes(400)), limits=limits
    )
    assert len(session.queue.pop()) == 1000


def compressed(*parts: bytes, takeover: bool = True) -> list[bytes]:
    deflate = zlib.compressobj(wbits=-15)
    frames_ = []
    for part in parts:
        frames_.append((deflate.compress(part) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4])
        if not takeover:
            deflate = zlib.compressobj(wbits=-15)
    return frames_


@pytest.mark.parametrize("takeover", [True, False])
def test_compressed_messages(takeover: bool) -> None:
    texts = [b"again and again " * 50] * 3
    answer = "permessage-deflate" + ("" if takeover else "; server_no_context_takeover")
    session = make_session(deflate=answer)
    for data in compressed(*texts, takeover=takeover):
        session.receive(frames.ws(frames.TEXT, data, rsv=4))
        assert session.queue.pop() == texts[0].decode()


def test_compressed_and_plain_messages_in_turn_with_pings_inside() -> None:
    session = make_session(deflate="permessage-deflate")
    first, second = compressed(b"one " * 100, b"two " * 100)
    session.receive(frames.ws(frames.TEXT, first[:10], rsv=4, fin=False))
    session.receive(frames.ws(frames.PING, b"p"))
    session.receive(frames.ws(frames.CONT, first[10:]))
    session.receive(frames.ws(frames.TEXT, "plain"))
    session.receive(frames.ws(frames.BINARY, second, rsv=4))
    assert [session.queue.pop() for _ in range(3)] == ["one " * 100, "plain", b"two " * 100]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frames.ws(frames.PING, b"x", rsv=4), 1002),
        (frames.ws(frames.TEXT, b"x", fin=False) + frames.ws(frames.CONT, b"y", rsv=4), 1002),
        (frames.ws(frames.TEXT, b"\xff\xff\xff", rsv=4), 1007),
        (frames.ws(frames.TEXT, compressed(b"\xff")[0], rsv=4), 1007),
    ],
)
def test_compressed_frames_that_are_wrong(data: bytes, code: int) -> None:
    session = received(data, deflate="permessage-deflate")
    assert session.failure is not None
    assert session.failure[0] == code


def test_a_deflate_stream_that_ends_with_its_message() -> None:
    # RFC 7692, section 7.2.3.4: a sender may set BFINAL.
    session = make_session(deflate="permessage-deflate")
    for _ in range(2):
        deflate = zlib.compressobj(wbits=-15)
        data = deflate.compress(b"final") + deflate.flush(zlib.Z_FINISH)
        session.receive(frames.ws(frames.TEXT, data + b"\0", rsv=4))
        assert session.queue.pop() == "final"


def test_a_compressed_message_that_just_fits() -> None:
    limits = Limits(max_message_size=10_000)
    for size, fits in ((10_000, True), (10_001, False)):
        (data,) = compressed(bytes(size))
        session = received(frames.ws(frames.BINARY, data, rsv=4), limits=limits, deflate="permessage-deflate")
        assert bool(session.queue.messages) is fits
        assert (session.failure is None) is fits


# What we send; wsproto's server is the judge.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1536, 1537, 65_535, 65_536, 100_000])
def test_messages_that_we_send(size: int) -> None:
    session = make_session()
    outgoing = FrameSender(session, None)
    server = Connection(ConnectionType.SERVER)
    for message in ("x" * size, bytes(n % 251 for n in range(size)), bytearray(size), memoryview(bytes(size))):
        data = outgoing.message(message)
        assert data[1] & 0x80
        server.receive_data(data)
        events = list(server.events())
        assert all(isinstance(event, (TextMessage, BytesMessage)) for event in events)
        whole = type(events[0].data)().join(event.data for event in events)  # type: ignore[union-attr]
        assert whole == (message if isinstance(message, str) else bytes(message))


def test_the_mask_is_fresh_for_each_frame() -> None:
    outgoing = FrameSender(make_session(), None)
    assert len({outgoing.message("x" * 50)[2:6] for _ in range(100)}) == 100


def test_a_close_that_we_send() -> None:
    outgoing = FrameSender(make_session(), None)
    data = outgoing.close(1000, "bye")
    key, payload = data[2:6], data[6:]
    plain = bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))
    assert plain == struct.pack(">H", 1000) + b"bye"
    assert outgoing.close_sent


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 1014, 3000, 4999])
def test_codes_that_may_be_sent(code: int) -> None:
    check_close(code, "x" * 123)


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 2000, 2999, 5000, 2**16])
def test_codes_that_may_not(code: int) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        check_close(code, "")


# Parts.


def test_parts_as_they_come() -> None:
    session = FrameReceiver(Limits(max_message_size=10), None, lambda: 0.0)
    session.queue.choose_parts()
    session.receive(frames.ws(frames.BINARY, b"one", fin=False))
    assert session.queue.take_part() == (b"one", False)
    session.receive(frames.ws(frames.CONT, bytes(100), fin=False) + frames.ws(frames.CONT, b"end"))
    parts = []
    done = False
    while not done:
        session.receive(b"")
        part, done = session.queue.take_part()
        parts.append(part)
    assert b"".join(parts) == bytes(100) + b"end"  # type: ignore[arg-type]


def test_a_large_message_waits_until_somebody_says_how_it_is_wanted() -> None:
    data = frames.ws(frames.BINARY, bytes(2000))
    for parts in (True, False):
        session = FrameReceiver(Limits(max_message_size=1000), None, lambda: 0.0)
        session.receive(data)
        assert session.failure is None
        assert not session.queue.has_room
        if parts:
            session.queue.choose_parts()
        else:
            session.queue.want_parts = False
        assert session.queue.has_room
        session.receive(b"")
        assert (session.failure is None) is parts
