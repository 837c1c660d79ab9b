"""Connection coalescing (RFC 9113, section 9.1.1): two names, one certificate, one address, one connection."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.http2 import Both, open_both, status
from servers.listener import until

ADDRESSES = {"a.test": "127.0.0.1", "b.test": "127.0.0.1", "far.test": "127.0.0.2", "x.w.test": "127.0.0.1"}
ADDRESSES["y.w.test"] = ADDRESSES["deep.y.w.test"] = ADDRESSES["strange.test"] = "127.0.0.1"
NAMES = ["a.test", "b.test", "far.test", "*.w.test", "127.0.0.1"]


class Names(trio.abc.HostnameResolver):
    """Resolves the names of this test only."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self.addresses = addresses

    async def getaddrinfo(self, host: Any, port: Any, family: int = 0, *_: Any, **__: Any) -> Any:
        await trio.lowlevel.checkpoint()
        name = host.decode() if isinstance(host, bytes) else host
        if name not in self.addresses:
            raise OSError(f"no such name: {name}")
        return [(trio.socket.AF_INET, trio.socket.SOCK_STREAM, 6, "", (self.addresses[name], port))]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise NotImplementedError


def accept(h2: Any, stream: int) -> None:
    h2.send_headers(stream, [(":status", "200")])
    h2.send_data(stream, b"\x81\x02hi")


@asynccontextmanager
async def open_both_names(**options: Any) -> AsyncIterator[Both]:
    trio.socket.set_custom_hostname_resolver(Names(ADDRESSES))
    async with open_both(options.pop("connect", accept), names=NAMES, **options) as server:
        yield server


def url(server: Both, name: str) -> str:
    return f"https://{name}:{server.listener.port}/"


async def test_names_do_not_share_by_default() -> None:
    async with open_both_names() as server, server.listener.open_client() as client:
        for name in ("a.test", "b.test"):
            await client.get(url(server, name))
        assert server.listener.accepted == len(client.connections) == 2


async def test_two_names_share_a_connection() -> None:
    async with open_both_names() as server, server.listener.open_client(coalesce=True) as client:
        first = await client.get(url(server, "a.test"))
        second = await client.get(url(server, "b.test"))
        ws = await client.connect_websocket(url(server, "b.test"))
        assert await ws.receive() == "hi"
        assert first.connection.id == second.connection.id == ws.connection.id
        assert server.listener.accepted == len(client.connections) == 1
        assert server.listener.names == ["a.test"]
        port = server.listener.port
        assert [authority for _, authority in server.asked] == [f"a.test:{port}", f"b.test:{port}", f"b.test:{port}"]


async def test_a_wildcard_covers_one_label() -> None:
    async with open_both_names() as server, server.listener.open_client(coalesce=True) as client:
        await client.get(url(server, "x.w.test"))
        await client.get(url(server, "y.w.test"))
        assert server.listener.accepted == 1
        with pytest.raises(trio_h2ws.ConnectFailed, match="certificate"):
            await client.get(url(server, "deep.y.w.test"))


async def test_an_address_in_the_certificate_shares() -> None:
    async with open_both_names() as server, server.listener.open_client(coalesce=True) as client:
        await client.get(url(server, "a.test"))
        await client.get(url(server, "127.0.0.1"))
        assert server.listener.accepted == 1


@pytest.mark.parametrize("name", ["far.test", "strange.test", "nowhere.test"])
async def test_another_address_or_certificate_does_not_share(name: str) -> None:
    """It is dialled, and that fails: nothing listens there, or the certificate does not cover the name."""
    async with open_both_names() as server, server.listener.open_client(coalesce=True) as client:
        await client.get(url(server, "a.test"))
        with pytest.raises(trio_h2ws.ConnectFailed, match=name):
            await client.get(url(server, name))
        # The first connection still works.
        assert (await client.get(url(server, "a.test"))).status == 200
        assert {number for number, _ in server.asked} == {1}


async def test_another_port_does_not_share() -> None:
    async with open_both_names() as server, open_both_names() as other:
        async with server.listener.open_client(coalesce=True) as client:
            await client.get(url(server, "a.test"))
            await client.get(url(other, "b.test"))
            assert (server.listener.accepted, other.listener.accepted) == (1, 1)


async def test_http1_does_not_share() -> None:
    async with open_both_names() as server, server.listener.open_client(coalesce=True, http2="never") as client:
        for name in ("a.test", "b.test"):
            assert (await client.get(url(server, name))).http_version == "HTTP/1.1"
        assert server.listener.accepted == 2


async def test_an_unverified_connection_is_not_shared() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with open_both_names() as server:
        async with server.listener.open_client(coalesce=True, ssl_context=context) as client:
            for name in ("a.test", "b.test"):
                await client.get(url(server, name))
            assert server.listener.accepted == 2


async def test_421_moves_a_name_to_its_own_connection() -> None:
    def not_here(h2: Any, stream: int) -> None:
        number, authority = server.asked[-1]
        status(421 if number == 1 and authority.startswith("b.test") else 200)(h2, stream)

    async with open_both_names(request=not_here) as server, server.listener.open_client(coalesce=True) as client:
        first = await client.get(url(server, "a.test"))
        second = await client.post(url(server, "b.test"), content=b"again")
        assert (first.status, second.status) == (200, 200)
        assert second.history == ()
        assert first.connection.id != second.connection.id
        # Sharing is not tried again, and a.test keeps its connection.
        assert (await client.get(url(server, "b.test"))).connection.id == second.connection.id
        assert (await client.get(url(server, "a.test"))).connection.id == first.connection.id
        assert [number for number, _ in server.asked] == [1, 1, 2, 2, 1]
        async with client.stream("GET", url(server, "b.test")) as response:
            assert response.status == 200


