"""`Limits.max_connections`: idle connections make room, origins take turns, WebSockets that hold all are an error.

The kind: a bound at which calls hang, or one origin stops another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.listener import Listener, until
from toolkit.inside import dials_of, places_of
from trio_h2ws import Limits
from trio_h2ws.testing import open_server


class Site:
    """An HTTP/1.1 server of every origin `http://….test`, which answers "/hold…" when told to."""

    def __init__(self) -> None:
        self.served: list[str] = []
        self.holding: dict[str, trio.Event] = {}

    async def serve(self, peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            url = request.headers["host"] + request.target
            self.served.append(url)
            if request.headers.get("upgrade") == "websocket":
                ws = await peer.accept_websocket(request)
                if request.target == "/silent":
                    await peer.gone()  # it does not answer Close
                await ws.echo()
                return
            if request.target.startswith("/hold"):
                self.holding[url] = trio.Event()
                await self.holding[url].wait()
            await peer.respond(200, b"hello")

    async def release(self, url: str) -> None:
        await until(lambda: url in self.holding)
        self.holding[url].set()


@asynccontextmanager
async def site_and_client(**limits: Any) -> AsyncIterator[tuple[Site, Listener, trio_h2ws.Client]]:
    site = Site()
    async with open_http1(site.serve, tls=False) as server:

        async def open_stream(host: str, port: int) -> trio.abc.Stream:
            return await trio.open_tcp_stream("127.0.0.1", server.port)

        async with server.open_client(open_stream=open_stream, limits=Limits(**limits)) as client:
            yield site, server, client
            await until(lambda: not dials_of(client) and places_of(client)[0] == len(client.connections))


async def settled() -> None:
    await trio.testing.wait_all_tasks_blocked(0.01)


def origins(client: trio_h2ws.Client) -> list[str]:
    return [info.origin.removeprefix("http://") for info in client.connections]


async def test_the_longest_idle_connection_makes_room() -> None:
    async with site_and_client(max_connections=2) as (_, server, client):
        for name in ("a", "b", "a", "c"):  # b has been idle longest
            assert (await client.get(f"http://{name}.test/")).status == 200
        assert sorted(origins(client)) == ["a.test", "c.test"]
        assert server.accepted == 3
        for n in range(30):
            assert (await client.get(f"http://{n}.test/")).status == 200
            assert len(client.connections) <= 2
            assert places_of(client)[0] <= 2


async def test_an_http2_connection_makes_room_as_well() -> None:
    async with open_server() as one, open_server() as two:
        limits = Limits(max_connections=1)
        one.ssl_context.load_verify_locations(cadata=_certificates_of(two))
        async with trio_h2ws.open_client(ssl_context=one.ssl_context, limits=limits) as client:
            for server in (one, two, one):
                assert (await client.get(server.url)).http_version == "HTTP/2"
                assert [info.origin for info in client.connections] == [server.url]
        assert one.stats.goaways == [0, 0]


def _certificates_of(server: Any) -> bytes:
    (certificate,) = server.ssl_context.get_ca_certs(binary_form=True)
    return bytes(certificate)


async def test_a_call_waits_until_a_connection_is_idle() -> None:
    async with site_and_client(max_connections=2) as (site, _, client), trio.open_nursery() as nursery:
        for url in ("a.test/hold", "b.test/hold"):
            nursery.start_soon(client.get, f"http://{url}")
            await until(lambda: url in site.holding)  # noqa: B023
        nursery.start_soon(client.get, "http://c.test/")
        await settled()
        assert "c.test/" not in site.served
        await site.release("b.test/hold")
        await until(lambda: "c.test/" in site.served)
        assert sorted(origins(client)) == ["a.test", "c.test"]
        await site.release("a.test/hold")


async def test_an_origin_without_a_connection_takes_its_turn() -> None:
    """The others always have calls that wait, so none of their connections would ever become idle."""
    async with site_and_client(max_connections=2, max_http1_connections=2) as (site, _, client):
        async with trio.open_nursery() as nursery:
            for n in range(12):
                nursery.start_soon(client.get, f"http://a.test/hold{n}")
            await until(lambda: len(site.holding) == 2)
            for name in ("b", "c"):
                nursery.start_soon(client.get, f"http://{name}.test/")
            await settled()
            while nursery.child_tasks:
                for event in site.holding.values():
                    event.set()
                await trio.sleep(0.001)
        assert site.served.index("b.test/") < 6
        assert site.served.index("c.test/") < 6


async def test_origins_share_the_places_fairly() -> None:
    """Each of five origins has ten calls, and there are two places."""
    async with site_and_client(max_connections=2) as (site, _, client):
        async with trio.open_nursery() as nursery:
            for name in "abcde":
                for n in range(10):
                    nursery.start_soon(client.get, f"http://{name}.test/{n}")
        first = [url.partition(".")[0] for url in site.served[:20]]
        assert set(first) == set("abcde")
        assert len(site.served) == 50


async def test_a_cancelled_call_leaves_its_place_to_others() -> None:
    async with site_and_client(max_connections=1) as (site, _, client), trio.open_nursery() as nursery:
        nursery.start_soon(client.get, "http://a.test/hold")
        await until(lambda: site.holding)
        with trio.move_on_after(0.02):
            await client.get("http://b.test/")
        with trio.move_on_after(0.02):
            await client.connect_websocket("ws://b.test/")
        nursery.start_soon(client.get, "http://a.test/next")
        nursery.start_soon(client.get, "http://c.test/")
        await settled()
        await site.release("a.test/hold")
        await until(lambda: len(site.served) == 3)
        assert sorted(site.served) == ["a.test/hold", "a.test/next", "c.test/"]


# WebSockets.


async def test_websockets_on_all_connections_are_reported() -> None:
    async with site_and_client(max_connections=3) as (_, _, client):
        sockets = [await client.connect_websocket(f"ws://{name}.test/") for name in "abc"]
        for call in (client.get("http://a.test/"), client.connect_websocket("ws://d.test/")):
            with pytest.raises(trio_h2ws.LimitExceeded, match="WebSockets are open on all 3 connections") as caught:
                await call
            assert (caught.value.bound, caught.value.limit) == ("max_connections", 3)
        await sockets.pop().aclose()
        assert (await client.get("http://d.test/")).status == 200
        for ws in sockets:
            await ws.aclose()


async def test_a_call_that_waits_fails_when_a_websocket_takes_the_last_place() -> None:
    async with site_and_client(max_connections=2) as (site, _, client), trio.open_nursery() as nursery:
        first = await client.connect_websocket("ws://a.test/")
        nursery.start_soon(client.get, "http://b.test/hold")
        await until(lambda: site.holding)
        opened: list[trio_h2ws.WebSocket] = []
        errors: list[trio_h2ws.LimitExceeded] = []

        async def open_one() -> None:
            opened.append(await client.connect_websocket("ws://c.test/"))

        async def fail() -> None:
            try:
                await client.get("http://d.test/")
            except trio_h2ws.LimitExceeded as error:
                errors.append(error)

        nursery.start_soon(open_one)
        await settled()
        nursery.start_soon(fail)
        await settled()
        assert (opened, errors) == ([], [])
        await site.release("b.test/hold")
        await until(lambda: opened and errors)
        assert errors[0].bound == "max_connections"
        for ws in (first, *opened):
            await ws.aclose()


async def test_a_call_waits_for_a_websocket_that_closes() -> None:
    async with site_and_client(max_connections=1) as (site, _, client), trio.open_nursery() as nursery:
        ws = await client.connect_websocket("ws://a.test/silent")
        nursery.start_soon(ws.aclose)
        await settled()
        nursery.start_soon(client.get, "http://b.test/")
        await settled()
        assert site.served == ["a.test/silent"]
        ws.abort()
        await until(lambda: "b.test/" in site.served)


async def test_refused_websockets_do_not_use_up_their_bound() -> None:
    async def refuse(peer: Peer) -> None:
        while await peer.request() is not None:
            await peer.respond(403)

    limits = Limits(max_http1_websockets=2, max_connections=2)
    async with open_http1(refuse, tls=False) as server, server.open_client(limits=limits) as client:
        for _ in range(5):
            with pytest.raises(trio_h2ws.WebSocketRejected):
                await client.connect_websocket("/")
        await until(lambda: places_of(client)[0] == len(client.connections) == 0)
    async with trio_h2ws.open_client(limits=limits) as client:
        for _ in range(5):
            with pytest.raises(trio_h2ws.ConnectFailed):
                await client.connect_websocket("ws://127.0.0.1:9/")
        assert places_of(client) == (0, 0)


@pytest.mark.slow
async def test_a_thousand_feeds_over_http1_just_open() -> None:
    async with (
        open_server(alpn=("http/1.1",), memory=True) as server,
        trio_h2ws.open_client(ssl_context=server.ssl_context, open_stream=server.open_stream) as client,
    ):
        urls = [f"{server.ws_url}/ws/echo"] * 1000
        async with client.open_websocket_group(urls) as group:
            assert len(group.websockets) == len(client.connections) == 1000
            assert (await client.get(server.url)).status == 200


# The end.


async def test_calls_that_wait_for_a_place_end_with_the_client() -> None:
    ended = []

    async def fails(kind: type[Exception], function: Any, url: str) -> None:
        with pytest.raises(kind):
            await function(url)
        ended.append(url)

    site = Site()
    async with open_http1(site.serve, tls=False) as server, trio.open_nursery() as nursery:
        async with trio_h2ws.open_client(limits=Limits(max_connections=1)) as client:
            nursery.start_soon(fails, trio_h2ws.ConnectionLost, client.get, f"{server.url}/hold")
            await until(lambda: site.holding)
            nursery.start_soon(fails, trio.ClosedResourceError, client.get, "http://b.test/")
            nursery.start_soon(fails, trio.ClosedResourceError, client.connect_websocket, "ws://b.test/")
            await settled()
    assert len(ended) == 3
