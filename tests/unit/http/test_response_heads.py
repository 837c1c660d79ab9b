"""Heads of responses that are put right: which lines are left out, and which stay errors."""

from __future__ import annotations

import pytest

from trio_h2ws._http.response_heads import HeadTooLarge, MalformedHead, ResponseHeads

BOUND = 1000
OK = b"HTTP/1.1 200 OK\r\n"


def passed(data: bytes) -> bytes:
    """What passes of the data as a whole, and of the same data byte by byte."""
    heads, slow = ResponseHeads(BOUND), ResponseHeads(BOUND)
    whole = heads.feed(data)
    pieces = b"".join(slow.feed(data[at : at + 1]) for at in range(len(data)))
    assert (pieces, repr(slow.error), slow.left_out, slow.holding) == (
        whole,
        repr(heads.error),
        heads.left_out,
        heads.holding,
    )
    if heads.error is not None:
        raise heads.error
    return whole


@pytest.mark.parametrize(
    "good",
    [
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200\r\n\r\n",
        b"HTTP/1.0 404 Not Found\nserver: old\n\nbody",
        b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + OK + b"a: \t b c \r\nb:\r\n\r\nbody",
        OK + b"content-length: 5\r\nContent-Length: 6\r\n\r\n",  # h11 reports it
        OK + b"transfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nx: 1\r\n\r\n",
        OK + b"x: \x80\xff\r\n\r\n" + bytes(range(256)) * 9,
    ],
)
def test_a_good_head_passes_unchanged(good: bytes) -> None:
    assert passed(good) == good


@pytest.mark.parametrize(
    "line",
    [
        b"PHP Warning:  Undefined variable $x in /srv/index.php on line 3",
        b"no colon",
        b": no name",
        b"Bad Name: x",
        b"Blank-After : x",
        b"<br />",
        b"\xc3\xa4: x",
        b"x\x01y: z",
        b"PHP Warning: x\r\n  which goes on",
        b"bad\r\n\tand\r\n more: of it",
        b"x" * 300,
    ],
)
@pytest.mark.parametrize("status", [b"103 Early Hints", b"200 OK", b"101 Switching Protocols"])
def test_a_line_that_is_not_a_field_is_left_out(line: bytes, status: bytes) -> None:
    first = b"HTTP/1.1 " + status + b"\r\n"
    good = b"a: 1\r\ncontent-length: 5\r\n"
    for data in (first + line + b"\r\n" + good, first + b"a: 1\r\n" + line + b"\r\ncontent-length: 5\r\n"):
        heads = ResponseHeads(BOUND)
        assert heads.feed(data + b"\r\n") == passed(data + b"\r\n") == first + good + b"\r\n"
        assert heads.left_out


def test_a_blank_line_that_continues_nothing_is_left_out() -> None:
    assert passed(OK + b" \t \r\na: 1\r\n\r\n") == OK + b"a: 1\r\n\r\n"


def test_lines_are_left_out_of_trailers() -> None:
    data = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n"
    assert passed(data + b"PHP Warning: x\r\nx-sum: 1\r\nno colon\r\n\r\n") == data + b"x-sum: 1\r\n\r\n"
    assert passed(data + b"no colon\r\n\r\n") == data + b"\r\n"


@pytest.mark.parametrize("blank", [b"\r\n", b"\n", b"\r\n\n\r\n"])
def test_blank_lines_before_a_status_line_are_left_out(blank: bytes) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert passed(blank + hints + blank + OK + b"\r\n") == hints + OK + b"\r\n"
    heads = ResponseHeads(BOUND)
    assert heads.feed(blank) == b""
    assert not heads.begun
    assert not heads.holding
    heads.feed(b"H")
    assert heads.begun


@pytest.mark.parametrize("value", [b"identity", b" Identity\t"])
def test_identity_is_left_out(value: bytes) -> None:
    line = b"Transfer-Encoding:" + value + b"\r\n"
    assert passed(OK + line + b"content-length: 2\r\n\r\nok") == OK + b"content-length: 2\r\n\r\nok"
    assert passed(b"HTTP/1.1 101 Yes\r\n" + line + b"\r\nraw") == b"HTTP/1.1 101 Yes\r\n\r\nraw"
    heads = ResponseHeads(BOUND)
    heads.feed(OK + line + b"\r\n")
    assert not heads.left_out


@pytest.mark.parametrize(
    "codings",
    [
        [b"identity", b"chunked"],
        [b"chunked", b"identity"],
        [b"identity", b"identity"],
        [b"identity, chunked"],
        [b"gzip"],
        [b""],
        [b"xidentity"],
    ],
)
def test_other_transfer_codings_are_left_to_h11(codings: list[bytes]) -> None:
    lines = b"".join(b"transfer-encoding: " + coding + b"\r\n" for coding in codings)
    assert passed(OK + lines + b"\r\n") == OK + lines + b"\r\n"


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length : 5",
        b" Content-Length: 5",
        b"\tTransfer-Encoding: chunked",
        b"Content-Length 5",
        b"x Content-Length: 5",
        b"Transfer-Encoding\x0b: chunked",
        b"content-length\xa0: 5",
        b"Content-Length:\r\n 5",
        b"Content-Length: 5\r\n 6",
        b"transfer-encoding:\r\n\tchunked",
        b"a: 1\r\n Content-Length: 5",
        b"PHP Warning: x\r\n Content-Length: 5",
        b"a: 1\rContent-Length: 5",
        b"bad line\rContent-Length: 5",
        b"a: 1\0",
        b"bad\0 line",
    ],
)
def test_a_line_that_may_frame_the_body_stays_an_error(lines: bytes) -> None:
    for head in (OK, b"HTTP/1.1 103 Early Hints\r\n", OK + b"content-length: 5\r\n"):
        if lines.startswith(b"\t") or not (head.endswith(b"5\r\n") and lines[:1] == b" "):
            with pytest.raises(MalformedHead, match="illegal header line"):
                passed(head + lines + b"\r\n\r\n12345")


