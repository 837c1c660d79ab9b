"""Fixtures of the tests with real servers."""

from __future__ import annotations

import os

import pytest


@pytest.fixture
def no_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no proxy, but for what the test sets."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
