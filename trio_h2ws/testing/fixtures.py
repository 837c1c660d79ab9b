"""The pytest fixtures `h2ws_server` and `h2ws_memory_server`, available wherever the package is installed.

They are Trio fixtures, so they need pytest-trio, and a test that uses one must be `async`:

    async def test_feed(h2ws_server):
        async with trio_h2ws.open_client(ssl_context=h2ws_server.ssl_context) as client:
            response = await client.get(f"{h2ws_server.url}/json")

pytest loads this module in every project that has trio_h2ws installed, so it must load without the extra. A missing
package is reported only by a test that uses a fixture.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ._server import Server


def _missing(function: Callable[..., Any]) -> Callable[..., Any]:
    # pytest lists a fixture by its name and docstring, so both are kept.
    def fixture() -> None:
        raise pytest.UsageError("the fixtures of trio_h2ws need pytest-trio: pip install 'trio_h2ws[testing]'")

    fixture.__name__ = function.__name__
    fixture.__doc__ = function.__doc__
    return pytest.fixture(fixture)


_trio_fixture: Callable[[Callable[..., Any]], Any]
try:
    from pytest_trio import trio_fixture as _trio_fixture  # type: ignore[import-untyped, no-redef, unused-ignore]
except ImportError:
    _trio_fixture = _missing


@_trio_fixture
async def h2ws_server() -> AsyncIterator[Server]:
    """A `trio_h2ws.testing.Server` on a free port of the loopback interface, over TLS."""
    from ._open import open_server

    async with open_server() as server:
        yield server


@_trio_fixture
async def h2ws_memory_server() -> AsyncIterator[Server]:
    """A `trio_h2ws.testing.Server` without sockets, over TLS: connect with its `open_stream`."""
    from ._open import open_server

    async with open_server(memory=True) as server:
        yield server
