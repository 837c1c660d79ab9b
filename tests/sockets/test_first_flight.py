"""The first flight against real servers: how many round trips the first answer takes, and a bound that was not known.

The kind: a round trip more than TLS and the request need; a request that fails because 100 streams were assumed.
"""

from __future__ import annotations

import math
import pathlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

import trio_h2ws
from servers.early import early_server
from servers.listener import authority, client_context
from servers.process import free_port, running
from servers.program import need
from trio_h2ws.testing import open_server

ROUND_TRIP = 0.2  # seconds

pytestmark = pytest.mark.slow


@asynccontextmanager
async def distant(port: int) -> AsyncIterator[int]:
    """A relay that passes everything on after half a round trip. Connecting to it takes no time."""

    async def copy(source: trio.SocketStream, sink: trio.SocketStream, nursery: trio.Nursery) -> None:
        put, take = trio.open_memory_channel[tuple[float, bytes]](math.inf)

        async def deliver() -> None:
            async for due, data in take:
                await trio.sleep_until(due)
                await sink.send_all(data)

        try:
            async with trio.open_nursery() as inner, put:
                inner.start_soon(deliver)
                while data := await source.receive_some(100_000):
                    put.send_nowait((trio.current_time() + ROUND_TRIP / 2, bytes(data)))
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # one side has closed
        nursery.cancel_scope.cancel()

    async def serve(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream("127.0.0.1", port)
        async with near, far, trio.open_nursery() as nursery:
            nursery.start_soon(copy, near, far, nursery)
            nursery.start_soon(copy, far, near, nursery)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def round_trips(port: int, tls: ssl.TLSVersion, context: ssl.SSLContext | None = None) -> float:
    """Of the first request, after TCP."""
    context = context or client_context()
    context.maximum_version = tls
    async with distant(port) as far, trio_h2ws.open_client(ssl_context=context, trust_env=False) as client:
        start = trio.current_time()
        response = await client.get(f"https://localhost:{far}/")
        assert response.http_version == "HTTP/2"
        return (trio.current_time() - start) / ROUND_TRIP


@pytest.mark.parametrize(("tls", "most"), [(ssl.TLSVersion.TLSv1_3, 2.4), (ssl.TLSVersion.TLSv1_2, 3.4)])
async def test_the_first_answer_takes_no_round_trip_more_than_it_needs(tls: ssl.TLSVersion, most: float) -> None:
    async with open_server() as server:
        assert await round_trips(server.port, tls, server.ssl_context) < most


async def test_the_first_answer_of_nginx_takes_three_round_trips() -> None:
    """Debian's speaks TLS 1.2 alone."""
    with early_server("nginx") as ports:
        assert await round_trips(ports.tls, ssl.TLSVersion.TLSv1_2) < 3.4


async def test_the_first_answer_does_not_wait_for_late_settings(tmp_path: pathlib.Path) -> None:
    """nghttpd sends its SETTINGS after the client's preface has come, and speaks TLS 1.2 alone."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued = authority().issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(certificate))
    issued.private_key_pem.write_to_path(str(key))
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "index.html").write_text("fine")
    port = free_port()
    command = [need("nghttpd", "nghttp2-server"), "-a", "127.0.0.1", "-d", str(tmp_path / "www")]
    with running([*command, str(port), str(key), str(certificate)], port):
        assert await round_trips(port, ssl.TLSVersion.TLSv1_2) < 3.4


async def test_a_websocket_takes_one_round_trip_more() -> None:
    async with open_server() as server, distant(server.port) as far:
        async with trio_h2ws.open_client(ssl_context=server.ssl_context, trust_env=False) as client:
            start = trio.current_time()
            ws = await client.connect_websocket(f"wss://localhost:{far}/ws/echo")
            assert (trio.current_time() - start) / ROUND_TRIP < 3.4
            assert ws.http_version == "HTTP/2"
            await ws.aclose()


_NGINX = """\
daemon off;
pid {directory}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        http2_max_concurrent_streams 5;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        location / {{ return 200 "fine"; }}
    }}
}}
"""
_HAPROXY = """\
global
    tune.h2.max-concurrent-streams 5
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:{port} ssl crt {certificate} alpn h2,http/1.1
    http-request return status 200 content-type text/plain string fine
"""
_H2O = """\
hosts:
  default:
    listen:
      host: 127.0.0.1
      port: {port}
      ssl:
        certificate-file: {certificate}
        key-file: {certificate}
    paths:
      /:
        file.dir: {directory}
http2-max-concurrent-requests-per-connection: 5
"""
_COMMANDS = {
    "nginx": (_NGINX, ["nginx-light", "-c"]),
    "haproxy": (_HAPROXY, ["haproxy", "-db", "-f"]),
    "h2o": (_H2O, ["h2o", "-c"]),
}


@pytest.mark.parametrize("name", sorted(_COMMANDS))
async def test_a_server_that_allows_fewer_streams_answers_every_request(name: str, tmp_path: pathlib.Path) -> None:
    text, (package, *options) = _COMMANDS[name]
    port, certificate, config = free_port(), tmp_path / "certificate.pem", tmp_path / "config"
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    (tmp_path / "index.html").write_text("fine")
    config.write_text(text.format(directory=tmp_path, certificate=certificate, port=port))
    statuses: list[int] = []
    with running([need(name, package), *options, str(config)], port):
        async with distant(port) as far, trio_h2ws.open_client(ssl_context=client_context()) as client:

            async def get(method: str) -> None:
                statuses.append((await client.request(method, f"https://localhost:{far}/none")).status)

            async with trio.open_nursery() as nursery:
                for n in range(100):
                    nursery.start_soon(get, "GET" if n % 2 else "POST")
    assert len(statuses) == 100
    assert set(statuses) <= {200, 403, 404, 405}
