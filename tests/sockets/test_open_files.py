"""The process may open no more files (EMFILE): idle connections make room, calls wait, and errors say what it was.

Each client runs in a process with a low bound (`ulimit -n`); the server is in this one. The kind: an error of the
operating system that a call could survive.
"""

from __future__ import annotations

import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from servers.http1 import Peer, open_http1
from trio_h2ws.testing import open_server

pytest.importorskip("resource", reason="Windows has no such bound")

_BEGINNING = """
import resource, sys, trio, trio_h2ws
port = sys.argv[1]
def allow(files):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
"""


async def run(program: str, *arguments: str) -> str:
    """What the program prints."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    done = await trio.run_process(
        [sys.executable, "-c", _BEGINNING + program, *arguments],
        capture_stdout=True,
        stderr=subprocess.STDOUT,
        check=False,
        env=environment,
    )
    output = done.stdout.decode()
    assert done.returncode == 0, output
    return output


async def serve(peer: Peer) -> None:
    while (request := await peer.request()) is not None:
        if request.headers.get("upgrade") == "websocket":
            await (await peer.accept_websocket(request)).echo()
            return
        await trio.sleep(0.02)
        await peer.respond(200, b"hello")


async def test_calls_share_the_connections_that_can_be_opened() -> None:
    """With names as well: a lookup needs files."""
    program = """if True:
        async def main():
            async with trio_h2ws.open_client(trust_env=False) as client:
                async def get(host):
                    assert (await client.get(f"http://{host}:{port}/")).content == b"hello"
                for host in ("127.0.0.1", "localhost"):
                    allow(30)
                    async with trio.open_nursery() as nursery:
                        for _ in range(100):
                            nursery.start_soon(get, host)
                    print(len(client.connections) < 30)
        trio.run(main)
    """
    async with open_http1(serve, tls=False) as server:
        assert (await run(program, str(server.port))).split() == ["True", "True"]
        assert server.accepted > 5


async def test_idle_connections_of_other_origins_make_room() -> None:
    program = """if True:
        async def open_stream(host, port):
            return await trio.open_tcp_stream("127.0.0.1", port)
        async def main():
            allow(30)
            async with trio_h2ws.open_client(open_stream=open_stream) as client:
                for n in range(60):
                    assert (await client.get(f"http://{n}.test:{port}/")).content == b"hello"
        trio.run(main)
    """
    async with open_http1(serve, tls=False) as server:
        assert await run(program, str(server.port)) == ""
        assert server.accepted == 60


async def test_the_error_names_open_files() -> None:
    """WebSockets hold all of them, so nothing ends while the call waits."""
    program = """if True:
        async def main():
            timeouts = trio_h2ws.Timeouts(connect=0.3)
            async with trio_h2ws.open_client(trust_env=False, timeouts=timeouts) as client:
                allow(30)
                sockets = []
                try:
                    while True:
                        sockets.append(await client.connect_websocket(f"ws://127.0.0.1:{port}/"))
                except trio_h2ws.ConnectFailed as error:
                    print(error)
                try:
                    await client.get(f"http://127.0.0.1:{port}/")
                except trio_h2ws.ConnectFailed as error:
                    print(error)
                async def end_one():
                    await trio.sleep(0.1)
                    await sockets.pop().aclose()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(end_one)
                    print((await client.get(f"http://127.0.0.1:{port}/")).status)
                for ws in sockets:
                    ws.abort()
        trio.run(main)
    """
    async with open_http1(serve, tls=False) as server:
        first, second, third = (await run(program, str(server.port))).splitlines()
        for line in (first, second):
            assert "Too many open files" in line
            assert "ulimit -n" in line
            assert "Limits.max_connections" in line
            assert "0.3 s (Timeouts.connect)" in line
        assert third == "200"


async def test_without_a_connection_that_could_end_the_error_comes_at_once() -> None:
    program = """if True:
        import os, time
        async def main():
            async with trio_h2ws.open_client(trust_env=False) as client:
                allow(30)
                files = []
                try:
                    while True:
                        files.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    pass
                start = time.monotonic()
                async def get(host):
                    try:
                        await client.get(f"http://{host}:{port}/")
                    except trio_h2ws.ConnectFailed as error:
                        print("Too many open files" in str(error))
                await get("127.0.0.1")
                await get("localhost")
                async with trio.open_nursery() as nursery:
                    for _ in range(10):
                        nursery.start_soon(get, "127.0.0.1")
                print(time.monotonic() - start < 5)
                for file in files:
                    os.close(file)
                print((await client.get(f"http://127.0.0.1:{port}/")).status)
        trio.run(main)
    """
    async with open_http1(serve, tls=False) as server:
        assert (await run(program, str(server.port))).split() == ["True"] * 13 + ["200"]


async def test_certificates_are_loaded_once_files_are_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenSSL says nothing when it can't open the file of the certificates: without a check, every later handshake
    would fail."""
    program = """if True:
        import os
        async def main():
            async with trio_h2ws.open_client(trust_env=False) as client:
                allow(30)
                files = []
                try:
                    while True:
                        files.append(os.open(os.devnull, os.O_RDONLY))
                except OSError:
                    pass
                os.close(files.pop())
                try:
                    await client.get(f"https://localhost:{port}/")
                except trio_h2ws.ConnectFailed as error:
                    print("Too many open files" in str(error))
                for file in files:
                    os.close(file)
                print((await client.get(f"https://localhost:{port}/")).status)
        trio.run(main)
    """
    async with open_server() as server:
        (certificate,) = server.ssl_context.get_ca_certs(binary_form=True)
        file = tmp_path / "certificates.pem"
        file.write_text(ssl.DER_cert_to_PEM_cert(bytes(certificate)))
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        output = await run(program, server.url.rpartition(":")[2])
        assert output.split() == ["True", "200"]
