"""Rolling reloads: WebSockets that reconnect, behind a proxy that is reloaded every few seconds.

Each socket sends numbered messages and waits for their echoes. A message that was sent (`send` has returned) and
whose echo never came is lost. After a reload a new process listens, and the old one says GOAWAY and serves what is
open for a while.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass, field

import trio
import trustme

import trio_h2ws
from trio_h2ws.testing import open_server

from ..interop import configs
from ..support.servers.process import free_port
from ..support.servers.program import find

SOCKETS = 50
EVERY = 5.0  # seconds between two reloads
PAUSE = 0.1  # seconds between two messages of one socket


@dataclass
class Result:
    """What became of the messages."""

    sent: int = 0
    echoed: int = 0
    lost: int = 0
    turns: int = 0
    requests: int = 0
    failed_requests: int = 0
    longest_gap: float = 0.0
    errors: list[str] = field(default_factory=list)


class Proxy:
    """A proxy on a port, which can be reloaded: a new process serves new connections, the old one what it has."""

    def __init__(self, name: str, directory: pathlib.Path, pem: pathlib.Path, backend: int) -> None:
        self.port = free_port()
        self._name = name
        self._directory = directory
        self._pem = pem
        self._backend = backend
        self._processes: list[subprocess.Popen[bytes]] = []
        self._admin = 0  # Envoy's port for commands
        program = find(name)
        if program is None:
            raise RuntimeError(f"{name} is not installed")
        self._program = program

    def start(self) -> None:
        directory, port = self._directory, self.port
        if self._name == "haproxy":
            config = directory / "haproxy.cfg"
            config.write_text(configs.HAPROXY.format(port=port, backend=self._backend, pem=self._pem))
            self._run(["-W", "-f", str(config), "-p", str(directory / "pid")])
        elif self._name == "nghttpx":
            addresses = [f"--frontend=127.0.0.1,{port}", f"--backend=127.0.0.1,{self._backend}"]
            files = [
                f"--errorlog-file={directory}/error",
                f"--pid-file={directory}/pid",
                str(self._pem),
                str(self._pem),
            ]
            self._run(["--conf=/dev/null", *addresses, "--workers=1", *files])
        else:
            self._admin = free_port()
            config = directory / f"envoy-{self._admin}.yaml"
            text = configs.ENVOY_HTTP2_UPSTREAM.format(
                port=port,
                backend=self._backend,
                certificate=self._pem,
                key=self._pem,
                filters="type.googleapis.com/envoy.extensions.filters",
            )
            admin = f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {self._admin}}}}}}}"
            config.write_text(text.replace("admin: {}", admin))
            identity = ["--base-id", str(self._admin), "--drain-time-s", "2", "--concurrency", "1"]
            self._run(["-c", str(config), *identity, "-l", "off"])

    def _run(self, arguments: list[str]) -> None:
        self._processes.append(
            subprocess.Popen(
                [self._program, *arguments],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        )

    async def wait_until_it_listens(self, port: int) -> None:
        for _ in range(400):
            with contextlib.suppress(OSError):
                await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
                return
            await trio.sleep(0.02)
        raise RuntimeError(f"{self._name} does not listen")

    async def reload(self) -> None:
        """As operators do it, but for Envoy: there a second one on the same port takes over, and the first drains."""
        if self._name == "haproxy":
            os.kill(self._processes[0].pid, signal.SIGUSR2)
        elif self._name == "nghttpx":
            file = self._directory / "pid"
            old = int(file.read_text())
            os.kill(old, signal.SIGUSR2)  # start a new one
            while file.read_text().strip() in ("", str(old)):  # noqa: ASYNC110  # another process writes it
                await trio.sleep(0.02)
            await trio.sleep(0.3)
            os.kill(old, signal.SIGQUIT)  # end the old one gracefully
        else:
            old_admin, old_process = self._admin, self._processes[-1]
            self.start()
            await self.wait_until_it_listens(self._admin)
            async with trio_h2ws.open_client(trust_env=False) as client:
                await client.post(f"http://127.0.0.1:{old_admin}/drain_listeners?graceful")
            await trio.sleep(3)
            old_process.terminate()

    def stop(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


async def echo_forever(client: trio_h2ws.Client, url: str, result: Result) -> None:
    number = 0
    last = trio.current_time()
    async with client.reconnecting_websocket(url, first_delay=0.2) as sockets:
        async for ws in sockets:
            result.turns += 1
            waiting: dict[str, None] = {}
            try:
                async with trio.open_nursery() as nursery:

                    async def send(ws: trio_h2ws.WebSocket = ws, waiting: dict[str, None] = waiting) -> None:
                        nonlocal number
                        while True:
                            number += 1
                            text = f"{number}"
                            try:
                                await ws.send(text)
                            except (trio_h2ws.H2WSError, trio.ClosedResourceError):
                                return  # it was not sent: the next turn goes on
                            waiting[text] = None
                            result.sent += 1
                            await trio.sleep(PAUSE)

                    nursery.start_soon(send)
                    async for message in ws:
                        del waiting[str(message)]
                        result.echoed += 1
                        now = trio.current_time()
                        result.longest_gap = max(result.longest_gap, now - last)
                        last = now
                    nursery.cancel_scope.cancel()
            except* trio_h2ws.H2WSError as errors:
                result.errors += [repr(error) for error in errors.exceptions]
            result.lost += len(waiting)


async def request_forever(client: trio_h2ws.Client, url: str, result: Result) -> None:
    while True:
        result.requests += 1
        try:
            result.failed_requests += (await client.get(url)).status != 200
        except trio_h2ws.H2WSError as error:
            result.failed_requests += 1
            result.errors.append(repr(error))
        await trio.sleep(0.02)


async def reloads(name: str, seconds: float) -> Result:
    result = Result()
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with tempfile.TemporaryDirectory() as place:
        directory = pathlib.Path(place)
        pem = directory / "all.pem"
        authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
        async with open_server(tls=False) as server:
            proxy = Proxy(name, directory, pem, server.port)
            try:
                proxy.start()
                await proxy.wait_until_it_listens(proxy.port)
                async with trio_h2ws.open_client(ssl_context=context) as client, trio.open_nursery() as nursery:
                    for _ in range(SOCKETS):
                        nursery.start_soon(echo_forever, client, f"wss://localhost:{proxy.port}/ws/echo", result)
                    nursery.start_soon(request_forever, client, f"https://localhost:{proxy.port}/", result)
                    end = trio.current_time() + seconds
                    next_reload = trio.current_time()
                    while trio.current_time() < end:
                        next_reload += EVERY
                        await trio.sleep_until(next_reload)
                        await proxy.reload()
                    await trio.sleep(3)
                    nursery.cancel_scope.cancel()
            finally:
                proxy.stop()
    return result


PROXIES = ("haproxy", "nghttpx", "envoy")


def text(name: str, result: Result) -> str:
    errors = Counter(error[:150] for error in result.errors).most_common(5)
    return "\n".join(
        [
            f"{name}: {result.sent:,} messages sent, {result.lost} lost",
            f"  {result.turns - SOCKETS} times a socket got another connection",
            f"  longest silence of a socket: {result.longest_gap:.2f} s",
            f"  {result.requests:,} requests, {result.failed_requests} failed",
            *(f"  {count} times {error}" for error, count in errors),
        ]
    )
