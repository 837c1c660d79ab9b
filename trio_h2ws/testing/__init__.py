"""A real HTTP/2, HTTP/1.1 and WebSocket server in your own process, for tests of code that uses trio_h2ws.

It is built on h2, h11 and wsproto, and shares no code with the client. It serves over TCP with TLS, over TCP in clear
text, or over streams in memory. `open_server` starts one; the docstrings of `_routes.http` and `_routes.websocket`
list what it serves. The pytest fixtures `h2ws_server` and `h2ws_memory_server` come with the installed package.

Needs the extra: `pip install 'trio_h2ws[testing]'`.
"""

from __future__ import annotations

from ._http1.connection import H1ServerConnection
from ._http2.connection import H2ServerConnection
from ._open import open_server
from ._server import Server
from ._stats import Stats
from ._websocket import ServerWebSocket

__all__ = ["H1ServerConnection", "H2ServerConnection", "Server", "ServerWebSocket", "Stats", "open_server"]

for _name in __all__:
    globals()[_name].__module__ = __name__
