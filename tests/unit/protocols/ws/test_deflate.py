"""permessage-deflate (RFC 7692): the offer, and which answers are accepted."""

from __future__ import annotations

import pytest

from trio_h2ws import DeflateOptions, RemoteProtocolError
from trio_h2ws._protocols.ws.deflate import accept_deflate, offer_deflate

OPTIONS = DeflateOptions()


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (
            DeflateOptions(client_max_window_bits=15, server_context_takeover=True, client_context_takeover=True),
            "permessage-deflate; client_max_window_bits, permessage-deflate",
        ),
        (
            DeflateOptions(server_max_window_bits=10, client_max_window_bits=11),
            "permessage-deflate; client_max_window_bits=11; server_max_window_bits=10; "
            "server_no_context_takeover; client_no_context_takeover, "
            "permessage-deflate; client_max_window_bits, permessage-deflate",
        ),
    ],
)
def test_the_offer_follows_the_options(options: DeflateOptions, value: str) -> None:
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
def test_valid_answers_are_accepted(value: str) -> None:
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
def test_invalid_answers_are_refused(value: str) -> None:
    with pytest.raises(RemoteProtocolError):
        accept_deflate(value, OPTIONS)
