"""TLS: trust, client certificates, versions, the user's SSLContext, and errors that say what is wrong."""

from __future__ import annotations

import datetime as dt
import os
import pathlib
import socket
import ssl
import subprocess
import sys
import warnings
from typing import Any

import pytest
import trio
import trio.testing
import trustme

import trio_h2ws
from servers.http1 import Peer, open_http1
from servers.http2 import Both, open_both
from servers.listener import Listener, authority, client_context, listening, server_context, until
from trio_h2ws._network.tls import TLSTransport, default_context
from trio_h2ws._network.transport import transport_for
from trio_h2ws.testing import open_server


async def hello(peer: Peer) -> None:
    while (request := await peer.request()) is not None:
        if request.headers.get("upgrade") == "websocket":
            await (await peer.accept_websocket(request)).echo()
            return
        await peer.respond(200, b"hello")


async def get_fails(client: trio_h2ws.Client, url: str) -> trio_h2ws.ConnectFailed:
    with pytest.raises(trio_h2ws.ConnectFailed) as caught:
        await client.get(url)
    with pytest.raises(trio_h2ws.ConnectFailed):
        await client.connect_websocket(url.replace("http", "ws", 1))
    assert caught.value.__cause__ is not None
    return caught.value


async def test_an_unknown_authority_suggests_ssl_context() -> None:
    async with open_http1(hello) as server, trio_h2ws.open_client() as client:
        error = await get_fails(client, server.url)
        assert f"https://localhost:{server.port}" in str(error)
        assert "certificate was not accepted" in str(error)
        assert "ssl_context" in str(error)


async def test_a_certificate_of_another_name_is_refused() -> None:
    async with open_http1(hello, names=["other.test"]) as server, server.open_client() as client:
        error = await get_fails(client, server.url)
        assert "localhost" in str(error)
        assert "certificate was not accepted" in str(error)


async def test_an_expired_certificate_is_reported() -> None:
    old = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("localhost", not_after=old).configure_cert(context)
    async with open_http1(hello, context=context) as server, server.open_client() as client:
        assert "expired" in str(await get_fails(client, server.url))


async def test_server_hostname_replaces_the_name() -> None:
    async with open_http1(hello, names=["other.test"]) as server:
        async with server.open_client(server_hostname="other.test") as client:
            assert (await client.get("/")).status == 200
            async with client.websocket("/") as ws:
                await ws.send("x")
                assert await ws.receive() == "x"
        assert set(server.names) == {"other.test"}


@pytest.mark.parametrize(("given", "sent"), [("faß.test", "xn--fa-hia.test"), ("OTHER.test.", "other.test")])
async def test_server_hostname_is_normalized(given: str, sent: str) -> None:
    async with open_both() as server:
        async with server.listener.open_client(server_hostname=given) as client:
            with pytest.raises(trio_h2ws.ConnectFailed):
                await client.get("/")
        assert server.listener.names == [sent]


async def test_sni_is_a_name_and_never_an_address() -> None:
    async with open_http1(hello) as server, server.open_client() as client:
        await client.get(server.url)
        await client.get(server.url.replace("localhost", "127.0.0.1"))
        assert server.names == ["localhost", None]


async def test_a_server_without_tls_is_reported() -> None:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(1000)
        await stream.send_all(b"HTTP/1.1 400 What?\r\n\r\n")

    async with listening(serve, tls=False) as server, trio_h2ws.open_client() as client:
        error = await get_fails(client, f"https://localhost:{server.port}")
        assert "TLS handshake failed: the server speaks HTTP/1.1 without TLS" in str(error)
        assert "use http:// (or ws://)" in str(error)


async def test_http_to_a_tls_server_suggests_https() -> None:
    async with open_server() as server:
        for http2 in ("auto", "require"):
            async with trio_h2ws.open_client(http2=http2) as client:
                with pytest.raises(trio_h2ws.H2WSError, match=r"if this port is for TLS, use https://"):
                    await client.get(server.url.replace("https", "http"))
                with pytest.raises(trio_h2ws.H2WSError, match=r"if this port is for TLS, use https://"):
                    await client.connect_websocket(server.url.replace("https", "ws"))


