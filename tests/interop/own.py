"""Our testing server as a process: `python own.py PORT FILE` writes its authority's certificate to FILE."""

from __future__ import annotations

import signal
import sys

import trio

from trio_h2ws.testing import open_server


async def main() -> None:
    port, file = sys.argv[1:]
    async with open_server(port=int(port), alpn=("h2", "http/1.1")) as server:
        part = trio.Path(f"{file}.part")
        await part.write_bytes(server.ca_pem or b"")
        await part.rename(file)  # atomic: a process that waits for the file reads all of it
        with trio.open_signal_receiver(signal.SIGTERM) as signals:
            async for _ in signals:
                break
        with trio.move_on_after(5):
            await server.drain()


if __name__ == "__main__":
    trio.run(main)
