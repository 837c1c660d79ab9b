"""What is sent, and in what order."""

from __future__ import annotations

from typing import Any

import hyperframe.frame as hf

from toolkit.frames import parse
from trio_h2ws._protocols.h2 import frames
from trio_h2ws._protocols.h2.send_queue import SendQueue
from trio_h2ws._protocols.stream_state import StreamState


class Stream(StreamState):
    def __init__(self, number: int, window: int = 1_000_000) -> None:
        super().__init__()
        self.id = number
        self.send_window = window
        self.drained = 0

    def on_drained(self) -> None:
        self.drained += 1


class Table:
    """What the queue asks of its table of streams is recorded."""

    def __init__(self) -> None:
        self.ended: list[StreamState] = []
        self.was_reset: list[tuple[StreamState, int]] = []

    def end_local(self, stream: StreamState) -> None:
        self.ended.append(stream)

    def reset(self, stream: StreamState, code: int) -> None:
        self.was_reset.append((stream, code))


def make_queue(window: int = 1_000_000) -> SendQueue:
    queue = SendQueue(lambda fields: b"".join(name + value for name, value in fields))
    queue.window = window
    return queue


def put(queue: SendQueue, stream: Stream, data: bytes) -> None:
    stream.queue(data)
    queue.ready(stream)


def take(queue: SendQueue, limit: int = 65_536) -> list[Any]:
    return parse(queue.produce(limit, Table())[0])


def test_an_empty_queue_has_no_output() -> None:
    queue = make_queue()
    assert not queue.has_output
    assert queue.produce(100, Table()) == (b"", False)


def test_control_frames_precede_data_in_turn() -> None:
    queue = make_queue()
    one, two = Stream(1), Stream(3)
    put(queue, one, bytes(40_000))
    put(queue, two, bytes(20_000))
    queue.control += frames.rst_stream(5, 8)
    got = take(queue, 10**9)
    assert [type(frame) for frame in got] == [hf.RstStreamFrame] + [hf.DataFrame] * 5
    assert [(frame.stream_id, len(frame.data)) for frame in got[1:]] == [
        (1, 16384),
        (3, 16384),
        (1, 16384),
        (3, 3616),
        (1, 7232),
    ]
    assert (one.out_size, two.out_size) == (0, 0)
    assert not queue.has_output


def test_produce_exceeds_its_limit_by_one_frame_at_most() -> None:
    queue = make_queue()
    put(queue, Stream(1), bytes(100_000))
    data, more = queue.produce(20_000, Table())
    assert 20_000 <= len(data) <= 20_000 + 16_393
    assert queue.has_output
    assert more


def test_data_stays_within_both_windows() -> None:
    queue = make_queue(1500)
    one, two = Stream(1, 1000), Stream(3, 1000)
    put(queue, one, bytes(5000))
    put(queue, two, bytes(5000))
    assert [(frame.stream_id, len(frame.data)) for frame in take(queue)] == [(1, 1000), (3, 500)]
    assert not queue.has_output
    queue.window += 10_000
    assert queue.has_output
    assert [(frame.stream_id, len(frame.data)) for frame in take(queue)] == [(3, 500)]
    assert not queue.has_output
    one.send_window += 1
    queue.ready(one)
    assert [(frame.stream_id, len(frame.data)) for frame in take(queue)] == [(1, 1)]


def test_a_queued_stream_waits_when_its_window_shrinks() -> None:
    queue = make_queue()
    stream = Stream(1)
    put(queue, stream, b"abc")
    stream.send_window = -5
    assert take(queue) == []
    stream.send_window = 2
    queue.ready(stream)
    assert [frame.data for frame in take(queue)] == [b"ab"]


def test_end_stream_is_set_on_the_last_data() -> None:
    queue = make_queue()
    stream = Stream(1)
    put(queue, stream, b"abc")
    stream.end_queued = True
    table = Table()
    (frame,) = parse(queue.produce(100, table)[0])
    assert "END_STREAM" in frame.flags
    assert table.ended == [stream]
    assert table.was_reset == []
    assert stream.drained == 1


def test_trailers_follow_the_last_data() -> None:
    queue = make_queue()
    stream = Stream(1)
    put(queue, stream, bytes(20_000))
    stream.end_queued = True
    stream.trailers = [(b"x", b"y")]
    got = take(queue)
    assert [type(frame) for frame in got] == [hf.DataFrame, hf.DataFrame, hf.HeadersFrame]
    assert ["END_STREAM" in frame.flags for frame in got] == [False, False, True]


def test_an_end_without_data_needs_no_credit() -> None:
    queue = make_queue(0)
    stream = Stream(1, 0)
    queue.end(stream)
    (frame,) = take(queue)
    assert "END_STREAM" in frame.flags
    assert frame.data == b""
    stream.trailers = [(b"x", b"y")]
    queue.end(stream)
    assert isinstance(take(queue)[0], hf.HeadersFrame)


def test_a_closed_stream_leaves_the_ring() -> None:
    queue = make_queue()
    one, two = Stream(1), Stream(3)
    put(queue, one, b"gone")
    put(queue, two, b"stays")
    one.closed = True
    queue.drop(one)
    assert [frame.data for frame in take(queue)] == [b"stays"]
    assert one.out_size == 0


def test_small_chunks_share_a_frame_and_large_ones_are_cut() -> None:
    queue = make_queue()
    stream = Stream(1)
    for n in range(10):
        put(queue, stream, bytes((n,)) * 100)
    assert [frame.data for frame in take(queue)] == [b"".join(bytes((n,)) * 100 for n in range(10))]
    large = bytes(range(256)) * 1000
    put(queue, stream, large)
    assert b"".join(frame.data for frame in take(queue, 10**9)) == large


def test_sent_bytes_are_counted() -> None:
    queue = make_queue()
    put(queue, Stream(1), b"abc")
    queue.control += frames.rst_stream(5, 8)
    data, _ = queue.produce(1000, Table())
    assert queue.bytes_sent == len(data) == 13 + 12
