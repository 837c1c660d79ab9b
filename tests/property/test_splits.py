"""However the bytes are cut on their way, the same is heard."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

import trio_h2ws
from toolkit import frames
from toolkit.record import CONNECT, GET, Recorder
from trio_h2ws._protocols.h2.frames import FrameError, FrameSplitter
from trio_h2ws._protocols.ws.deflate import accept_deflate
from trio_h2ws._protocols.ws.receiver import FrameReceiver
from trio_h2ws._requests.content_encoding import Decoder

EXAMPLES = settings(max_examples=100, deadline=None)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """The data in pieces, cut at these places (numbers are taken modulo its length)."""
    at = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


places = st.lists(st.integers(0, 2**20), max_size=12)


# Frames.


def split_frames(pieces: list[bytes]) -> list[Any]:
    splitter = FrameSplitter()
    heard: list[Any] = []
    try:
        for piece in pieces:
            heard.extend(splitter.feed(piece))
    except FrameError as error:
        heard.append(error.code)
    return heard


any_frame = st.builds(
    frames.raw, st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=40)
)


@EXAMPLES
@given(st.lists(any_frame | st.binary(max_size=12), max_size=8), places)
def test_frames(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert split_frames(cut(data, at)) == split_frames([data])


# The engine.

small = st.integers(0, 12)
names = st.sampled_from(["x-a", "x-b", "content-length", ":status", "X-Upper", "connection", "content-type"])
field_lists = st.lists(st.tuples(names, st.sampled_from(["1", "5", "200", "103", "", "a\nb"])), max_size=4)
statuses = st.sampled_from([[(":status", "200")], [(":status", "103")], [], [(":status", "204")]])
blocks = st.builds(lambda status, fields: frames.literals([*status, *fields]), statuses, field_lists) | st.binary(
    max_size=6
)
engine_frames = st.one_of(
    st.builds(frames.data, st.integers(1, 12), st.binary(max_size=30), end=st.booleans()),
    st.builds(frames.data, st.sampled_from([1, 3, 5]), st.binary(max_size=9), end=st.booleans(), pad=small),
    st.builds(frames.headers, st.sampled_from([1, 3, 5, 7]), blocks, end=st.booleans(), end_headers=st.booleans()),
    st.builds(frames.continuation, st.sampled_from([1, 3]), blocks, end_headers=st.booleans()),
    st.builds(frames.rst, st.integers(1, 12), small),
    st.builds(frames.window_update, small, st.sampled_from([0, 1, 1000, 2**31 - 1])),
    st.builds(frames.ping, st.binary(min_size=8, max_size=8), ack=st.booleans()),
    st.builds(frames.goaway, small, small),
    st.builds(frames.settings, st.dictionaries(st.integers(1, 9), st.integers(0, 70_000), max_size=3)),
    st.builds(frames.settings, ack=st.booleans()),
    st.builds(frames.raw, st.integers(0, 20), st.integers(0, 63), small, st.binary(max_size=12)),
)


# Most bytes of the first kind end the connection soon; these are what a server really sends.
live = st.sampled_from([1, 3, 5])
tame_frames = st.one_of(
    st.builds(
        lambda stream, end: frames.headers(stream, frames.literals([(":status", "200")]), end=end),
        live,
        st.booleans(),
    ),
    st.builds(lambda stream: frames.headers(stream, frames.literals([(":status", "103")])), live),
    st.builds(lambda stream: frames.headers(stream, frames.literals([("x-t", "1")]), end=True), live),
    st.builds(
        lambda stream: (
            frames.headers(stream, b"", end_headers=False)
            + frames.continuation(
                stream, frames.literals([(":status", "200"), ("content-length", "5")]), end_headers=True
            )
        ),
        live,
    ),
    st.builds(frames.data, live, st.binary(max_size=300), end=st.booleans()),
    st.builds(frames.data, live, st.binary(max_size=9), pad=small),
    st.builds(frames.rst, live, small),
    st.builds(frames.window_update, st.sampled_from([0, 1, 3, 5]), st.integers(1, 1000)),
    st.builds(frames.ping, st.binary(min_size=8, max_size=8), ack=st.booleans()),
    st.builds(frames.goaway, st.sampled_from([1, 3, 5]), small),
    st.builds(frames.settings, st.dictionaries(st.sampled_from([1, 3, 4, 6]), st.integers(0, 70_000), max_size=3)),
    st.builds(frames.raw, st.integers(10, 20), st.integers(0, 63), small, st.binary(max_size=12)),
)


def engine_heard(pieces: list[bytes]) -> Any:
    recorder = Recorder(settings=frames.settings({8: 1}))
    for head, end in ((GET, True), (GET, False), (CONNECT, False)):
        recorder.open(head, end=end)
    recorder.take()
    for piece in pieces:
        if recorder.engine.fault is None:
            recorder.engine.receive(piece)
    fault = recorder.engine.fault
    return (
        recorder.heard(),
        recorder.take(),
        type(fault),
        getattr(fault, "error_code", None),
        list(recorder.engine.streams),
    )


@EXAMPLES
@given(st.lists(engine_frames, max_size=12) | st.lists(tame_frames, max_size=30), places)
def test_the_engine(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert engine_heard(cut(data, at)) == engine_heard([data])


# A WebSocket's session.

opcodes = st.sampled_from([0, 1, 2, 8, 9, 10])
good_frames = st.one_of(
    st.builds(frames.ws, st.sampled_from([1, 2]), st.text(max_size=200)),
    st.builds(frames.ws, st.sampled_from([1, 2]), st.binary(max_size=200), fin=st.booleans()),
    st.builds(frames.ws, st.just(0), st.text(max_size=40), fin=st.booleans()),
    st.builds(frames.ws, st.sampled_from([9, 10]), st.binary(max_size=20)),
    st.builds(frames.ws_close, st.sampled_from([None, 1000, 1001, 1005, 1014, 4000]), st.text(max_size=20)),
)
bad_frames = st.one_of(
    st.builds(
        frames.ws,
        st.integers(0, 15),
        st.binary(max_size=130),
        fin=st.booleans(),
        rsv=st.integers(0, 7),
        mask=st.none() | st.just(b"abcd"),
    ),
    st.builds(frames.ws, opcodes, st.binary(max_size=100), width=st.sampled_from([16, 64])),
    st.binary(max_size=8),
)
deflated = st.builds(
    lambda data, level: frames.ws(2, (zlib.compressobj(level, wbits=-15).compress(data) or b"") + b"\x02\x00", rsv=4),
    st.binary(max_size=300),
    st.integers(0, 9),
)


def session_heard(
    pieces: list[bytes], *, deflate: bool = False, fast: int | None = None, queue: int = 5
) -> dict[str, Any]:
    """What a session says of these bytes, if it is drained whenever it is full."""
    limits = trio_h2ws.Limits(max_message_size=500, max_queued_messages=queue, max_fragments=20)
    agreed = accept_deflate("permessage-deflate", trio_h2ws.DeflateOptions()) if deflate else None
    session = FrameReceiver(limits, agreed, lambda: 0.0)
    session.queue.want_parts = False
    messages: list[Any] = []
    for piece in pieces:
        session.receive(piece)
        while session.queue.messages:
            messages.append(session.queue.pop())
            session.receive(b"")
    return {
        "messages": messages,
        "pongs": list(session.pongs),
        "replies": len(session.replies),  # masked, with a fresh mask each
        "failure": session.failure[0] if session.failure is not None else None,
        "close": (session.close_received, session.close_code, session.close_reason),
    }


@EXAMPLES
@example([b"\x81\xfe\x00\x7e" + bytes(4) + b"x" * 126], [2])
@given(st.lists(good_frames | bad_frames, max_size=10), places)
def test_a_session(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert session_heard(cut(data, at)) == session_heard([data])


@EXAMPLES
@given(st.lists(good_frames | deflated, max_size=8), places)
def test_a_session_with_compression(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert session_heard(cut(data, at), deflate=True) == session_heard([data], deflate=True)


@EXAMPLES
@example([frames.ws(2, bytes(200), width=64)], False)
@example([b"\x88~\x00\x02\x0c\x00"], False)
@given(st.lists(good_frames | bad_frames | deflated, max_size=10), st.booleans())
def test_both_lanes_say_the_same(parts: list[bytes], deflate: bool) -> None:
    # Byte by byte no frame is ever whole when its header is read, so all of them take wsproto's lane.
    data = b"".join(parts)
    slow = session_heard([data[at : at + 1] for at in range(len(data))], deflate=deflate)
    assert session_heard([data], deflate=deflate) == slow


@EXAMPLES
@given(st.lists(good_frames, max_size=10), st.integers(1, 4))
def test_the_size_of_the_queue_changes_nothing(parts: list[bytes], queue: int) -> None:
    data = b"".join(parts)
    assert session_heard([data], queue=queue) == session_heard([data], queue=100)


# Content.


@EXAMPLES
@given(st.binary(max_size=500), st.sampled_from(["gzip", "deflate", "raw", "both"]), places, st.binary(max_size=3))
def test_content(body: bytes, kind: str, at: list[int], garbage: bytes) -> None:
    if kind == "gzip":
        encoding, data = "gzip", gzip.compress(body)
    elif kind == "both":
        encoding, data = "gzip, deflate", zlib.compress(gzip.compress(body))
    else:
        encoding, data = "deflate", zlib.compress(body)
        if kind == "raw":
            raw = zlib.compressobj(wbits=-15)
            data = raw.compress(body) + raw.flush()

    def heard(pieces: list[bytes]) -> Any:
        decoder = Decoder(encoding)
        out = b""
        try:
            for piece in pieces:
                out += b"".join(decoder.feed(piece))
        except trio_h2ws.RemoteProtocolError:
            return "no"
        return out

    assert heard(cut(data, at)) == body
    data += garbage
    assert heard(cut(data, at)) == heard([data])
