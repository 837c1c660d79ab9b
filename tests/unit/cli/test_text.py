"""The numbers on the demo's page."""

from __future__ import annotations

import pytest

from trio_h2ws._cli.demo.text import amount
from trio_h2ws._cli.text import without_login


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (99_960, "100 kB"), (999_600, "1.0 MB"), (5 * 10**9, "5.0 GB")],
)
def test_an_amount_has_a_readable_unit(number: int, text: str) -> None:
    assert amount(number) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.test/users/@me", "https://a.test/users/@me"),
        ("https://a.test:8443?q=a@b", "https://a.test:8443?q=a@b"),
        ("https://me:secret@a.test/@x", "https://x"),
        ("https://me:secret@a.test/x", "https://a.test/x"),
        ("https://me@a.test", "https://a.test"),
        ("https://me:secret/secret@a.test/", "https://a.test/"),
        ("https://me:secret?@a.test/", "https://a.test/"),
        ("//me:secret@a.test/", "//a.test/"),
        ("/users/@me", "/users/@me"),
        ("https://[::1]:8443/", "https://[::1]:8443/"),
        ("https://[::1]/@me", "https://[::1]/@me"),
        ("https://me:secret@[::1]/", "https://[::1]/"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_login(url) == shown
