"""The receiving half of one WebSocket without IO: bytes in; messages, replies and failures out."""

from __future__ import annotations

import struct
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest

from toolkit import frames
from trio_h2ws import DeflateOptions, Limits
from trio_h2ws._protocols.ws.deflate import accept_deflate
from trio_h2ws._protocols.ws.receiver import FrameReceiver

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


def test_messages_are_queued_in_order() -> None:
    session = received(frames.ws(frames.TEXT, "a") + frames.ws(frames.BINARY, b"b") + frames.ws(frames.TEXT, ""))
    assert [session.queue.pop() for _ in range(3)] == ["a", b"b", ""]
    assert session.queue.queued_bytes == 0


def test_fragments_are_joined_around_a_ping() -> None:
    session = received(
        frames.ws(frames.TEXT, "\N{EURO SIGN}".encode()[:2], fin=False),
        frames.ws(frames.PING, b"p"),
        frames.ws(frames.CONT, "\N{EURO SIGN}".encode()[2:]),
    )
    assert session.queue.pop() == "\N{EURO SIGN}"
    assert session.replies


def test_bytes_beyond_a_full_queue_stay_raw() -> None:
    session = make_session(Limits(max_queued_messages=3))
    session.receive(frames.ws(frames.TEXT, "x") * 10)
    assert (len(session.queue.messages), session.queue.has_room) == (3, False)
    taken = []
    while session.queue.messages:
        taken.append(session.queue.pop())
        session.receive(b"")
    assert taken == ["x"] * 10
    session = make_session(Limits(max_queued_bytes=200))
    session.receive(frames.ws(frames.BINARY, bytes(60)) * 10)
    assert len(session.queue.messages) == 2


def test_bytes_after_a_close_are_ignored() -> None:
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
def test_a_valid_close_code_is_kept(code: int | None, expected: int) -> None:
    session = received(frames.ws_close(code))
    assert session.close_code == expected


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65_535])
def test_an_invalid_close_code_is_a_failure(code: int) -> None:
    session = received(frames.ws_close(code))
    assert session.failure is not None
    assert session.failure[0] == 1002


def test_messages_before_a_failure_are_kept() -> None:
    session = received(frames.ws(frames.TEXT, "good") + frames.ws(3, b"bad"))
    assert session.queue.messages
    assert session.failure is not None


def test_a_large_message_is_refused_by_its_length_alone() -> None:
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


def test_a_message_of_the_largest_size_is_accepted() -> None:
    limits = Limits(max_message_size=1000)
    assert len(received(frames.ws(frames.BINARY, bytes(1000)), limits=limits).queue.pop()) == 1000
    session = received(
        frames.ws(frames.BINARY, bytes(600), fin=False), frames.ws(frames.CONT, bytes(400)), limits=limits
    )
    assert len(session.queue.pop()) == 1000


# Compression.


def compressed(*parts: bytes, takeover: bool = True) -> list[bytes]:
    deflate = zlib.compressobj(wbits=-15)
    frames_ = []
    for part in parts:
        frames_.append((deflate.compress(part) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4])
        if not takeover:
            deflate = zlib.compressobj(wbits=-15)
    return frames_


@pytest.mark.parametrize("takeover", [True, False])
def test_compressed_messages_are_inflated(takeover: bool) -> None:
    texts = [b"again and again " * 50] * 3
    answer = "permessage-deflate" + ("" if takeover else "; server_no_context_takeover")
    session = make_session(deflate=answer)
    for data in compressed(*texts, takeover=takeover):
        session.receive(frames.ws(frames.TEXT, data, rsv=4))
        assert session.queue.pop() == texts[0].decode()


def test_compressed_and_plain_messages_may_alternate() -> None:
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
def test_an_invalid_compressed_frame_is_a_failure(data: bytes, code: int) -> None:
    session = received(data, deflate="permessage-deflate")
    assert session.failure is not None
    assert session.failure[0] == code


def test_a_deflate_stream_may_end_with_its_message() -> None:
    # RFC 7692, section 7.2.3.4: a sender may set BFINAL.
    session = make_session(deflate="permessage-deflate")
    for _ in range(2):
        deflate = zlib.compressobj(wbits=-15)
        data = deflate.compress(b"final") + deflate.flush(zlib.Z_FINISH)
        session.receive(frames.ws(frames.TEXT, data + b"\0", rsv=4))
        assert session.queue.pop() == "final"


