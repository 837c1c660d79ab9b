"""HAProxy ends the whole connection when a request's headers are larger than its buffer (16 KB by default)."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterator

import pytest
import trio

import trio_h2ws
from servers.listener import authority, client_context
from servers.process import free_port, running
from servers.program import need

pytestmark = pytest.mark.slow

SUPPORT = pathlib.Path(__file__).parents[1] / "support"
CONFIG = """\
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s
frontend tls
    bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
    default_backend app
backend app
    server app 127.0.0.1:{backend}
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    haproxy = need("haproxy", "haproxy")
    pytest.importorskip("hypercorn", reason="Hypercorn is not installed (pip install hypercorn[trio])")
    directory: pathlib.Path = tmp_path_factory.mktemp("haproxy")
    pem, config = directory / "certificate.pem", directory / "haproxy.cfg"
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    port, backend = free_port(), free_port()
    config.write_text(CONFIG.format(port=port, pem=pem, backend=backend))
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    application = [sys.executable, "-m", "hypercorn", "--bind", f"127.0.0.1:{backend}", "servers.app:app"]
    with running(["env", f"PYTHONPATH={path}", *application], backend):
        with running([haproxy, "-db", "-f", str(config)], port):
            yield f"https://localhost:{port}"


async def echoes(ws: trio_h2ws.WebSocket) -> None:
    await ws.send("still here")
    assert await ws.receive() == "still here"


async def test_large_headers_end_no_connection_of_others_twice(url: str) -> None:
    async with trio_h2ws.open_client(base_url=url, ssl_context=client_context()) as client:
        assert (await client.get("/")).status == 200
        large = {"cookie": "c" * 20_000}
        outcome: list[trio_h2ws.RequestNotProcessed] = []

        async def send_large() -> None:
            with pytest.raises(trio_h2ws.RequestNotProcessed) as caught:
                await client.get("/", headers=large)
            outcome.append(caught.value)

        async with client.websocket("/ws") as ws, trio.open_nursery() as nursery:
            assert ws.http_version == "HTTP/2"
            nursery.start_soon(send_large)
            with pytest.raises((trio_h2ws.ConnectionLost, trio_h2ws.WebSocketClosed)):
                await ws.receive()  # the first connection is lost: what the request does is not known before
            async with client.websocket("/ws") as successor:
                while not outcome:
                    await echoes(successor)
                await echoes(successor)
                assert len(client.connections) == 1
        assert not outcome[0].may_have_been_processed
        assert "20,006 of them in 'cookie'" in str(outcome[0])


async def test_headers_that_fit_disturb_nothing(url: str) -> None:
    async with trio_h2ws.open_client(base_url=url, ssl_context=client_context()) as client:
        async with client.websocket("/ws") as ws:
            assert (await client.get("/", headers={"cookie": "c" * 10_000})).status == 200
            await echoes(ws)
            assert len(client.connections) == 1
