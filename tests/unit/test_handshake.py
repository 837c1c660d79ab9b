"""What is offered, and what may be chosen."""

from __future__ import annotations

import pytest

from trio_h2ws import DeflateOptions, Headers, RemoteProtocolError
from trio_h2ws._protocols.ws.deflate import accept_deflate, offer_deflate
from trio_h2ws._protocols.ws.handshake import check_answer, offer

OPTIONS = DeflateOptions()


def test_an_offer() -> None:
    fields = dict(offer(["a", "b"], "https://page.test", OPTIONS))
    assert fields[b"sec-websocket-version"] == b"13"
    assert fields[b"origin"] == b"https://page.test"
    assert fields[b"sec-websocket-protocol"] == b"a, b"
    assert fields[b"sec-websocket-extensions"] == offer_deflate(OPTIONS)
    assert dict(offer([], None, None)) == {b"sec-websocket-version": b"13"}


def answer(**headers: str) -> Headers:
    return Headers([(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()])


def test_an_agreement() -> None:
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
def test_no_agreement(headers: Headers) -> None:
    with pytest.raises(RemoteProtocolError):
        check_answer(headers, ["a", "b"], OPTIONS)


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (
            DeflateOptions(client_max_window_bits=15, server_context_takeover=True, client_context_takeover=True),
            "permessage-deflate; client_max_window_bits",
        ),
        (
            DeflateOptions(server_max_window_bits=10, client_max_window_bits=11),
            "permessage-deflate; client_max_window_bits=11; server_max_window_bits=10; "
            "server_no_context_takeover; client_no_context_takeover",
        ),
    ],
)
def test_offers_of_deflate(options: DeflateOptions, value: str) -> None:
    assert offer_deflate(options).decode() == value


@pytest.mark.parametrize(
    "value",
    [
        "permessage-deflate",
        "permessage-deflate ; server_max_window_bits = 12",
        "Permessage-Deflate;CLIENT_NO_CONTEXT_TAKEOVER",
        'permessage-deflate; server_max_window_bits="15"; client_max_window_bits=9',
        "permessage-deflate; server_max_window_bits=8",
    ],
)
def test_answers_that_pass(value: str) -> None:
    accept_deflate(value, OPTIONS)


@pytest.mark.parametrize(
    "value",
    [
        "deflate",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=012",
        "permessage-deflate; server_max_window_bits=1e1",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate;",
        "",
    ],
)
def test_answers_that_do_not(value: str) -> None:
    with pytest.raises(RemoteProtocolError):
        accept_deflate(value, OPTIONS)
