"""Fixtures of the tests with real servers."""

from __future__ import annotations

import importlib
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from trio_h2ws.testing import Server, open_server


@pytest.fixture
def no_proxies_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names no proxy, but for what the test sets."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture(params=["httpx", "httpx2"])
def lib(request: pytest.FixtureRequest) -> Any:
    """Each of the libraries that `trio_h2ws.httpx` is for."""
    return importlib.import_module(request.param)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """A server that has met nothing wrong when the test is over."""
    async with open_server() as server:
        yield server
    assert server.stats.errors == []
    assert server.stats.protocol_errors == []


@pytest.fixture
async def http(lib: Any, server: Server) -> AsyncIterator[Any]:
    """An AsyncClient of that library for that server, with a transport that owns its client."""
    from trio_h2ws.httpx import AsyncTransport

    transport = AsyncTransport(ssl_context=server.ssl_context, trust_env=False)
    async with lib.AsyncClient(transport=transport, base_url=server.url) as http:
        yield http
