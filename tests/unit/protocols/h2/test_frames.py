"""Cutting bytes into frames, and building frames. hyperframe is the second opinion."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest

from toolkit.frames import parse
from toolkit.inside import pieces_held_by
from trio_h2ws._errors import ErrorCode
from trio_h2ws._protocols.h2 import frames
from trio_h2ws._protocols.h2.frames import FrameError, FrameSplitter


def alone(stream: int) -> int:
    return 0


def test_frames_are_cut_in_order() -> None:
    sent = frames.frame(frames.PING, 1, 0, b"12345678") + frames.frame(frames.DATA, 0, 5, b"") + b"\0\0\1"
    splitter = FrameSplitter(alone)
    assert list(splitter.feed(sent)) == [(6, 1, 0, b"12345678"), (0, 0, 5, b"")]
    assert list(splitter.feed(b"\0\0\0\0\0\7x")) == [(0, 0, 7, b"x")]


def test_the_reserved_bit_is_not_part_of_the_id() -> None:
    assert list(FrameSplitter(alone).feed(frames.frame(0, 0, 1 | 1 << 31, b"x"))) == [(0, 0, 1, b"x")]


def test_a_frame_is_refused_by_its_length_alone() -> None:
    good = frames.frame(frames.PING, 0, 0, b"12345678")
    splitter = FrameSplitter(alone)
    cut = splitter.feed(good + frames.header(16385, 0, 0, 1))
    assert next(cut)[0] == frames.PING
    with pytest.raises(FrameError) as caught:
        next(cut)
    assert caught.value.code == ErrorCode.FRAME_SIZE_ERROR


def test_a_frame_of_the_largest_size_is_accepted() -> None:
    data = frames.frame(0, 0, 1, bytes(16384))
    splitter = FrameSplitter(alone)
    assert list(splitter.feed(data[:-1])) == []
    assert list(splitter.feed(data[-1:])) == [(0, 0, 1, bytes(16384))]


def test_bytes_that_drip_in_are_joined_in_blocks() -> None:
    splitter = FrameSplitter(alone)
    data = frames.frame(0, 0, 1, bytes(16384))
    for byte in data[:-1]:
        assert list(splitter.feed(bytes((byte,)))) == []
    # An object for each byte would take many times their size, and one for all of them quadratic copying.
    assert pieces_held_by(splitter) == 5
    assert list(splitter.feed(data[-1:])) == [(0, 0, 1, bytes(16384))]


def data(*parts: bytes, stream: int = 1, flags: int = 0) -> bytes:
    return b"".join(frames.frame(frames.DATA, flags, stream, part) for part in parts)


def test_data_frames_of_one_stream_that_come_together_are_given_as_one() -> None:
    splitter = FrameSplitter(lambda stream: 1000)
    assert list(splitter.feed(data(b"a", b"bc", b"d") + data(b"e", stream=3))) == [
        (0, 0, 1, b"abcd"),
        (0, 0, 3, b"e"),
    ]
    assert list(splitter.feed(data(b"f", b"g")[:-1])) == [(0, 0, 1, b"f")]
    assert list(splitter.feed(b"g" + data(b"h", b"i"))) == [(0, 0, 1, b"g"), (0, 0, 1, b"hi")]


def test_data_frames_with_flags_and_empty_ones_come_alone() -> None:
    splitter = FrameSplitter(lambda stream: 1000)
    for odd in (data(b"x", flags=frames.END_STREAM), data(b""), frames.frame(frames.PING, 0, 1, b"x")):
        assert [payload for *_, payload in splitter.feed(data(b"a", b"b") + odd + data(b"c"))] == [
            b"ab",
            odd[9:],
            b"c",
        ]


def test_data_frames_given_as_one_have_no_more_than_there_is_room_for() -> None:
    splitter = FrameSplitter({1: 5, 3: 3}.__getitem__)
    assert [payload for *_, payload in splitter.feed(data(b"abc", b"de", b"f"))] == [b"abcde", b"f"]
    assert [payload for *_, payload in splitter.feed(data(b"abc", b"d", stream=3))] == [b"abc", b"d"]


def test_data_frames_given_as_one_are_64_kib_at_most() -> None:
    splitter = FrameSplitter(lambda stream: 1_000_000)
    sizes = [len(payload) for *_, payload in splitter.feed(data(*[bytes(10_000)] * 15))]
    assert sizes == [60_000, 60_000, 30_000]


def test_a_frame_that_is_too_long_is_refused_after_those_before_it() -> None:
    cut = FrameSplitter(lambda stream: 1_000_000).feed(data(b"a", b"b") + frames.header(16385, 0, 0, 1))
    assert next(cut)[3] == b"ab"
    with pytest.raises(FrameError):
        next(cut)


def test_hyperframe_reads_the_frames_that_we_build() -> None:
    rst, update, goaway = parse(
        frames.rst_stream(5, 8) + frames.window_update(7, 1000) + frames.goaway(3, 11, b"why")
    )
    assert isinstance(rst, hf.RstStreamFrame)
    assert (rst.stream_id, rst.error_code) == (5, 8)
    assert isinstance(update, hf.WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (7, 1000)
    assert isinstance(goaway, hf.GoAwayFrame)
    assert (goaway.last_stream_id, goaway.error_code, goaway.additional_data) == (3, 11, b"why")


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize(("size", "count"), [(0, 1), (100, 1), (101, 2), (200, 2), (950, 10)])
def test_a_large_header_block_uses_continuation_frames(size: int, count: int, end: bool) -> None:
    block = bytes(n % 256 for n in range(size))
    parsed = parse(frames.header_block(3, block, end, 100))
    assert len(parsed) == count
    assert isinstance(parsed[0], hf.HeadersFrame)
    assert all(isinstance(frame, hf.ContinuationFrame) for frame in parsed[1:])
    assert b"".join(frame.data for frame in parsed) == block  # type: ignore[attr-defined]
    assert ["END_HEADERS" in frame.flags for frame in parsed] == [False] * (count - 1) + [True]
    assert ("END_STREAM" in parsed[0].flags) is end


def test_padding_is_stripped() -> None:
    assert frames.strip_padding(0, b"abc") == b"abc"
    assert frames.strip_padding(frames.PADDED, b"\2abc\0\0") == b"abc"
    assert frames.strip_padding(frames.PADDED, b"\0") == b""
    for bad in (b"", b"\1", b"\5abcd"):
        with pytest.raises(FrameError):
            frames.strip_padding(frames.PADDED, bad)
