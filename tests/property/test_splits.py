"""However the bytes are cut on their way, the result is the same."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

import trio_h2ws
from toolkit import frames
from toolkit.inside import streams_of, use_wsproto
from toolkit.record import CONNECT, GET, Recorder
from trio_h2ws._protocols.h2.frames import FrameError, FrameSplitter
from trio_h2ws._protocols.ws.deflate import accept_deflate
from trio_h2ws._protocols.ws.receiver import FrameReceiver
from trio_h2ws._requests.content_encoding import Decoder

from .strategies import any_frame, bad_frames, cut, deflated, engine_frames, good_frames, places, tame_frames

EXAMPLES = settings(max_examples=100, deadline=None)


# Frames.


def split_frames(pieces: list[bytes]) -> list[Any]:
    splitter = FrameSplitter(lambda stream: 0)  # each DATA frame for itself
    heard: list[Any] = []
    try:
        for piece in pieces:
            heard.extend(splitter.feed(piece))
    except FrameError as error:
        heard.append(error.code)
    return heard


@EXAMPLES
@given(st.lists(any_frame | st.binary(max_size=12), max_size=8), places)
def test_cuts_do_not_change_the_frames(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert split_frames(cut(data, at)) == split_frames([data])


# The engine.


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
        list(streams_of(recorder)),
    )


@EXAMPLES
@given(st.lists(engine_frames, max_size=12) | st.lists(tame_frames, max_size=30), places)
def test_cuts_do_not_change_what_the_engine_reports(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert engine_heard(cut(data, at)) == engine_heard([data])


# A WebSocket's receiver.


def session_heard(
    pieces: list[bytes], *, deflate: bool = False, by_wsproto: bool = False, queue: int = 5
) -> dict[str, Any]:
    """What a receiver makes of these bytes, if its queue is emptied whenever it is full."""
    limits = trio_h2ws.Limits(max_message_size=500, max_queued_messages=queue, max_fragments=20)
    agreed = accept_deflate("permessage-deflate", trio_h2ws.DeflateOptions()) if deflate else None
    session = FrameReceiver(limits, agreed, lambda: 0.0)
    session.queue.want_parts = False
    if by_wsproto:
        use_wsproto(session)
    messages: list[Any] = []
    for piece in pieces:
        session.receive(piece)
        while session.queue.messages:
            messages.append(session.queue.pop())
            session.receive(b"")
    return {
        "messages": messages,
        "pongs": list(session.pongs),
        "replies": len(session.replies),  # the frames themselves differ in their masks
        "failure": session.failure[0] if session.failure is not None else None,
        "close": (session.close_received, session.close_code, session.close_reason),
    }


@EXAMPLES
@example([b"\x81\xfe\x00\x7e" + bytes(4) + b"x" * 126], [2])
@given(st.lists(good_frames | bad_frames, max_size=10), places)
def test_cuts_do_not_change_what_a_websocket_receives(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert session_heard(cut(data, at)) == session_heard([data])


@EXAMPLES
@given(st.lists(good_frames | deflated, max_size=8), places)
def test_cuts_do_not_change_compressed_messages(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert session_heard(cut(data, at), deflate=True) == session_heard([data], deflate=True)


@EXAMPLES
@example([frames.ws(2, bytes(200), width=64)], False)
@example([b"\x88~\x00\x02\x0c\x00"], False)
@given(st.lists(good_frames | bad_frames | deflated, max_size=10), st.booleans())
def test_wsproto_and_our_own_lanes_agree(parts: list[bytes], deflate: bool) -> None:
    # Fed byte by byte, no frame is ever whole when its head is read, so none takes the fast lane.
    data = b"".join(parts)
    single = [data[at : at + 1] for at in range(len(data))]
    expected = session_heard(single, deflate=deflate, by_wsproto=True)
    assert session_heard(single, deflate=deflate) == expected
    assert session_heard([data], deflate=deflate) == expected


@EXAMPLES
@given(st.lists(good_frames, max_size=10), st.integers(1, 4))
def test_the_queue_size_does_not_change_the_messages(parts: list[bytes], queue: int) -> None:
    data = b"".join(parts)
    assert session_heard([data], queue=queue) == session_heard([data], queue=100)


def parts_heard(pieces: list[bytes], queue: int) -> tuple[list[bytes], int | None]:
    """The messages, each joined from its parts, and the code of a failure.

    How much of a bad message comes before its failure depends on the cuts.
    """
    limits = trio_h2ws.Limits(max_message_size=500, max_queued_bytes=queue)
    agreed = accept_deflate("permessage-deflate", trio_h2ws.DeflateOptions(server_context_takeover=True))
    session = FrameReceiver(limits, agreed, lambda: 0.0)
    session.queue.choose_parts()
    messages = [b""]
    for piece in pieces:
        session.receive(piece)
        while session.queue.has_part:
            part, done = session.queue.take_part()
            messages[-1] += part.encode() if isinstance(part, str) else part
            if done:
                messages.append(b"")
            session.receive(b"")
    if session.failure is not None:
        return messages[:-1], session.failure[0]
    return messages, None


@EXAMPLES
@given(
    st.lists(st.tuples(st.binary(max_size=40), st.integers(1, 5000), st.booleans()), max_size=4),
    places,
    st.integers(1, 2000),
)
def test_compressed_messages_in_parts_are_the_messages(
    contents: list[tuple[bytes, int, bool]], at: list[int], queue: int
) -> None:
    deflate = zlib.compressobj(wbits=-15)
    data, messages = b"", [b""]
    for unit, times, whole in contents:
        messages.insert(-1, unit * times)
        payload = (deflate.compress(unit * times) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]
        middle = len(payload) if whole else len(payload) // 2
        data += frames.ws(frames.BINARY, payload[:middle], fin=whole, rsv=4)
        if not whole:
            data += frames.ws(frames.PING, b"p") + frames.ws(frames.CONT, payload[middle:])
    assert parts_heard(cut(data, at), queue) == (messages, None)


@EXAMPLES
@given(st.lists(good_frames | deflated, max_size=8), places)
def test_cuts_do_not_change_messages_in_parts(parts: list[bytes], at: list[int]) -> None:
    data = b"".join(parts)
    assert parts_heard(cut(data, at), 100) == parts_heard([data], 10**6)


# Content.


@EXAMPLES
@given(st.binary(max_size=500), st.sampled_from(["gzip", "deflate", "raw", "both"]), places, st.binary(max_size=3))
def test_cuts_do_not_change_decoded_content(body: bytes, kind: str, at: list[int], garbage: bytes) -> None:
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
