"""Proxies that cut a WebSocket on which nothing was sent for a while: Pings keep it, over both protocols."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.listener import authority, client_context
from servers.process import free_port, running
from servers.program import need
from trio_h2ws.testing import open_server

pytestmark = pytest.mark.slow

CUT = 2  # seconds of silence after which the proxy ends a WebSocket
HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client {cut}s
    timeout server {cut}s
    timeout tunnel {cut}s

frontend tls
    bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
    default_backend app

backend app
    server app 127.0.0.1:{backend}
"""


@contextmanager
def haproxy(directory: pathlib.Path, backend: int) -> Iterator[int]:
    program, port = need("haproxy", "haproxy"), free_port()
    pem, config = directory / "all.pem", directory / "haproxy.cfg"
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    config.write_text(HAPROXY.format(cut=CUT, port=port, pem=pem, backend=backend))
    with running([program, "-f", str(config)], port):
        yield port


@contextmanager
def nghttpx(directory: pathlib.Path, backend: int) -> Iterator[int]:
    program, port = need("nghttpx", "nghttp2-proxy"), free_port()
    pem = directory / "all.pem"
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    command = [
        *(program, "--conf=/dev/null", f"--frontend=127.0.0.1,{port}", f"--backend=127.0.0.1,{backend}"),
        *(f"--stream-read-timeout={CUT}s", f"--backend-read-timeout={CUT}s", f"--frontend-read-timeout={CUT}s"),
        *("--workers=1", f"--errorlog-file={directory}/error", str(pem), str(pem)),
    ]
    with running(command, port):
        yield port


@pytest.mark.parametrize("http2", ["require", "never"])
@pytest.mark.parametrize("proxy", [haproxy, nghttpx])
async def test_a_silent_websocket_is_not_cut(proxy: Any, http2: Any, tmp_path: pathlib.Path) -> None:
    timeouts = trio_h2ws.Timeouts(websocket_ping_interval=CUT / 3)
    async with open_server(tls=False) as server:
        with proxy(tmp_path, server.port) as port:
            async with trio_h2ws.open_client(ssl_context=client_context(), timeouts=timeouts) as client:
                ws = await client.connect_websocket(f"wss://localhost:{port}/ws/echo", http2=http2)
                without = await client.connect_websocket(
                    f"wss://localhost:{port}/ws/echo", http2=http2, ping_interval=None
                )
                await trio.sleep(2.5 * CUT)
                await ws.send("still here")
                assert await ws.receive() == "still here"
                await ws.aclose()
                if proxy is haproxy:  # the proxy does cut those that say nothing
                    with trio.fail_after(5), pytest.raises((trio_h2ws.WebSocketClosed, trio_h2ws.ConnectionLost)):
                        await without.receive()
                without.abort()
