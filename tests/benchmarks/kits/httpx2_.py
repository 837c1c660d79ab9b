"""httpx2 over HTTP/2 on Trio."""

from __future__ import annotations

from . import httpx_


class Kit(httpx_.Kit):
    library = "httpx2"
