"""A site that redirects as the test says, over HTTP/1.1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .http1 import Peer, Request, open_http1
from .listener import Listener


class Site:
    """A server that redirects as the test says, and records the requests."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener
        self.seen: list[Request] = []
        self.redirects: dict[str, tuple[int, str]] = {}

    @property
    def url(self) -> str:
        return self.listener.url

    @property
    def lines(self) -> list[str]:
        return [f"{request.method} {request.target}" for request in self.seen]


@asynccontextmanager
async def open_site(*, tls: bool = True, **redirects: tuple[int, str]) -> AsyncIterator[Site]:
    """`open_site(a=(302, "/b"))` redirects /a to /b. Line breaks in the location separate several Location fields."""

    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            site.seen.append(request)
            code, location = site.redirects.get(request.target.strip("/"), (200, ""))
            if code != 200:
                await peer.respond(code, b"elsewhere", [("location", one) for one in location.split("\n")])
            elif request.headers.get("upgrade") == "websocket":
                await (await peer.accept_websocket(request)).echo()
                return
            else:
                await peer.respond(200, b"here")

    async with open_http1(serve, tls=tls) as listener:
        site = Site(listener)
        site.redirects.update(redirects)
        yield site
