"""The columns. Each is a function that uses the client with one server and returns what it saw.

A function that raises gives a cell of grade 0 that shows the error, and so does one that does not finish in time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import trio

import trio_h2ws

from .process import Process
from .servers import Server

FULL, LIMITED, FAILED = 2, 1, 0
DOWNLOAD = 20_000_000
UPLOAD = 3_000_000
SOCKETS = 10


@dataclass(frozen=True)
class Cell:
    grade: int
    text: str


class Target:
    """A running server."""

    def __init__(self, server: Server, process: Process, port: int, ssl_context: Any) -> None:
        self.server = server
        self.process = process
        self.port = port
        self.ssl_context = ssl_context

    def open_client(self, **options: Any) -> Any:
        base_url = f"https://localhost:{self.port}"
        return trio_h2ws.open_client(ssl_context=self.ssl_context, base_url=base_url, trust_env=False, **options)


async def alpn(target: Target) -> Cell:
    target.ssl_context.set_alpn_protocols(["h2", "http/1.1"])
    tcp = await trio.open_tcp_stream("127.0.0.1", target.port)
    stream = trio.SSLStream(tcp, target.ssl_context, server_hostname="localhost")
    try:
        await stream.do_handshake()
        chosen = stream.selected_alpn_protocol()
    finally:
        await trio.aclose_forcefully(stream)
    return Cell(FULL if chosen == "h2" else LIMITED, chosen or "nothing")


async def settings(target: Target) -> Cell:
    async with target.open_client() as client:
        connection = (await client.get("/")).connection
        if connection.protocol != "HTTP/2":
            return Cell(LIMITED, "HTTP/1.1 has none")
        seen = connection.settings
        words = [f"streams {seen.get('MAX_CONCURRENT_STREAMS', 'any number')}"]
        words.append(f"window {seen['INITIAL_WINDOW_SIZE']}")
        words.append(f"frame {seen['MAX_FRAME_SIZE']}")
        if "MAX_HEADER_LIST_SIZE" in seen:
            words.append(f"header list {seen['MAX_HEADER_LIST_SIZE']}")
        words.append("extended CONNECT" if connection.extended_connect else "no extended CONNECT")
        return Cell(FULL, ", ".join(words))


async def request(target: Target) -> Cell:
    async with target.open_client() as client:
        response = await client.get("/")
        assert response.status == 200, f"status {response.status}"
        assert response.text.startswith("hello"), f"unexpected body {response.text[:40]!r}"
        many = []

        async def one() -> None:
            many.append((await client.get("/")).status)

        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(one)
        assert many == [200] * 50, f"statuses {set(many)}"
        return Cell(FULL, f"yes, {response.http_version}")


async def _pieces(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 10_000):
        yield b"x" * 10_000
        await trio.lowlevel.checkpoint()


async def upload(target: Target) -> Cell:
    if not target.server.requests:
        return Cell(LIMITED, "serves none")
    async with target.open_client() as client:
        response = await client.post("/upload", content=_pieces(UPLOAD))
        cell = Cell(FULL, "yes")
        if response.status == 411:
            response = await client.post("/upload", content=_pieces(UPLOAD), headers={"content-length": str(UPLOAD)})
            cell = Cell(LIMITED, "with a Content-Length")
        assert response.status == 200, f"status {response.status}"
        assert str(UPLOAD) in response.text, f"the server counted {response.text[:40]} bytes"
        return cell


async def _echoes(ws: trio_h2ws.WebSocket, message: str | bytes) -> None:
    await ws.send(message)
    answer = await ws.receive()
    assert answer == message, f"a different message came back, of length {len(answer)}"


async def websocket(target: Target) -> Cell:
    async with target.open_client() as client:
        async with client.websocket(target.server.websocket) as ws:
            for message in ("ä" * 50, b"x" * 200_000, "", "last"):
                await _echoes(ws, message)
            await ws.ping()
            version = ws.http_version
        learned = {connection.websockets for connection in client.connections}
        reason = next((text for text in learned if text and "(" in text), version)
        return Cell(FULL if version == "HTTP/2" else LIMITED, reason)


async def subprotocol(target: Target) -> Cell:
    async with target.open_client() as client:
        async with client.websocket(target.server.websocket, subprotocols=["v1", "v2"]) as ws:
            await _echoes(ws, "x")
            return Cell(FULL if ws.subprotocol else LIMITED, "yes" if ws.subprotocol else "chooses none")


async def deflate(target: Target) -> Cell:
    async with target.open_client() as client:
        async with client.websocket(target.server.websocket, compression=trio_h2ws.DeflateOptions()) as ws:
            chosen = ws.response.headers.get("sec-websocket-extensions")
            for _ in range(3):
                await _echoes(ws, "again and " * 2000)
            if not chosen:
                return Cell(LIMITED, "declines")
            return Cell(FULL, _agreed(chosen))


def _agreed(extension: str) -> str:
    """The negotiated parameters in brief: `no context, window bits server 15, client 12`."""
    parameters = {}
    for part in extension.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        parameters[name] = value
    reset = [side for side in ("server", "client") if f"{side}_no_context_takeover" in parameters]
    words = ["no context" if len(reset) == 2 else f"no context of the {reset[0]}"] if reset else ["context kept"]
    bits = [f"{side} {parameters.get(f'{side}_max_window_bits') or 15}" for side in ("server", "client")]
    return ", ".join([*words, "window bits " + ", ".join(bits)])


async def ten(target: Target) -> Cell:
    """Ten WebSockets, which exchange messages once all of them are open."""
    opened: list[trio_h2ws.WebSocket] = []
    done: list[int] = []
    all_open = trio.Event()
    downloaded = 0
    async with target.open_client() as client:

        async def download() -> None:
            nonlocal downloaded
            async with client.stream("GET", f"/bytes/{DOWNLOAD}") as response:
                async for piece in response:
                    downloaded += len(piece)

        async def talk() -> None:
            async with client.websocket(target.server.websocket) as ws:
                opened.append(ws)
                if len(opened) == SOCKETS:
                    all_open.set()
                await all_open.wait()
                for i in range(20):
                    await _echoes(ws, str(i))
                done.append(ws.connection.id)

        with trio.move_on_after(15):
            async with trio.open_nursery() as nursery:
                if target.server.requests:
                    nursery.start_soon(download)
                for _ in range(SOCKETS):
                    nursery.start_soon(talk)
    connections = len({ws.connection.id for ws in opened})
    whole = downloaded == DOWNLOAD or not target.server.requests
    text = f"{len(opened)} of {SOCKETS}, {connections} connection{'s'[: connections != 1]}"
    if not whole:
        text += f", the download stopped at {downloaded}"
    return Cell(FULL if whole and len(done) == SOCKETS else LIMITED if opened else FAILED, text)


async def refusal(target: Target) -> Cell:
    async with target.open_client() as client:
        try:
            await client.connect_websocket(target.server.refuse)
        except trio_h2ws.WebSocketRejected as error:
            return Cell(FULL, str(error.status))
    return Cell(FAILED, "accepted")


async def closing(target: Target) -> Cell:
    """We close one of three WebSockets, and the server another; the third must not be affected."""
    server, words = target.server, []
    async with target.open_client() as client:
        ours, other = [await client.connect_websocket(server.websocket) for _ in range(2)]
        with trio.move_on_after(3) as slow:
            await ours.aclose()
        words.append(f"ours {'unanswered' if slow.cancelled_caught or ours.close_code == 1006 else 'answered'}")
        theirs = await client.connect_websocket(server.websocket if server.bye else "/ws/close/4001")
        if server.bye:
            await theirs.send(server.bye)
        try:
            while True:
                await theirs.receive()
        except trio_h2ws.WebSocketClosed as closed:
            words.append(f"theirs {'clean' if closed.clean else 'not clean'} {closed.code}")
        await trio.sleep(0.5)  # time for any effect on the server to show
        await _echoes(other, "still here")
        await other.aclose()
        if server.requests:
            assert (await client.get("/")).status == 200, "requests fail afterwards"
    clean = words == ["ours answered", "theirs clean 4001"]
    return Cell(FULL if clean else LIMITED, "clean on both sides" if clean else ", ".join(words))


async def graceful_stop(target: Target) -> Cell:
    """What the client sees in three seconds, if the server is asked to stop while a WebSocket is open."""
    async with target.open_client() as client:
        ws = await client.connect_websocket(target.server.websocket)
        start = trio.current_time()
        target.process.signal(target.server.stop)
        seen: list[str] = []
        with trio.move_on_after(3):
            try:
                await ws.receive()
            except trio_h2ws.WebSocketClosed as closed:
                seen.append(f"Close {closed.code}" if closed.clean else "cut")
            except trio_h2ws.ConnectionTerminated:
                seen += ["GOAWAY", "cut"]
            except trio_h2ws.H2WSError:
                seen.append("cut")
            seen += ["after a while"] if trio.current_time() - start > 0.5 else []
        if not seen:
            seen = ["GOAWAY"] if ws.draining.is_set() else []
            seen.append("the WebSocket lives on")
        name = target.server.stop.name
        return Cell(LIMITED if seen[0] == "cut" else FULL, f"{', '.join(seen)} ({name})")


CELLS: dict[str, Callable[[Target], Awaitable[Cell]]] = {
    "ALPN": alpn,
    "settings": settings,
    "request": request,
    "upload": upload,
    "WebSocket": websocket,
    "subprotocol": subprotocol,
    "deflate": deflate,
    "ten beside a download": ten,
    "refusal": refusal,
    "closing": closing,
    "graceful stop": graceful_stop,
}
