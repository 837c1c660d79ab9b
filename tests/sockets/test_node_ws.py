"""npm's `ws` with every setting of its permessage-deflate: it refuses a handshake whose offers it can't agree to."""

from __future__ import annotations

import json
import os
import pathlib
from typing import Any

import pytest
import trio

import trio_h2ws
from servers.process import free_port, running
from servers.program import need
from trio_h2ws import DeflateOptions

SERVER = pathlib.Path(__file__).parents[1] / "support" / "servers" / "node_ws.cjs"
SETTINGS: list[Any] = [
    True,
    {"serverNoContextTakeover": False},
    {"serverNoContextTakeover": True},
    {"clientNoContextTakeover": False},
    {"clientMaxWindowBits": 9},
    {"clientMaxWindowBits": 13},
    {"clientMaxWindowBits": 15},
    {"clientMaxWindowBits": False},
    {"serverMaxWindowBits": 9},
    {"serverMaxWindowBits": 15},
    {"serverMaxWindowBits": False},
    {"serverNoContextTakeover": False, "clientMaxWindowBits": 13, "serverMaxWindowBits": 12},
]
OPTIONS = [
    DeflateOptions(threshold=0),
    DeflateOptions(
        threshold=0, server_context_takeover=True, client_context_takeover=True, client_max_window_bits=15
    ),
    DeflateOptions(threshold=0, server_max_window_bits=9, client_max_window_bits=9),
]


def ws_package() -> str:
    package = pathlib.Path(os.environ.get("TRIO_H2WS_NPM", ".")).absolute() / "node_modules" / "ws"
    if not package.is_dir():
        pytest.skip("npm's ws is not installed: npm install --prefix DIRECTORY ws, and set TRIO_H2WS_NPM=DIRECTORY")
    return str(package)


@pytest.mark.slow
@pytest.mark.parametrize("settings", SETTINGS, ids=json.dumps)
async def test_messages_are_compressed_whatever_the_server_wants(settings: Any) -> None:
    node, package, port = need("node", "nodejs"), ws_package(), free_port()
    with running([node, str(SERVER), package, str(port), json.dumps(settings)], port):
        async with trio_h2ws.open_client() as client:
            for options in OPTIONS:
                with trio.fail_after(5):
                    async with client.websocket(f"ws://127.0.0.1:{port}/", compression=options) as ws:
                        agreed = ws.response.headers["sec-websocket-extensions"]
                        assert agreed.startswith("permessage-deflate")
                        for message in ("text " * 3_000, "text " * 3_000, "x", b"bytes" * 3_000):
                            await ws.send(message)
                            assert await ws.receive() == message
