"""HTTP/1.1: the fast lane and h11 make the same of any response, and of any request."""

from __future__ import annotations

from typing import Any

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_h2ws
from toolkit import inside
from toolkit.record import GET, H1Recorder
from trio_h2ws._protocols.engine import RequestHead, TransportEnd
from trio_h2ws._protocols.h1.request_head import Forward, request_bytes, request_event

from .strategies import cut, places

EXAMPLES = settings(max_examples=600, deadline=None)
LIMITS = trio_h2ws.Limits(max_header_list_size=300, max_informational=3)
HEAD = RequestHead(b"HEAD", *GET[1:])
HANDSHAKE = RequestHead(b"CONNECT", *GET[1:5], b"websocket")
requests = st.sampled_from([GET, GET, GET, HEAD, HANDSHAKE])

# Mostly what servers send, so that the fast lane gets far; then one thing that is strange.
statuses = st.sampled_from(
    [
        *([b"HTTP/1.1 200 OK"] * 6),
        *(b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 404", b"HTTP/1.1 599 \xe4"),
        *(b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 100 Continue", b"HTTP/1.0 200 OK", b"HTTP/1.1 020 OK"),
        *(b"HTTP/1.1 200\x0bOK", b"HTTP/2 200", b"http/1.1 200 OK", b"HTTP/1.1  200 OK"),
    ]
)
plain = st.sampled_from(
    [
        *(b"Content-Type: text/plain", b"x-Empty:", b"X-Space:  a b \t", b"server: \xfc"),
        *(b"Set-Cookie: a=1", b"set-cookie: b", b"Keep-Alive: timeout=5", b"keep-alive: max=0"),
        *(b"Connection: keep-alive", b"Connection: close", b"connection: Keep-Alive, Close"),
    ]
)
strange = st.sampled_from(
    [
        *(b"Content-Length: 5", b"content-length: 05", b"Content-Length: 5, 5", b"Content-Length: +5"),
        *(b"Content-Length:", b"Content-Length: 0", b"Content-Length: 99999999999999999999"),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: Chunked", b"transfer-encoding: gzip, chunked"),
        *(b"a: b\r\n c", b"not a field", b"x\x7f: 1", b"y: \x01", b"z: a\x0bb", b"transfer-encoding: identity"),
        *(b"connection: upgrade", b"Upgrade: websocket"),
    ]
)
chunk_sizes = st.sampled_from([b"%x", b"%X", b"0%x", b"%x;a=b", b"%x "])
chunk_ends = st.sampled_from([*([b"\r\n"] * 5), b"\n", b"\rx", b"x\n"])
last_chunks = st.sampled_from(
    [
        *([b"0\r\n\r\n"] * 4),
        *(b"0\r\nx-trailer: 1\r\n\r\n", b"00\r\n\r\n", b"0;a\r\n\r\n", b"", b"0\r\n", b"g"),
    ]
)


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, bytes]:
    parts = draw(st.lists(st.binary(min_size=1, max_size=20), max_size=4))
    size, end = draw(chunk_sizes), draw(chunk_ends)
    body = b"".join(size % len(part) + b"\r\n" + part + end for part in parts)
    return b"Transfer-Encoding: chunked", body + draw(last_chunks)


@st.composite
def sized(draw: st.DrawFn) -> tuple[bytes, bytes]:
    body = draw(st.binary(max_size=30))
    more = draw(st.sampled_from([0, 0, 0, 1, -1]))
    return b"Content-Length: %d" % max(0, len(body) + more), body


framings = chunked() | sized() | st.just((b"x-none: 1", b"")) | st.tuples(strange, st.binary(max_size=20))


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    framing, body = draw(framings)
    lines = draw(st.lists(plain, max_size=4)) + draw(st.lists(strange, max_size=1) | st.just([]))
    lines.insert(draw(st.integers(0, len(lines))), framing)
    end = draw(st.sampled_from([*([b"\r\n"] * 8), b"\n"]))
    head = end.join([draw(statuses), *lines, b"", b""])
    return head + body + draw(st.sampled_from([b"", b"", b"", b"x", b"HTTP/1.1 200 OK\r\n\r\n"]))


def heard(pieces: list[bytes], request: RequestHead, end: TransportEnd | None, *, by_h11: bool) -> dict[str, Any]:
    recorder = H1Recorder(LIMITS)
    engine = recorder.engine
    stream = recorder.open(request, end=request.protocol is None)
    recorder.take()
    if by_h11:
        inside.leave_fast_lane(engine)
    for piece in pieces:
        if piece and engine.fault is None:
            engine.receive(piece)
    if end is not None and engine.fault is None:
        engine.receive_end(end)
    return {
        "log": recorder.heard(),
        "fault": type(engine.fault),
        "exhausted": engine.exhausted or engine.fault is not None,
        "stream": (stream.responded, stream.answered, stream.remote_ended, stream.closed, stream.may_be_truncated),
        "hint": engine.end_hint,
        "idle": engine.idle_timeout,
        "unread": engine.paused,
    }


ends = st.sampled_from([None, None, *TransportEnd])


@EXAMPLES
@given(responses(), requests, ends)
def test_both_lanes_hear_the_same_in_one_piece(data: bytes, request: RequestHead, end: TransportEnd | None) -> None:
    assert heard([data], request, end, by_h11=False) == heard([data], request, end, by_h11=True)


@EXAMPLES
@given(responses(), requests, ends, places)
def test_both_lanes_hear_the_same_in_pieces(
    data: bytes, request: RequestHead, end: TransportEnd | None, at: list[int]
) -> None:
    pieces = cut(data, at)
    assert heard(pieces, request, end, by_h11=False) == heard(pieces, request, end, by_h11=True)


@EXAMPLES
@given(responses(), ends, places)
def test_a_body_that_is_cut_anywhere_is_heard_alike(data: bytes, end: TransportEnd | None, at: list[int]) -> None:
    """The head in one piece, for the fast lane, and the body in many."""
    head, separator, body = data.partition(b"\r\n\r\n")
    pieces = [head + separator, *cut(body, at)]
    assert heard(pieces, GET, end, by_h11=False) == heard(pieces, GET, end, by_h11=True)


fields = st.lists(
    st.tuples(
        st.sampled_from([b"accept", b"x-a", b"te", b"etag", b"sec-websocket-key", b"content-length", b"user-agent"]),
        st.sampled_from([b"", b"1", b"a b\tc", b"\xff"]),
    ),
    max_size=5,
    unique_by=lambda field: field[0],
)


@EXAMPLES
@given(fields, requests, st.booleans())
def test_both_lanes_write_the_same_request(
    given_fields: list[tuple[bytes, bytes]], request: RequestHead, forwarded: bool
) -> None:
    kept = [(name, b"1" if name == b"content-length" else value) for name, value in given_fields]
    head = RequestHead(*request[:4], kept, request.protocol)
    forward = Forward(b"http://origin.test", [(b"proxy-authorization", b"Basic eDp5")]) if forwarded else None
    written = h11.Connection(h11.CLIENT).send(request_event(head, forward, chunked=False))
    assert request_bytes(head, forward) == written
