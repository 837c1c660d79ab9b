"""An ASGI application for the servers that run as separate programs. Run as `servers.app:app`.

| path         | request                        | WebSocket                              |
|--------------|--------------------------------|----------------------------------------|
| `/`          | "hello", with the HTTP version |                                        |
| `/bytes/N`   | N bytes, in pieces             |                                        |
| `/upload`    | how many bytes arrived         |                                        |
| `/echo`      | the body, as it arrives        |                                        |
| `/ws`        |                                | echo; "bye" makes it close with 4001   |
| `/refuse`    |                                | refused                                |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
PIECE = 64 * 1024


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await {"http": _request, "websocket": _websocket, "lifespan": _lifespan}[scope["type"]](scope, receive, send)


async def _lifespan(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _start(send: Send, status: int, length: int | None = None) -> None:
    fields = [(b"content-type", b"application/octet-stream")]
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    await send({"type": "http.response.start", "status": status, "headers": fields})


async def _whole(send: Send, status: int, body: bytes) -> None:
    await _start(send, status, len(body))
    await send({"type": "http.response.body", "body": body})


async def _request(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    path: str = scope["path"]
    if path.startswith("/bytes/"):
        left = int(path.removeprefix("/bytes/"))
        await _start(send, 200, left)
        more = True
        while more:
            piece = min(left, PIECE)
            left -= piece
            more = left > 0
            await send({"type": "http.response.body", "body": b"x" * piece, "more_body": more})
    elif path == "/echo":
        await _start(send, 200)
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            more = message.get("more_body", False)
            await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": more})
    elif path == "/upload":
        count, more = 0, True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return
            count += len(message.get("body", b""))
            more = message.get("more_body", False)
        await _whole(send, 200, b"%d" % count)
    elif path == "/":
        await _whole(send, 200, b"hello over HTTP/" + scope["http_version"].encode())
    else:
        await _whole(send, 404, b"no such path")


async def _websocket(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    await receive()
    if scope["path"] != "/ws":
        await send({"type": "websocket.close", "code": 1000})
        return
    offered = scope["subprotocols"]
    await send({"type": "websocket.accept", "subprotocol": offered[-1] if offered else None})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") == "bye":
            await send({"type": "websocket.close", "code": 4001, "reason": "as you wish"})
            return
        kept = {name: message[name] for name in ("text", "bytes") if message.get(name) is not None}
        await send({"type": "websocket.send", **kept})
