"""Both libraries that `trio_h2ws.httpx` is for."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from trio_h2ws.httpx import AsyncTransport
from trio_h2ws.testing import Server


@pytest.fixture(params=["httpx", "httpx2"])
def lib(request: pytest.FixtureRequest) -> Any:
    """Each of the libraries that `trio_h2ws.httpx` is for."""
    return importlib.import_module(request.param)


@pytest.fixture
async def http(lib: Any, server: Server) -> AsyncIterator[Any]:
    """An AsyncClient of the library for the testing server, with a transport that owns its client."""
    transport = AsyncTransport(ssl_context=server.ssl_context, trust_env=False)
    async with lib.AsyncClient(transport=transport, base_url=server.url) as http:
        yield http
