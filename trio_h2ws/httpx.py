"""A transport for httpx and httpx2: their API, and one HTTP/2 connection per origin with cancellation that works.

    async with trio_h2ws.open_client() as client:
        async with httpx.AsyncClient(transport=AsyncTransport(client)) as http:
            response = await http.get("https://example.org/")

One class serves both libraries. A request tells which of them it is from, and gets a response and exceptions of the
same; nothing is imported for that, so neither library is a dependency.

Deadlines. httpx has four: `connect`, `pool`, `write`, `read`. Each is about the time between two steps, and here the
wait for a response's head is one call. So a `Patience` is around that call: its scope's deadline moves as the request
gets on, and what it waits for then names the exception. A streamed body says by itself when a part has left. Whether
the connection is there yet can only be looked at, in `client.connections`.

Bodies. Bytes go as bytes, so the client can send them again by itself when the server did nothing with them. Many
bytes take time to send, and in that time `read` must not run: they go in parts, and sending them again is done here.

Content-encoding. `trio_h2ws.Response` has undone gzip and deflate already, and httpx would try that once more: the
headers that speak of it are left out. To ask every origin for identity instead would cost everybody the bandwidth, and
some send gzip anyway. What it does not undo (br, zstd) httpx does, if it can.

Note the name of this module: `import httpx` in here is the library.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import trio

import trio_h2ws

if TYPE_CHECKING:
    from typing import Self

    import httpx
    import httpx2

    class _Base(httpx.AsyncBaseTransport, httpx2.AsyncBaseTransport):  # type: ignore[misc]
        """What a type checker must believe; the libraries themselves never look."""
else:
    _Base = object

__all__ = ["AsyncTransport"]

_PART = 64 * 1024
_RETRIES = 4  # of a body in parts that the server did nothing with
_LOOK = 0.01  # seconds between two looks whether the connection is there

# RFC 9113, section 8.2.2: about the connection, which is ours. httpx sends two of them by itself.
_CONNECTION_SPECIFIC = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding"))
_UNDONE = frozenset(("gzip", "x-gzip", "deflate", "identity"))
_UNSUPPORTED = ("sni_hostname", "target")
_TIMEOUTS = {"connect": "ConnectTimeout", "pool": "PoolTimeout", "write": "WriteTimeout", "read": "ReadTimeout"}
_DEFAULT_PORT = {"http": 80, "https": 443}
