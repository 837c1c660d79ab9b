"""python -m tests.benchmarks.losses: GETs that fail behind servers that end their connections after 1,000 requests.

Both nginx and Hypercorn do that by default, with a GOAWAY. nginx finishes what it has accepted, and refuses the rest;
Hypercorn drops what is under way. Each client sends 3,000 GETs, over HTTP/2 and TLS. A GET that raises an exception
is lost. Servers and clients that are not installed are left out.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import trio
import trustme

import trio_h2ws

from ..support.servers.process import free_port, running
from ..support.servers.program import find

REQUESTS = 3000
AT_ONCE = (1, 20, 100)
SUPPORT = pathlib.Path(__file__).parents[1] / "support"

_NGINX = """
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
    keepalive_requests 1000;
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        location / {{ return 200 "hello"; }}
    }}
}}
"""

Get = Callable[[str], Awaitable[Any]]


# Servers.


@contextlib.contextmanager
def _nginx(directory: pathlib.Path, pem: pathlib.Path) -> Iterator[int | None]:
    program, port = find("nginx"), free_port()
    if program is None:
        yield None
        return
    config = directory / "nginx.conf"
    config.write_text(_NGINX.format(directory=directory, port=port, pem=pem))
    with running([program, "-p", str(directory), "-c", str(config)], port):
        yield port


@contextlib.contextmanager
def _hypercorn(pem: pathlib.Path, worker: str) -> Iterator[int | None]:
    port = free_port()
    if importlib.util.find_spec("hypercorn") is None:
        yield None
        return
    tls = ["--certfile", str(pem), "--keyfile", str(pem)]
    command = [sys.executable, "-m", "hypercorn", "-k", worker, "-b", f"127.0.0.1:{port}", *tls, "servers.app:app"]
    path = os.pathsep.join([str(SUPPORT), os.environ.get("PYTHONPATH", "")])
    with running(["env", f"PYTHONPATH={path}", *command], port):
        yield port


def _nginx_version() -> str:
    program = find("nginx")
    if program is None:
        return "?"
    output = subprocess.run([program, "-v"], capture_output=True, text=True).stderr
    found = re.search(r"\d+\.\d+\.\d+", output)
    return found.group() if found else "?"


# Clients.


@contextlib.asynccontextmanager
async def _ours(context: ssl.SSLContext) -> AsyncIterator[Get]:
    async with trio_h2ws.open_client(ssl_context=context, http2="require") as client:
        yield client.get


@contextlib.asynccontextmanager
async def _httpx(name: str, context: ssl.SSLContext) -> AsyncIterator[Get]:
    library = importlib.import_module(name)
    async with library.AsyncClient(http2=True, verify=context) as client:
        yield client.get


def _clients(context: ssl.SSLContext) -> dict[str, contextlib.AbstractAsyncContextManager[Get]]:
    others = [name for name in ("httpx", "httpx2") if importlib.util.find_spec(name)]
    return {"trio_h2ws": _ours(context), **{name: _httpx(name, context) for name in others}}


# The work.


async def _count_losses(get: Get, url: str, at_once: int) -> int:
    left, lost = REQUESTS, 0

    async def send() -> None:
        nonlocal left, lost
        while left:
            left -= 1
            try:
                assert (await get(url)).headers is not None
            except Exception:
                lost += 1

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(send)
    return lost


async def _measure(url: str, context: ssl.SSLContext) -> dict[str, list[int]]:
    """For each client the losses, one number for each of AT_ONCE."""
    losses: dict[str, list[int]] = {}
    for at_once in AT_ONCE:
        for name, client in _clients(context).items():
            async with client as get:
                losses.setdefault(name, []).append(await _count_losses(get, url, at_once))
    return losses


def main() -> None:
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        directory = pathlib.Path(name)
        pem, authority = directory / "server.pem", trustme.CA()
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
        context = ssl.create_default_context()
        authority.configure_trust(context)
        versions = [f"{name} {importlib.metadata.version(name)}" for name in _clients(context)]
        servers = {
            f"nginx {_nginx_version()}": stack.enter_context(_nginx(directory, pem)),
            **{f"Hypercorn, {kind}": stack.enter_context(_hypercorn(pem, kind)) for kind in ("trio", "asyncio")},
        }
        print(f"Lost of {REQUESTS:,} GETs, at {', '.join(map(str, AT_ONCE))} at once: {', '.join(versions)}\n")
        header = None
        for server, port in servers.items():
            if port is None:
                continue
            losses = trio.run(_measure, f"https://localhost:{port}/", context)
            if header is None:
                header = ["server", *losses]
                print("| " + " | ".join(header) + " |", "|" + "---|" * len(header), sep="\n")
            cells = [", ".join(map(str, counts)) for counts in losses.values()]
            print("| " + " | ".join([server, *cells]) + " |", flush=True)


if __name__ == "__main__":
    main()
