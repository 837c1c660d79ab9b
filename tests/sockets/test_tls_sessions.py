"""TLS sessions: further connections to an origin resume them, and nothing else does."""

from __future__ import annotations

import ssl

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.http2 import open_both
from servers.listener import client_context, server_context


async def hello(peer: Peer) -> None:
    while (request := await peer.request()) is not None:
        if request.headers.get("upgrade") == "websocket":
            await (await peer.accept_websocket(request)).echo()
            return
        await peer.respond(200, b"hello")


def of_version(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = version
    return context


VERSIONS = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


@VERSIONS
async def test_websockets_over_http1_resume_sessions(version: ssl.TLSVersion) -> None:
    context = of_version(server_context(["localhost"], ["http/1.1"]), version)
    async with open_http1(hello, context=context) as server, server.open_client() as client:
        for _ in range(6):
            async with client.websocket("/") as ws:
                await ws.send("x")
                assert await ws.receive() == "x"
        assert server.accepted == 6
        # The first to each offer of ALPN is not resumed.
        assert server.resumed >= 4


@VERSIONS
async def test_a_connection_after_another_resumes_its_session(version: ssl.TLSVersion) -> None:
    context = of_version(server_context(["localhost"], ["h2", "http/1.1"]), version)
    async with open_both(context=context) as server:
        timeouts = trio_h2ws.Timeouts(idle=0)
        async with trio_h2ws.open_client(ssl_context=client_context(), timeouts=timeouts) as client:
            for _ in range(3):
                assert (await client.get(f"{server.url}/")).http_version == "HTTP/2"
                while client.connections:  # noqa: ASYNC110  # until the idle end
                    await trio.sleep(0.02)
        assert (server.listener.accepted, server.listener.resumed) == (3, 2)


async def test_a_server_without_sessions_costs_nothing() -> None:
    context = server_context(["localhost"], ["http/1.1"])
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    async with open_http1(hello, context=context) as server, server.open_client() as client:
        for _ in range(4):
            async with client.websocket("/") as ws:
                await ws.send("x")
                assert await ws.receive() == "x"
        assert server.resumed == 0


@pytest.mark.parametrize("change", ["another client", "verification"])
async def test_a_session_is_not_resumed_where_the_checks_differ(change: str) -> None:
    async with open_http1(hello, context=server_context(["localhost"], ["http/1.1"])) as server:
        context = client_context()
        async with server.open_client(ssl_context=context, http2="never") as client:
            async with client.websocket("/"):
                pass
            if change == "verification":
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                async with client.websocket("/"):
                    pass
        if change == "another client":
            async with server.open_client(ssl_context=context, http2="never") as client, client.websocket("/"):
                pass
        assert server.accepted == 2
        assert server.resumed == 0


async def test_a_certificate_that_has_become_wrong_is_found_by_a_full_handshake() -> None:
    """Resumed or not, another name is another session."""
    async with open_http1(hello, context=server_context(["localhost"], ["http/1.1"])) as server:
        async with server.open_client() as client:
            await client.get("/")
            with pytest.raises(trio_h2ws.ConnectFailed, match="certificate was not accepted"):
                await client.get(f"https://127.0.0.1:{server.port}/")
