"""What a header list may contain (RFC 9113, section 8)."""

from __future__ import annotations

import pytest

from trio_h2ws._protocols.h2.header_lists import Malformed, check_response, check_trailers, list_size, request_block

STATUS = (b":status", b"200")


def test_a_response_gives_status_length_and_fields() -> None:
    status, length, fields = check_response([STATUS, (b"a", b"1"), (b"content-length", b"5"), (b"a", b"2")])
    assert (status, length) == (200, 5)
    assert fields == [(b"a", b"1"), (b"content-length", b"5"), (b"a", b"2")]


@pytest.mark.parametrize("value", [b"100", b"200", b"599", b"999"])
def test_a_status_of_three_digits_is_accepted(value: bytes) -> None:
    assert check_response([(b":status", value)])[0] == int(value)


@pytest.mark.parametrize(
    "value", [b"", b"1", b"99", b"099", b"1000", b"2xx", b"+20", b"200 ", b" 200", b"\t200", b"\xb2\xb2\xb2"]
)
def test_other_statuses_are_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        check_response([(b":status", value)])


@pytest.mark.parametrize("value", [b"", b"-1", b"+1", b"1.0", b"1,1", b"0x10", b"9" * 20, b"\xb2"])
def test_a_bad_content_length_is_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        check_response([STATUS, (b"content-length", value)])


def test_equal_content_lengths_are_accepted() -> None:
    assert check_response([STATUS, (b"content-length", b"7"), (b"content-length", b"07")])[1] == 7


@pytest.mark.parametrize("value", [b"", b"plain", b"in side", b"in\tside", b"\x80\xff", b"~", b"\x01\x7f"])
def test_valid_values_are_accepted(value: bytes) -> None:
    # RFC 9113, section 8.2.1 forbids less than RFC 9110 does: NUL, CR, LF and outer white space.
    assert check_trailers([(b"x", value)]) == [(b"x", value)]


@pytest.mark.parametrize(
    ("value", "stripped"),
    [
        (b" x", b"x"),
        (b"x ", b"x"),
        (b"\tx", b"x"),
        (b"x\t", b"x"),
        (b" \t in \t side\t ", b"in \t side"),
        (b" ", b""),
        (b"\t \t", b""),
        (b" \x0b ", b"\x0b"),
    ],
)
def test_blanks_around_a_value_are_stripped(value: bytes, stripped: bytes) -> None:
    """RFC 9113, section 8.2.1, calls them malformed; but many servers send them, and other clients take them."""
    assert check_trailers([(b"x", value)]) == [(b"x", stripped)]
    assert check_response([STATUS, (b"x", value)])[2] == [(b"x", stripped)]


def test_fields_with_a_meaning_are_stripped_before_it_is_read() -> None:
    """A content-length or te with blanks means what it means without them."""
    assert check_response([STATUS, (b"content-length", b" 5\t"), (b"te", b"trailers ")])[1] == 5
    with pytest.raises(Malformed):
        check_response([STATUS, (b"content-length", b" ")])


@pytest.mark.parametrize("value", [b"a\rb", b"a\nb", b"a\0b", b" \n", b"x\r\n", b"\0", b" x\r"])
def test_invalid_values_are_malformed(value: bytes) -> None:
    with pytest.raises(Malformed):
        check_trailers([(b"x", value)])
    with pytest.raises(Malformed):
        check_response([STATUS, (b"x", value)])


@pytest.mark.parametrize("name", [b"", b"X", b"x y", b"x\0", b"x:", b"\xff", b"(", b"x\n", b"::", b":x"])
def test_invalid_names_are_malformed(name: bytes) -> None:
    for _ in range(2):  # the second time as well, when the name is known
        with pytest.raises(Malformed):
            check_trailers([(name, b"v")])


def test_te_may_only_be_trailers() -> None:
    check_response([STATUS, (b"te", b"trailers")])
    with pytest.raises(Malformed):
        check_response([STATUS, (b"te", b"gzip")])


def test_a_request_begins_with_pseudo_headers() -> None:
    block = request_block(b"GET", b"https", b"example.org", b"/a", [(b"accept", b"*/*")])
    assert [field[:2] for field in block] == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"example.org"),
        (b":path", b"/a"),
        (b"accept", b"*/*"),
    ]


def test_an_extended_connect_has_a_protocol() -> None:
    block = request_block(b"CONNECT", b"https", b"example.org", b"/", [], b"websocket")
    assert (b":protocol", b"websocket") in block
    assert all(field[0].startswith(b":") for field in block)


@pytest.mark.parametrize("field", [(b"authorization", b"x"), (b"proxy-authorization", b"x"), (b"cookie", b"short")])
def test_secrets_are_never_indexed(field: tuple[bytes, bytes]) -> None:
    assert request_block(b"GET", b"https", b"a", b"/", [field])[-1] == (*field, True)


def test_a_list_counts_32_bytes_for_each_field() -> None:
    assert list_size([(b"ab", b"cde"), (b"x", b"", True)]) == 2 + 3 + 32 + 1 + 32
