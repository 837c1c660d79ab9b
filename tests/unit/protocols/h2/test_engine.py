"""The engine without a connection: calls in, bytes out; bytes in, hooks called."""

from __future__ import annotations

import hyperframe.frame as hf
import pytest

import trio_h2ws
from toolkit import frames
from toolkit.frames import parse
from toolkit.inside import set_next_stream_id, streams_of
from toolkit.record import CONNECT, Recorder
from trio_h2ws._protocols.engine import RequestHead

OK = frames.literals([(":status", "200")])


def test_the_preface_precedes_settings_and_window_update() -> None:
    recorder = Recorder(settings=None)
    assert recorder.preface.startswith(frames.PREFACE)
    settings, window = parse(recorder.preface[len(frames.PREFACE) :])
    assert isinstance(settings, hf.SettingsFrame)
    assert settings.settings[frames.ENABLE_PUSH] == 0
    assert isinstance(window, hf.WindowUpdateFrame)
    assert window.window_increment == trio_h2ws.Limits().connection_window - 65_535


def test_the_smallest_window_needs_no_window_update() -> None:
    recorder = Recorder(trio_h2ws.Limits(connection_window=65_535), settings=None)
    assert len(parse(recorder.preface[len(frames.PREFACE) :])) == 1


def test_a_whole_exchange_calls_each_hook_in_order() -> None:
    recorder = Recorder()
    stream = recorder.open()
    recorder.engine.receive(
        frames.headers(1, frames.literals([(":status", "103")]))
        + frames.headers(1, OK)
        + frames.data(1, b"one")
        + frames.data(1, b"two")
        + frames.headers(1, frames.literals([("x-t", "1")]), end=True)
    )
    assert recorder.heard() == [
        ("informational", 1, 103, []),
        ("response", 1, 200, []),
        ("data", 1, b"onetwo"),
        ("free", 1),
        ("end", 1, [(b"x-t", b"1")]),
    ]
    assert stream.closed
    assert streams_of(recorder) == {}
    assert recorder.engine.fault is None
    assert recorder.engine.data_received == 6


def test_a_response_may_be_only_headers() -> None:
    recorder = Recorder()
    recorder.open()
    recorder.engine.receive(frames.headers(1, OK, end=True))
    assert recorder.heard() == [("response", 1, 200, []), ("free", 1), ("end", 1, None)]


def test_a_stream_stays_open_until_both_sides_end() -> None:
    recorder = Recorder()
    stream = recorder.open(end=False)
    recorder.engine.receive(frames.headers(1, OK, end=True))
    assert recorder.heard() == [("response", 1, 200, []), ("end", 1, None)]
    assert not stream.closed
    recorder.engine.send(stream, b"still sending")
    recorder.engine.end(stream)
    assert len(parse(recorder.take())) == 3  # acknowledgement of SETTINGS, HEADERS, DATA
    assert stream.closed
    assert recorder.heard() == [("free", 1)]


def test_stream_ids_are_odd_and_grow() -> None:
    recorder = Recorder()
    assert [recorder.open().id for _ in range(3)] == [1, 3, 5]
    assert not recorder.engine.exhausted
    set_next_stream_id(recorder, 2**31 - 1)
    assert recorder.open().id == 2**31 - 1
    assert recorder.engine.exhausted


def test_reset_drops_queued_data_and_is_sent_once() -> None:
    recorder = Recorder()
    stream = recorder.open(end=False)
    recorder.engine.send(stream, b"dropped")
    recorder.engine.reset(stream, 8)
    recorder.engine.reset(stream, 8)
    kinds = [type(frame) for frame in parse(recorder.take())]
    assert kinds == [hf.SettingsFrame, hf.HeadersFrame, hf.RstStreamFrame]
    assert recorder.heard() == [("free", 1)]


@pytest.mark.parametrize(("code", "kind"), [(7, "RequestNotProcessed"), (8, "StreamReset"), (0, "StreamReset")])
def test_a_peers_reset_is_an_error_of_its_stream(code: int, kind: str) -> None:
    recorder = Recorder()
    recorder.open()
    recorder.engine.receive(frames.rst(1, code))
    assert [entry[:3] for entry in recorder.heard()] == [("free", 1), ("error", 1, kind)]


def test_goaway_ends_the_streams_above_its_last_id() -> None:
    recorder = Recorder()
    for _ in range(4):
        recorder.open()
    recorder.engine.receive(frames.goaway(3, 11, b"debug"))
    assert recorder.heard() == [
        ("goaway", 3, 11, b"debug"),
        ("free", 5),
        ("error", 5, "RequestNotProcessed", 11),
        ("free", 7),
        ("error", 7, "RequestNotProcessed", 11),
    ]
    recorder.engine.receive(frames.goaway(7) + frames.goaway(1))
    assert [entry[:2] for entry in recorder.heard()] == [
        ("goaway", 3),
        ("goaway", 1),
        ("free", 3),
        ("error", 3),
    ]


