"""What a WebSocket handshake offers, and what a server may choose."""

from __future__ import annotations

import pytest

from trio_h2ws import DeflateOptions, Headers, RemoteProtocolError
from trio_h2ws._protocols.ws.deflate import offer_deflate
from trio_h2ws._protocols.ws.handshake import check_answer, check_subprotocols, offer

OPTIONS = DeflateOptions()


def test_an_offer_has_version_origin_and_extensions() -> None:
    fields = dict(offer(["a", "b"], "https://page.test", OPTIONS))
    assert fields[b"sec-websocket-version"] == b"13"
    assert fields[b"origin"] == b"https://page.test"
    assert fields[b"sec-websocket-protocol"] == b"a, b"
    assert fields[b"sec-websocket-extensions"] == offer_deflate(OPTIONS)
    assert dict(offer([], None, None)) == {b"sec-websocket-version": b"13"}


@pytest.mark.parametrize(
    ("subprotocols", "shown"),
    [(["a", "bearer.s3cret="], "2 contains '='"), (["", "s3cret"], "1 must not"), ([b"s3cret"], "1 must be str")],
)
def test_a_bad_subprotocol_is_not_shown(subprotocols: list[str], shown: str) -> None:
    """Browsers can send no headers with a handshake, so some servers take a token as a subprotocol."""
    with pytest.raises((TypeError, ValueError), match=f"subprotocol {shown}") as caught:
        check_subprotocols(subprotocols)
    assert "s3cret" not in repr(caught.value)


def test_what_was_offered_is_not_shown() -> None:
    for chosen in ("x", "bearer.s3cret, a"):
        with pytest.raises(RemoteProtocolError, match="was not offered") as caught:
            check_answer(answer(sec_websocket_protocol=chosen), ["a", "bearer.s3cret"], None)
        assert "s3cret" not in repr(caught.value)
    twice = Headers([(b"sec-websocket-protocol", b"bearer.s3cret"), (b"sec-websocket-protocol", b"a")])
    with pytest.raises(RemoteProtocolError, match="several subprotocols") as caught:
        check_answer(twice, ["a", "bearer.s3cret"], None)
    assert "s3cret" not in repr(caught.value)


def answer(**headers: str) -> Headers:
    return Headers([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


def test_a_server_may_choose_what_was_offered() -> None:
    assert check_answer(Headers(), ["a"], OPTIONS) == (None, None)
    agreement = check_answer(answer(sec_websocket_protocol=" b "), ["a", "b"], None)
    assert agreement.subprotocol == "b"
    agreement = check_answer(answer(sec_websocket_extensions="permessage-deflate"), [], OPTIONS)
    assert agreement.deflate is not None
    assert check_answer(answer(sec_websocket_extensions=" , "), [], OPTIONS).deflate is None


@pytest.mark.parametrize(
    "headers",
    [
        answer(sec_websocket_protocol="c"),
        answer(sec_websocket_protocol="A"),
        answer(sec_websocket_protocol="a, b"),
        answer(sec_websocket_protocol=""),
        answer(sec_websocket_extensions="x-webkit-deflate-frame"),
        answer(sec_websocket_extensions="permessage-deflate, permessage-deflate"),
        answer(sec_websocket_extensions="permessage-deflate; x"),
    ],
)
def test_a_server_may_choose_nothing_else(headers: Headers) -> None:
    with pytest.raises(RemoteProtocolError):
        check_answer(headers, ["a", "b"], OPTIONS)