@pytest.mark.parametrize("scheme", ["http", "https", "ws", "wss"])
@pytest.mark.parametrize("http2", ["auto", "require", "never"])
@pytest.mark.parametrize(
    ("first", "said"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the server speaks SSH on this port, not HTTP"),
        (b"220 mail.test ESMTP\r\n", "the server speaks SMTP or FTP on this port, not HTTP"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "the server speaks TLS on this port: use https://"),  # an alert
    ],
)
async def test_what_another_server_speaks_is_named(scheme: str, http2: str, first: bytes, said: str) -> None:
    if first[0] == 0x15 and scheme in ("https", "wss"):
        return  # there it is what it says
    connections = 0

    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        nonlocal connections
        connections += 1
        await stream.send_all(first)
        while await stream.receive_some(1000):
            pass

    async with listening(serve, tls=False) as server, trio_h2ws.open_client(http2=http2) as client:
        call = client.connect_websocket if scheme in ("ws", "wss") else client.get
        with pytest.raises(trio_h2ws.H2WSError, match=said) as caught:
            await call(f"{scheme}://localhost:{server.port}/")
        assert connections == 1
        assert not caught.value.may_have_been_processed


async def test_a_websocket_does_not_come_back_to_a_port_without_http() -> None:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.send_all(b"SSH-2.0-OpenSSH_9.2\r\n")
        while await stream.receive_some(1000):
            pass

    async with listening(serve, tls=False) as server, trio_h2ws.open_client() as client:
        for scheme in ("ws", "wss"):
            with pytest.raises(trio_h2ws.H2WSError, match="the server speaks SSH"):
                async for _ in client.reconnecting_websocket(f"{scheme}://localhost:{server.port}/"):
                    pass
        assert server.accepted == 2


async def test_a_name_in_cn_alone_is_refused() -> None:
    """RFC 9110, section 4.3.4. OpenSSL would take it from there."""
    mine, theirs = default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().configure_trust(mine)
    authority().issue_cert(common_name="localhost").configure_cert(theirs)
    async with open_http1(hello, context=theirs) as server, server.open_client(ssl_context=mine) as client:
        error = await get_fails(client, server.url)
        assert "certificate was not accepted" in str(error)


async def test_a_hang_up_in_the_handshake_is_reported() -> None:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(10)

    async with listening(serve, tls=False) as server, trio_h2ws.open_client() as client:
        error = await get_fails(client, f"https://localhost:{server.port}")
        assert "TLS handshake failed" in str(error)


async def test_an_end_without_an_answer_to_the_handshake_suggests_http() -> None:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(65536)

    async with listening(serve, tls=False) as server, trio_h2ws.open_client() as client:
        error = await get_fails(client, f"https://localhost:{server.port}")
        assert "if this port is not for TLS, use http:// (or ws://)" in str(error)


async def test_a_silent_handshake_meets_the_connect_timeout() -> None:
    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        while await stream.receive_some(1000):
            pass

    timeouts = trio_h2ws.Timeouts(connect=0.2)
    async with listening(serve, tls=False) as server, trio_h2ws.open_client(timeouts=timeouts) as client:
        with pytest.raises(trio_h2ws.ConnectFailed, match=r"localhost.*0\.2 s"):
            await client.get(f"https://localhost:{server.port}")


