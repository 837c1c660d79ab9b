"""The `websockets` library as a server: HTTP/1.1, and WebSockets only. `python ws_only.py PORT CERTIFICATE KEY`."""

from __future__ import annotations

import asyncio
import signal
import ssl
import sys
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        if message == "bye":
            await connection.close(4001, "as you wish")
            return
        await connection.send(message)


def answer(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == "/ws":
        return None
    if request.path == "/":
        return connection.respond(HTTPStatus.OK, "hello over HTTP/1.1")
    return connection.respond(HTTPStatus.FORBIDDEN, "no")


def choose(connection: ServerConnection, offered: Any) -> Any:
    return offered[-1] if offered else None


async def main() -> None:
    port, certificate, key = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with serve(
        echo, "127.0.0.1", int(port), ssl=context, process_request=answer, select_subprotocol=choose
    ) as server:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        await server.wait_closed()


if __name__ == "__main__":
    asyncio.run(main())