@pytest.mark.parametrize("bad", [b"\0", b"\r", b"\rx"])
def test_the_value_of_an_illegal_line_is_not_shown(bad: bytes) -> None:
    with pytest.raises(MalformedHead, match="illegal header line: 'Location'") as caught:
        passed(OK + b"Location: https://me:s3cret@a.test/" + bad + b"\r\n\r\n")
    assert "s3cret" not in str(caught.value)


def test_what_came_before_an_error_passes() -> None:
    heads = ResponseHeads(BOUND)
    hints = b"HTTP/1.1 103 Early Hints\r\n\r\n"
    assert heads.feed(hints + OK + b"content-length : 5\r\n\r\n") == hints
    assert isinstance(heads.error, MalformedHead)
    assert heads.feed(OK) == b""


@pytest.mark.parametrize("first", [b"garbage", b"SSH-2.0-OpenSSH\r\n", b"\x15\x03\x01\x00", b"HTTP 200", b"<html>"])
def test_a_response_begins_with_http(first: bytes) -> None:
    with pytest.raises(MalformedHead, match="illegal status line"):
        passed(first)


@pytest.mark.parametrize("line", [b"HTTP/1.1 2x0 OK", b"HTTP/1.1  200 OK", b"HTTP/11 200 OK", b"HTTP/1.1 200 a\rb"])
def test_a_bad_status_line_is_an_error(line: bytes) -> None:
    with pytest.raises(MalformedHead, match="illegal status line"):
        passed(line + b"\r\n\r\n")


def test_folded_lines_become_one() -> None:
    assert passed(OK + b"a: 1\r\n \t2 \r\n\r\n") == OK + b"a: 1 2\r\n\r\n"


def test_odd_blanks_in_a_value_are_spaces() -> None:
    assert passed(OK + b"a: 1\v2\f3\r\n\r\n") == OK + b"a: 1 2 3\r\n\r\n"


# Bounds.


@pytest.mark.parametrize("line", [b"x: %b\r\n", b"bad line %b\r\n"])
def test_the_bound_is_exact_and_counts_what_is_left_out(line: bytes) -> None:
    fits = OK + line % (b"y" * (BOUND - len(OK) - len(line % b"") - 2)) + b"\r\n"
    assert len(fits) == BOUND
    passed(fits)
    with pytest.raises(HeadTooLarge):
        passed(fits.replace(b"y", b"yy", 1))


@pytest.mark.parametrize("bound", [1000, 100_000])
@pytest.mark.parametrize("bad", [b"", b"bad line\n"])
@pytest.mark.parametrize("trailers", [False, True])
def test_a_field_counts_for_32_bytes(bad: bytes, trailers: bool, bound: int) -> None:
    """Four bytes of a field become Python objects of 150. But 2,048 fields are always allowed."""
    before = OK + (b"transfer-encoding: chunked\r\n\r\n0\r\nfirst: x\r\n" if trailers else b"") + bad
    fits = 3125 if bound == 100_000 else 320 - len(bad)
    for number, good in ((fits, True), (fits + 1, bound == 1000)):
        heads = ResponseHeads(bound)
        heads.feed(before + b"a:\n" * number + b"\r\n")
        assert (heads.error is None) is good


@pytest.mark.parametrize(
    "endless",
    [
        OK + b"x: " + b"y" * BOUND,
        b"\r\n" * BOUND,
        OK + b"bad line\r\n" * BOUND,
        OK + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * BOUND,
    ],
)
def test_endless_heads_meet_the_bound(endless: bytes) -> None:
    with pytest.raises(HeadTooLarge):
        passed(endless)


@pytest.mark.parametrize("size", [b"5" * 21, b"5;" + b"x" * 2000, b"zz", b" 5", b"5 ;x y\0"])
def test_a_bad_chunk_size_is_left_to_h11(size: bytes) -> None:
    heads = ResponseHeads(BOUND)
    data = OK + b"transfer-encoding: chunked\r\n\r\n" + size + b"\r\nabc"
    assert heads.feed(data) == data


def test_bytes_of_a_chunk_that_are_held_are_known() -> None:
    heads = ResponseHeads(BOUND)
    heads.feed(OK + b"transfer-encoding: chunked\r\n\r\n1")
    assert heads.holding
    heads.start()
    assert not heads.holding


def test_after_connect_everything_passes() -> None:
    heads = ResponseHeads(BOUND, bodies=False)
    data = OK + b"transfer-encoding: chunked\r\n\r\n"
    assert heads.feed(data + b"\x05") == data + b"\x05"
