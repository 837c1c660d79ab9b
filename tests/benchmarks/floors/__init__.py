"""The floor of each workload: its bytes fed to h2, hpack and wsproto, with no IO, no TLS and no event loop.

h2 is driven as its documentation shows; incoming bytes are fed in the portions in which a connection would read them.
What the server sends is prepared beforehand, outside the measured time.
"""

from __future__ import annotations

from collections.abc import Callable

from .http import download, requests
from .websocket import echo, opening, pipelined

FLOORS: dict[str, Callable[..., dict[str, float]]] = {
    function.__name__: function for function in (requests, opening, echo, pipelined, download)
}
