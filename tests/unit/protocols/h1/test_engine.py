"""HTTP/1.1 without a connection: which hooks are called, and how often."""

from __future__ import annotations

import pytest

from toolkit.record import GET, H1Recorder
from trio_h2ws._protocols.engine import RequestHead

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"
UPLOAD = RequestHead(b"POST", GET.scheme, GET.authority, GET.target, [(b"content-length", b"4")])


def heard(record: H1Recorder) -> list[str]:
    return [entry[0] for entry in record.heard() if entry[0] != "free"]


@pytest.mark.parametrize("answered_after", ["head", "part", "all bytes", "end"])
def test_a_stream_ends_once(answered_after: str) -> None:
    """The kind: a hook that is called twice, when the response ends before the upload."""
    record = H1Recorder()
    engine = record.engine
    stream = record.open(UPLOAD, end=False)
    steps = {
        "head": lambda: record.take(),
        "part": lambda: (engine.send(stream, b"ab"), record.take()),
        "all bytes": lambda: (engine.send(stream, b"cd"), record.take()),
        "end": lambda: engine.end(stream),
    }
    for name, step in steps.items():
        step()
        if name == answered_after:
            engine.receive(ANSWER)
            assert heard(record) == ["response", "data", "end"]
    assert not heard(record)
    assert stream.closed
    assert not engine.exhausted
    record.open(GET)
    record.take()
    engine.receive(ANSWER)
    assert heard(record) == ["response", "data", "end"]