async def test_a_client_certificate_is_sent() -> None:
    """The server requires one."""
    clients = trustme.CA()
    context = server_context(["localhost"], ["http/1.1"])
    clients.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    seen: list[Any] = []

    async def serve(peer: Peer) -> None:
        assert isinstance(peer.stream, trio.SSLStream)
        seen.append(peer.stream.getpeercert())
        await hello(peer)

    async with open_http1(serve, context=context) as server:
        mine = client_context()
        clients.issue_cert("someone@here.test").configure_cert(mine)
        async with server.open_client(ssl_context=mine) as client:
            assert (await client.get("/")).status == 200
            async with client.websocket("/") as ws:
                await ws.send("x")
                assert await ws.receive() == "x"
        assert all(("email", "someone@here.test") in certificate["subjectAltName"] for certificate in seen)
        assert seen


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_refused_client_certificate_is_a_failure_to_connect(alpn: str, version: ssl.TLSVersion) -> None:
    """With TLS 1.3 a server refuses only after the client's part of the handshake."""
    context = of_version(server_context(["localhost"], [alpn]), version)
    trustme.CA().configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED

    unknown = client_context()
    trustme.CA().issue_cert("someone@here.test").configure_cert(unknown)

    done = False

    def refuse(server: socket.socket) -> None:  # in a thread: Trio's SSLStream sends no alert
        while True:
            with server.accept()[0] as sock:
                if done:
                    return
                with pytest.raises(ssl.SSLError):
                    context.wrap_socket(sock, server_side=True)

    with socket.create_server(("127.0.0.1", 0)) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, refuse, server)
            url = f"https://localhost:{server.getsockname()[1]}/"
            for mine in (client_context(), unknown):
                async with trio_h2ws.open_client(ssl_context=mine) as client:
                    for call in (client.post, client.connect_websocket):
                        with pytest.raises(trio_h2ws.ConnectFailed, match=r"(?i)alert") as caught:
                            await call(url)
                        assert not caught.value.may_have_been_processed
            done = True
            socket.create_connection(server.getsockname()).close()
            done = True
            socket.create_connection(server.getsockname()).close()


PROGRAM = """
import ssl, sys, trio, trio_h2ws

async def main():
    async with trio_h2ws.open_client() as client:
        print((await client.get(sys.argv[1])).status)

trio.run(main)
"""