async def test_421_with_an_endless_body_moves_a_name() -> None:
    def not_here(h2: Any, stream: int) -> None:
        number, authority = server.asked[-1]
        if number == 1 and authority.startswith("b.test"):
            h2.send_headers(stream, [(":status", "421")])
            h2.send_data(stream, b"x" * 10_000)
        else:
            status(200, b"here")(h2, stream)

    async with open_both_names(request=not_here) as server, server.listener.open_client(coalesce=True) as client:
        await client.get(url(server, "a.test"))
        assert (await client.get(url(server, "b.test"))).content == b"here"
        assert [number for number, _ in server.asked] == [1, 1, 2]


async def test_421_in_a_stream_moves_it_to_another_connection() -> None:
    def not_here(h2: Any, stream: int) -> None:
        number, authority = server.asked[-1]
        status(421 if number == 1 and authority.startswith("b.test") else 200, b"body")(h2, stream)

    async with open_both_names(request=not_here) as server, server.listener.open_client(coalesce=True) as client:
        await client.get(url(server, "a.test"))
        async with client.stream("GET", url(server, "b.test")) as response:
            assert (response.status, await response.read()) == (200, b"body")


async def test_421_moves_a_websocket_to_its_own_connection() -> None:
    def not_here(h2: Any, stream: int) -> None:
        number, _ = server.asked[-1]
        (status(421) if number == 1 else accept)(h2, stream)

    async with open_both_names(connect=not_here) as server, server.listener.open_client(coalesce=True) as client:
        await client.get(url(server, "a.test"))
        for _ in range(2):
            ws = await client.connect_websocket(url(server, "b.test"))
            assert (ws.http_version, await ws.receive()) == ("HTTP/2", "hi")
        assert [number for number, _ in server.asked] == [1, 1, 2, 2]
        assert server.upgrades == 0


async def test_421_that_can_not_be_moved_is_the_whole_answer() -> None:
    def not_here(h2: Any, stream: int) -> None:
        status(421 if server.asked[-1][1].startswith("b.test") else 200, b"x" * 10_000)(h2, stream)

    limits = trio_h2ws.Limits(max_retries=0)
    async with open_both_names(request=not_here) as server:
        async with server.listener.open_client(coalesce=True, limits=limits) as client:
            await client.get(url(server, "a.test"))
            response = await client.get(url(server, "b.test"))
            assert (response.status, response.content) == (421, b"x" * 10_000)


async def test_421_on_an_unshared_connection_is_the_answer() -> None:
    async with open_both_names(request=status(421, b"not me")) as server:
        async with server.listener.open_client(coalesce=True) as client:
            response = await client.get(url(server, "a.test"))
            assert (response.status, response.content) == (421, b"not me")
            assert len(server.asked) == 1


async def test_an_ended_connection_is_not_shared() -> None:
    timeouts = trio_h2ws.Timeouts(idle=0.01)
    async with open_both_names() as server, server.listener.open_client(coalesce=True, timeouts=timeouts) as client:
        await client.get(url(server, "a.test"))
        await client.get(url(server, "b.test"))
        await until(lambda: not client.connections)
        await client.get(url(server, "b.test"))
        await client.get(url(server, "a.test"))
        assert server.listener.accepted == 2
        assert server.listener.names == ["a.test", "b.test"]


async def test_many_calls_at_once_share_one_connection() -> None:
    """Both names at once, on the connection that is open."""
    async with open_both_names() as server, server.listener.open_client(coalesce=True) as client:
        await client.get(url(server, "a.test"))
        done = []

        async def get(name: str) -> None:
            done.append((await client.get(url(server, name))).status)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(get, "a.test")
                nursery.start_soon(get, "b.test")
        assert done == [200] * 40
        assert server.listener.accepted == 1


async def test_a_slow_lookup_meets_the_connect_timeout() -> None:
    class Slow(Names):
        async def getaddrinfo(self, host: Any, *rest: Any, **options: Any) -> Any:
            if host in ("b.test", b"b.test"):
                await trio.sleep_forever()
            return await super().getaddrinfo(host, *rest, **options)

    async with open_both_names() as server:
        trio.socket.set_custom_hostname_resolver(Slow(ADDRESSES))
        timeouts = trio_h2ws.Timeouts(connect=0.2)
        async with server.listener.open_client(coalesce=True, timeouts=timeouts) as client:
            await client.get(url(server, "a.test"))
            with trio.fail_after(1), pytest.raises(trio_h2ws.ConnectFailed, match=r"b\.test.*0\.2 s"):
                await client.get(url(server, "b.test"))


async def test_after_421_a_websocket_may_fall_back_to_http1() -> None:
    """Its own connection does not accept WebSockets over HTTP/2 either, so HTTP/1.1 is used."""
    answers = [status(421)]

    def connect(h2: Any, stream: int) -> None:
        (answers.pop(0) if answers else status(501))(h2, stream)

    async with open_both_names(connect=connect) as server, server.listener.open_client(coalesce=True) as client:
        await client.get(url(server, "a.test"))
        await client.get(url(server, "b.test"))
        assert server.listener.accepted == 1
        async with client.websocket(url(server, "b.test")) as ws:
            assert ws.http_version == "HTTP/1.1"
        assert server.connects == 2