def test_the_bound_applies_to_the_inflated_size() -> None:
    limits = Limits(max_message_size=10_000)
    for size, fits in ((10_000, True), (10_001, False)):
        (data,) = compressed(bytes(size))
        session = received(frames.ws(frames.BINARY, data, rsv=4), limits=limits, deflate="permessage-deflate")
        assert bool(session.queue.messages) is fits
        assert (session.failure is None) is fits


MIB = 1 << 20


def bomb(size: int) -> bytes:
    """`size` zeros, compressed to a thousandth."""
    squeezer = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(MIB)
    data = b"".join([squeezer.compress(zeros) for _ in range(size // MIB)]) + squeezer.flush(zlib.Z_SYNC_FLUSH)
    return data.removesuffix(b"\x00\x00\xff\xff")


@pytest.mark.slow
@pytest.mark.parametrize("pieces", [1, 64])
@pytest.mark.parametrize("size", [32 * MIB, 256 * MIB])
def test_a_deflate_bomb_costs_no_more_than_the_bound(size: int, pieces: int) -> None:
    payload = bomb(size)
    session = FrameReceiver(
        Limits(max_message_size=MIB), accept_deflate("permessage-deflate", DeflateOptions()), lambda: 0.0
    )
    session.queue.want_parts = False
    frame = (
        struct.pack(">BBQ", 0xC2, 127, len(payload)) + payload
        if len(payload) > 65535
        else (struct.pack(">BBH", 0xC2, 126, len(payload)) + payload)
    )
    tracemalloc.start()
    step = -(-len(frame) // pieces)
    for at in range(0, len(frame), step):
        session.receive(frame[at : at + step])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert session.failure is not None
    assert session.failure[0] == 1009
    assert not session.queue.messages
    assert peak < 4 * MIB + 3 * len(frame)


# Parts.


def test_parts_are_given_as_they_arrive() -> None:
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


def test_a_large_message_waits_until_parts_are_chosen_or_not() -> None:
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


# Compressed messages in parts.


def each_part(session: FrameReceiver) -> Iterator[bytes | str]:
    """Every part that can be had now: when one was taken, there is room for the next."""
    while session.queue.has_part:
        yield session.queue.take_part()[0]
        if session.stalled:
            session.receive(b"")


def take_parts(session: FrameReceiver) -> list[bytes | str]:
    return list(each_part(session))


def parts_session(**limits: int) -> FrameReceiver:
    session = make_session(Limits(**limits), deflate="permessage-deflate")
    session.queue.choose_parts()
    return session


PART = 64 * 1024


@pytest.mark.parametrize("pieces", [1, 2, 3, 1000])
@pytest.mark.parametrize("frames_of_it", [1, 3])
def test_no_part_of_a_bomb_is_large(pieces: int, frames_of_it: int) -> None:
    """The kind: what one call of zlib gives is bounded by the part, and never by what came in one read."""
    size = 8 * MIB
    payload = bomb(size)
    step = -(-len(payload) // frames_of_it)
    cuts = [payload[at : at + step] for at in range(0, len(payload), step)]
    data = b"".join(
        frames.ws(frames.CONT if n else frames.BINARY, one, fin=n == len(cuts) - 1, rsv=0 if n else 4)
        for n, one in enumerate(cuts)
    )
    session = parts_session()
    sizes = []
    tracemalloc.start()
    step = -(-len(data) // pieces)
    for at in range(0, len(data), step):
        session.receive(data[at : at + step])
        assert session.queue.parts_bytes < Limits().max_queued_bytes + PART
        sizes += [len(part) for part in each_part(session)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert session.failure is None
    assert (sum(sizes), session.queue.in_message, session.stalled) == (size, False, False)
    assert max(sizes) <= PART
    assert peak < MIB


@pytest.mark.parametrize("text", [True, False])
def test_parts_of_compressed_messages_are_the_messages(text: bool) -> None:
    """With a context that is kept, characters that parts cut, Pings between frames, and plain messages between."""
    plain = "".join(chr(0x20AC + n % 997) for n in range(60_000))
    data = compressed(plain.encode(), plain.encode(), b"")
    opcode = frames.TEXT if text else frames.BINARY
    session = parts_session(max_queued_bytes=100_000)
    expected = plain if text else plain.encode()
    for payload in data[:2]:
        half = len(payload) // 2
        session.receive(frames.ws(opcode, payload[:half], fin=False, rsv=4) + frames.ws(frames.PING, b"p"))
        heard = take_parts(session)
        assert session.replies
        session.replies.clear()
        session.receive(frames.ws(frames.CONT, payload[half:]) + frames.ws(opcode, "plain"))
        heard += take_parts(session)
        assert heard.pop() == ("plain" if text else b"plain")
        assert all(len(part) <= PART for part in heard)
        assert (b"" if not text else "").join(heard) == expected  # type: ignore[arg-type]
    session.receive(frames.ws(opcode, data[2], rsv=4))
    assert session.queue.take_part() == ("" if text else b"", True)


@pytest.mark.parametrize("limit", [6 * PART, 6 * PART - 1])
def test_a_compressed_message_may_change_from_parts_to_whole(limit: int) -> None:
    """While most of it is not inflated yet: the bound then holds for all of it."""
    payload = compressed(bytes(6 * PART))[0]
    session = parts_session(max_queued_bytes=2 * PART, max_message_size=limit)
    session.receive(frames.ws(frames.BINARY, payload, rsv=4))
    assert session.stalled
    assert session.queue.parts_bytes == 2 * PART
    session.choose_whole()
    session.receive(b"")
    if limit == 6 * PART:
        assert session.queue.pop() == bytes(6 * PART)
    else:
        assert session.failure is not None
        assert session.failure[0] == 1009
        assert not session.queue.messages


def test_a_compressed_message_may_change_from_whole_to_parts() -> None:
    payload = bomb(4 * MIB)
    session = make_session(Limits(max_message_size=MIB), deflate="permessage-deflate")
    session.receive(frames.ws(frames.BINARY, payload, rsv=4)[:500])
    held = session.queue.parts_bytes
    assert 0 < held <= MIB
    session.queue.choose_parts()
    session.receive(frames.ws(frames.BINARY, payload, rsv=4)[500:])
    assert sum(map(len, take_parts(session))) == 4 * MIB
    assert session.failure is None


def test_skipped_parts_keep_the_context() -> None:
    first, second = compressed(b"again and again " * 50_000, b"again and again")
    session = parts_session(max_queued_bytes=PART)
    session.receive(frames.ws(frames.BINARY, first, rsv=4) + frames.ws(frames.BINARY, second, rsv=4))
    session.queue.take_part()
    session.queue.skip_message()
    session.receive(b"")
    assert take_parts(session) == [b"again and again"]


def test_bytes_after_the_end_of_a_deflate_stream_are_not_kept() -> None:
    """zlib keeps them, and a message in parts may be endless."""
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(b"final") + deflate.flush(zlib.Z_FINISH)
    session = parts_session()
    session.receive(frames.ws(frames.BINARY, data, fin=False, rsv=4))
    tracemalloc.start()
    for _ in range(100):
        session.receive(frames.ws(frames.CONT, bytes(10_000), fin=False))
    grown = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert grown < 100_000
    session.receive(frames.ws(frames.CONT, b"") + frames.ws(frames.BINARY, compressed(b"next")[0], rsv=4))
    assert b"".join(take_parts(session)) == b"finalnext"  # type: ignore[arg-type]


@pytest.mark.parametrize("cut", [1, 5, 10_000])
@pytest.mark.parametrize("parts", [True, False])
@pytest.mark.parametrize(
    "after",
    [
        frames.ws(frames.TEXT, b"x"),
        frames.ws(frames.BINARY, compressed(b"x")[0], rsv=4),
        frames.ws(frames.CONT, b"x", rsv=4),
        frames.ws(frames.CONT, b"x", rsv=2),
        frames.ws(frames.CONT, b"x", width=16),
        frames.ws(frames.CONT, b"x", mask=b"abcd"),
        frames.ws(3, b"x"),
        b"\x00\x7f" + b"\xff" * 8 + b"x",
    ],
)
def test_a_bad_frame_inside_a_compressed_message_is_a_failure(after: bytes, parts: bool, cut: int) -> None:
    for payload in (compressed(b"x" * 100)[0], b""):
        session = parts_session() if parts else make_session(deflate="permessage-deflate")
        data = frames.ws(frames.TEXT, payload, fin=False, rsv=4) + after
        for at in range(0, len(data), cut):
            session.receive(data[at : at + cut])
        assert session.failure is not None
        assert session.failure[0] == 1002