async def run_program(server: Listener, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Use the default context, in a process whose environment names the trust store and the key log."""
    return await trio.run_process(
        [sys.executable, "-c", PROGRAM, server.url], env={**os.environ, **env}, capture_stdout=True
    )


async def test_system_trust_and_sslkeylogfile_are_used(tmp_path: pathlib.Path) -> None:
    roots, keys = tmp_path / "roots.pem", tmp_path / "keys"
    authority().cert_pem.write_to_path(str(roots))
    async with open_http1(hello) as server:
        done = await run_program(server, SSL_CERT_FILE=str(roots), SSLKEYLOGFILE=str(keys))
    assert done.stdout == b"200\n"
    assert "CLIENT_HANDSHAKE_TRAFFIC_SECRET" in keys.read_text()


# Versions. TLS before 1.2 is too old for HTTP/2 (RFC 9113, section 9.2).


def of_version(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    context.minimum_version = context.maximum_version = version
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
async def test_tls_12_and_13_work(version: ssl.TLSVersion, alpn: str) -> None:
    if alpn == "h2":
        async with open_server() as server:
            assert server.ssl_context is not None
            context = of_version(server.ssl_context, version)
            async with trio_h2ws.open_client(ssl_context=context, base_url=server.url) as client:
                body = os.urandom(1_000_000)
                assert (await client.post("/echo", content=body)).content == body
    else:
        context = of_version(client_context(), version)
        async with open_http1(hello) as plain, plain.open_client(ssl_context=context) as client:
            assert (await client.get("/")).status == 200


async def test_tls_before_12_is_refused() -> None:
    context = server_context(["localhost"], ["http/1.1"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        of_version(context, ssl.TLSVersion.TLSv1_1)
    async with open_http1(refused_anyway, context=context) as server, server.open_client() as client:
        assert "TLS handshake failed" in str(await get_fails(client, server.url))


async def refused_anyway(peer: Peer) -> None:
    raise AssertionError("the handshake should have failed")


def until_tls11(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        if context.protocol is ssl.PROTOCOL_TLS_SERVER:
            context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


def old_server(**options: Any) -> Any:
    return open_both(context=until_tls11(server_context(["localhost"], ["h2", "http/1.1"])), **options)


async def asks(server: Both, http2: str) -> trio_h2ws.Response:
    context = until_tls11(client_context())
    async with server.listener.open_client(ssl_context=context, http2=http2) as client:
        response = await client.get("/")
        async with client.websocket("/") as ws:
            await ws.send("x")
            assert (await ws.receive(), ws.http_version) == ("x", "HTTP/1.1")
        return response


async def test_tls_11_leads_to_http1() -> None:
    """The server chooses h2, which is not allowed over such a TLS."""
    async with old_server() as server:
        assert (await asks(server, "auto")).http_version == "HTTP/1.1"
        assert server.listener.offers[:2] == [["h2", "http/1.1"], ["http/1.1"]]
        assert (await asks(server, "never")).http_version == "HTTP/1.1"


async def test_tls_11_is_an_error_under_require() -> None:
    async with old_server() as server:
        with pytest.raises(trio_h2ws.HTTP2NotAvailable) as caught:
            await asks(server, "require")
        assert caught.value.reason == "alpn"


async def test_tls_11_with_only_h2_is_an_error() -> None:
    async with old_server(http1=False) as server:
        context = until_tls11(client_context())
        async with server.listener.open_client(ssl_context=context) as client:
            with pytest.raises((trio_h2ws.ConnectFailed, trio_h2ws.ConnectionLost)):
                await client.get("/")


async def test_a_context_that_allows_tls_11_still_gets_http2() -> None:
    async with open_both() as server:
        async with server.listener.open_client(ssl_context=until_tls11(client_context())) as client:
            assert (await client.get("/")).http_version == "HTTP/2"
        assert server.listener.accepted == 1


# The user's own SSLContext.


async def test_the_users_context_keeps_its_settings() -> None:
    """Two clients share it, and each gets its own ALPN."""
    async with open_both() as server:
        context = server.listener.ssl_context
        before = (context.minimum_version, context.verify_mode, context.check_hostname, context.options)
        async with (
            trio_h2ws.open_client(ssl_context=context, base_url=server.url) as one,
            trio_h2ws.open_client(ssl_context=context, base_url=server.url, http2="never") as two,
        ):
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(one.get, "/")
                    nursery.start_soon(two.get, "/")
            assert {connection.protocol for connection in one.connections} == {"HTTP/2"}
            assert {connection.protocol for connection in two.connections} == {"HTTP/1.1"}
        assert (context.minimum_version, context.verify_mode, context.check_hostname, context.options) == before


async def test_the_users_context_may_skip_verification() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    async with open_http1(hello, names=["other.test"]) as server:
        async with server.open_client(ssl_context=context) as client:
            assert (await client.get("/")).status == 200


async def offered_by_the_standard_library(context: ssl.SSLContext, server: Listener) -> tuple[list[str], str | None]:
    """What a blocking library that shares the context offers by ALPN, and what the server then chooses."""

    def shake_hands() -> str | None:
        with (
            socket.create_connection(("127.0.0.1", server.port)) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as tls,
        ):
            return tls.selected_alpn_protocol()

    before = len(server.offers)
    chosen = await trio.to_thread.run_sync(shake_hands)
    await until(lambda: len(server.offers) > before)
    return server.offers[-1], chosen


async def test_alpn_is_not_set_on_the_users_context() -> None:
    async with open_both() as server:
        context = server.listener.ssl_context
        assert await offered_by_the_standard_library(context, server.listener) == ([], None)
        for http2 in ("auto", "require", "never"):
            async with server.listener.open_client(http2=http2) as client:
                offered = ["http/1.1"] if http2 == "never" else ["h2", "http/1.1"]
                assert (await client.get("/")).status == 200
                assert server.listener.offers[-1] == offered
                # Also while the client is open.
                assert await offered_by_the_standard_library(context, server.listener) == ([], None)
        assert await offered_by_the_standard_library(context, server.listener) == ([], None)


async def test_a_handshake_that_cannot_begin_changes_no_context() -> None:
    async with open_both() as server:
        context = server.listener.ssl_context
        with pytest.raises(ValueError, match=r"label|host"):
            TLSTransport(transport_for(trio.testing.memory_stream_pair()[0]), context, "a" * 70 + ".test", ["h2"])
        assert await offered_by_the_standard_library(context, server.listener) == ([], None)


async def test_an_https_proxy_is_offered_only_http1() -> None:
    async def refuse(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"HTTP/1.1 403 No\r\n\r\n")

    async with listening(refuse, alpn=["h2", "http/1.1"]) as proxy:
        async with proxy.open_client(proxy=proxy.url) as client:
            with pytest.raises(trio_h2ws.ConnectFailed, match="403"):
                await client.get("https://a.test/")
        assert proxy.offers == [["http/1.1"]]
