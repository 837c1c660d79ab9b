"""The least that a work costs: its bytes fed to h2, hpack and wsproto, with no IO, no TLS and no event loop.

h2 is driven as its documentation shows; bytes in are given in the portions in which a connection would read them.
What the server says is made beforehand, outside of the measured time.
"""

from __future__ import annotations

from collections.abc import Callable

from .http import download, requests
from .websocket import echo, opening, pipelined

FLOORS: dict[str, Callable[..., dict[str, float]]] = {
    function.__name__: function for function in (requests, opening, echo, pipelined, download)
}