def test_pings_are_answered_and_acks_reported() -> None:
    recorder = Recorder()
    recorder.take()
    recorder.engine.receive(frames.ping(b"12345678") + frames.ping(b"87654321", ack=True))
    (frame,) = parse(recorder.take())
    assert isinstance(frame, hf.PingFrame)
    assert frame.opaque_data == b"12345678"
    assert "ACK" in frame.flags
    assert recorder.heard() == [("ping ack", b"87654321")]


def test_only_the_first_settings_enable_extended_connect() -> None:
    for values, can in (({}, False), ({8: 0}, False), ({8: 1}, True)):
        recorder = Recorder(settings=frames.settings(values))
        assert recorder.engine.can_connect is can
    recorder = Recorder()
    recorder.engine.receive(frames.settings({8: 1}))
    assert not recorder.engine.can_connect


def test_max_streams_is_the_lower_of_both_bounds() -> None:
    recorder = Recorder(trio_h2ws.Limits(max_streams=50), settings=frames.settings({3: 100}))
    assert recorder.engine.max_streams == 50
    recorder.engine.receive(frames.settings({3: 7}))
    assert recorder.engine.max_streams == 7


def test_peer_settings_are_shown_by_name() -> None:
    recorder = Recorder(settings=frames.settings({3: 7, 8: 1, 0xABCD: 5}))
    settings = recorder.engine.peer_settings()
    assert settings["MAX_CONCURRENT_STREAMS"] == 7
    assert settings["ENABLE_CONNECT_PROTOCOL"] == 1
    assert settings["0xabcd"] == 5


def test_a_large_header_block_can_be_decoded() -> None:
    import hpack

    recorder = Recorder()
    recorder.take()
    decoder = hpack.Decoder()
    head = RequestHead(b"PUT", b"https", b"example.org", b"/x", [(b"cookie", b"a=b"), (b"x-large", b"y" * 40_000)])
    recorder.open(head)
    parsed = parse(recorder.take())
    assert [type(frame) for frame in parsed] == [hf.HeadersFrame, hf.ContinuationFrame, hf.ContinuationFrame]
    fields = decoder.decode(b"".join(frame.data for frame in parsed), raw=True)  # type: ignore[attr-defined]
    assert (b"x-large", b"y" * 40_000) in [tuple(field) for field in fields]


def test_headers_larger_than_the_peer_allows_leave_no_trace() -> None:
    recorder = Recorder(settings=frames.settings({6: 100}))
    with pytest.raises(trio_h2ws.LocalProtocolError):
        recorder.open()
    assert streams_of(recorder) == {}
    recorder.engine.receive(frames.settings({6: 1000}))
    assert recorder.open().id == 1


def test_abandon_ends_every_stream() -> None:
    recorder = Recorder()
    streams = [recorder.open() for _ in range(3)]
    recorder.engine.abandon(trio_h2ws.ConnectionLost("gone"))
    assert [entry[:3] for entry in recorder.heard()] == [("error", n, "ConnectionLost") for n in (1, 3, 5)]
    assert all(stream.closed for stream in streams)
    assert recorder.engine.streams == {}


def test_a_connect_stream_ignores_content_length() -> None:
    recorder = Recorder(settings=frames.settings({8: 1}))
    recorder.open(CONNECT, end=False)
    block = frames.literals([(":status", "200"), ("content-length", "0")])
    recorder.engine.receive(frames.headers(1, block) + frames.data(1, b"frame"))
    assert [entry[0] for entry in recorder.heard()] == ["response", "data"]


def test_unconsumed_data_is_credited_to_the_connection_only() -> None:
    limits = trio_h2ws.Limits(stream_window=100_000, connection_window=65_535)
    recorder = Recorder(limits)
    stream = recorder.open(greedy=False)
    recorder.engine.receive(frames.headers(1, OK) + frames.body(1, bytes(60_000), end=False))
    updates = [frame for frame in parse(recorder.take()) if isinstance(frame, hf.WindowUpdateFrame)]
    assert {frame.stream_id for frame in updates} == {0}
    assert stream.receive_window.left == 40_000
    assert recorder.engine.consume(stream, 60_000)
    (update,) = parse(recorder.take())
    assert isinstance(update, hf.WindowUpdateFrame)
    assert (update.stream_id, update.window_increment) == (1, 60_000)


def test_an_ended_stream_gets_no_credit() -> None:
    recorder = Recorder(trio_h2ws.Limits(stream_window=100))
    stream = recorder.open(greedy=False)
    recorder.engine.receive(frames.headers(1, OK) + frames.data(1, bytes(100), end=True))
    recorder.take()
    assert not recorder.engine.consume(stream, 100)
    assert recorder.take() == b""


def test_nothing_is_read_after_a_fault() -> None:
    recorder = Recorder()
    recorder.open()
    recorder.engine.receive(frames.raw(6, 0, 0, b"short") + frames.headers(1, OK, end=True))
    assert recorder.heard() == []
    assert isinstance(recorder.engine.fault, trio_h2ws.RemoteProtocolError)
    assert isinstance(parse(recorder.take())[-1], hf.GoAwayFrame)
