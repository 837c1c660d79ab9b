"""HTTP/1.1: however the bytes are cut, and whatever lines are left out, the same exchange is heard."""

from __future__ import annotations

from typing import Any

import h11
from hypothesis import given, settings
from hypothesis import strategies as st

import trio_h2ws
from toolkit.record import GET, H1Recorder
from trio_h2ws._http.response_heads import ResponseHeads
from trio_h2ws._protocols.engine import TransportEnd

from .strategies import cut, places

EXAMPLES = settings(max_examples=300, deadline=None)
LIMITS = trio_h2ws.Limits(max_header_list_size=120, max_informational=3)

line_ends = st.sampled_from([b"\r\n", b"\n"])
statuses = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 103 Early Hints",
        b"HTTP/1.1 204",
        b"HTTP/1.0 404 No",
        b"HTTP/1.1 2x0 OK",
        b"junk",
    ]
)
good_statuses = st.sampled_from([b"HTTP/1.1 200 OK", b"HTTP/1.1 204 None", b"HTTP/1.0 404"])
good_fields = st.sampled_from(
    [b"x-a: 1", b"content-length: 5", b"Content-Length:3", b"transfer-encoding: chunked", b"connection: close", b"e:"]
)
bad_lines = st.sampled_from(
    [b"PHP Warning: x", b"no colon", b"Bad Name: 1", b": x", b"a : b", b"bad line\r\n  and on"]
)
wrong_lines = st.sampled_from(
    [
        *(b"Content-Length : 5", b" Content-Length: 5", b"a: b\rc: d", b"transfer-encoding: gzip", b"z: \0"),
        *(b"content-length: 7", b"transfer-encoding:\r\n chunked", b"transfer-encoding: identity", b" on", b"a: \v"),
    ]
)
bodies = st.lists(
    st.sampled_from([b"5\r\nhello\r\n", b"3;x=1\r\nabc\r\n", b"0\r\n", b"\r\n", b"abc", b"x-t: 1\r\n", b"bad\r\n"])
).map(b"".join) | st.binary(max_size=20)


@st.composite
def heads(draw: st.DrawFn, lines: st.SearchStrategy[bytes], first: st.SearchStrategy[bytes] = statuses) -> bytes:
    end = draw(line_ends)
    blank = draw(st.sampled_from([b"", b"", b"\r\n", b"\n\r\n"]))
    return blank + b"".join(line + end for line in [draw(first), *draw(st.lists(lines, max_size=6)), b""])


responses = st.lists(heads(good_fields | bad_lines | wrong_lines) | bodies, max_size=5).map(b"".join)


def heard(pieces: list[bytes], *, end: bool = False) -> dict[str, Any]:
    recorder = H1Recorder(LIMITS)
    recorder.open(GET)
    recorder.take()
    for piece in pieces:
        if piece and recorder.engine.fault is None:
            recorder.engine.receive(piece)
    if end and recorder.engine.fault is None:
        recorder.engine.receive_end(TransportEnd.CLEAN)
    fault = recorder.engine.fault
    log = recorder.heard()
    # Bytes after the end of a response are noticed with it, or after it: either way the connection ends.
    over = any(entry[0] == "end" for entry in log)
    return {"log": log, "fault": None if over else type(fault), "goes on": recorder.engine.exhausted or bool(fault)}


@EXAMPLES
@given(responses, places, st.booleans())
def test_cuts_do_not_change_what_http1_reports(data: bytes, at: list[int], end: bool) -> None:
    assert heard(cut(data, at), end=end) == heard([data], end=end)


@EXAMPLES
@given(responses)
def test_single_bytes_do_not_change_what_http1_reports(data: bytes) -> None:
    assert heard([data[n : n + 1] for n in range(len(data))]) == heard([data])


@EXAMPLES
@given(good_statuses, st.lists(st.tuples(good_fields, st.lists(bad_lines, max_size=2)), max_size=5), bodies)
def test_lines_that_are_left_out_do_not_change_the_framing(
    status: bytes, lines: list[tuple[bytes, list[bytes]]], body: bytes
) -> None:
    """The framing is what h11 makes of the valid lines alone."""
    good = [status, *(line for line, _ in lines), b"", b""]
    mixed = [status, *(each for line, bad in lines for each in (*bad, line)), b"", b""]
    plain = heard([b"\r\n".join(good) + body])
    tolerant = heard([b"\r\n".join(mixed) + body])
    if plain["fault"] is not trio_h2ws.LimitExceeded and tolerant["fault"] is not trio_h2ws.LimitExceeded:
        assert (tolerant["log"], tolerant["fault"]) == (plain["log"], plain["fault"])


def h11_hears(data: bytes) -> list[Any] | None:
    """The events of plain h11; None for an error."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    if data:
        connection.receive_data(data)
    events: list[Any] = []
    body = b""
    try:
        while (event := connection.next_event()) not in (h11.NEED_DATA, h11.PAUSED):
            if isinstance(event, h11.Data):
                body += event.data
            else:
                events.append((type(event), getattr(event, "status_code", 0), list(event.headers)))  # type: ignore[union-attr]
    except h11.RemoteProtocolError:
        return None
    return [*events, body, connection.trailing_data[0]]


@EXAMPLES
@given(st.lists(heads(good_fields, good_statuses) | bodies, max_size=4).map(b"".join) | responses, places)
def test_what_h11_accepts_passes_with_the_same_meaning(data: bytes, at: list[int]) -> None:
    plain = h11_hears(data)
    filtered = ResponseHeads(10_000)
    passed = b"".join(filtered.feed(piece) for piece in cut(data, at)) + filtered.end()
    if plain is not None and filtered.error is None:
        assert h11_hears(passed) == plain or b"\n " in data or b"\v" in data or b"identity" in data
