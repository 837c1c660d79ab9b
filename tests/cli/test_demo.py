"""`python -m trio_h2ws demo`."""

from __future__ import annotations

import json
import pathlib

import pytest

from trio_h2ws.testing import Server, open_server

from .processes import Cli

pytestmark = pytest.mark.slow


async def test_demo_prints_a_page_for_people(cli: Cli) -> None:
    result = (await cli("demo")).check()
    assert result.err == ""
    page = result.out.decode()
    for words in (
        "HTTP/2; the server counted 1 TCP connection, 1 TLS handshake",
        "up to 256 at once",
        "100 closed cleanly at the end",
        "while the download ran",
        "without it",
        "Everything worked, on one connection.",
    ):
        assert words in page
    assert "\x1b" not in page
    assert max(len(line) for line in page.splitlines()) <= 100


async def test_demo_json_prints_every_figure(cli: Cli) -> None:
    result = (await cli("demo", "--json")).check()
    assert result.err == ""
    found = json.loads(result.out)
    assert found["ok"] is True
    assert found["problems"] == found["notes"] == []
    assert found["connections"] == {"client": 1, "server": 1, "tls_handshakes": 1}
    assert found["streams"]["opened"] == 301
    assert found["websockets"]["opened"] == found["websockets"]["closed"] == found["websockets"]["asked"] == 100
    assert found["requests"]["answered"] == found["requests"]["asked"] == 200
    assert found["download"]["received"] == found["download"]["asked"] == 10_000_000 < found["bytes"]["received"]
    for kind in ("beside_download", "alone"):
        waits = found["echo"][kind]
        assert waits["count"] > 0
        assert 0 < waits["median"] <= waits["slowest"]


async def test_demo_url_uses_another_server(server: Server, trust: list[str], cli: Cli) -> None:
    options = ["--websockets", "5", "--requests", "6", "--download", "64KiB", "--json"]
    found = json.loads((await cli("demo", "--url", server.ws_url, *options, *trust)).check().out)
    assert found["url"] == server.url
    assert found["ok"] is True
    assert found["connections"] == {"client": 1, "server": None, "tls_handshakes": None}
    assert found["download"]["received"] == 65536
    assert server.stats.tcp_connections == 1


async def test_demo_skips_what_the_server_lacks(trust: list[str], cli: Cli) -> None:
    options = ["--insecure", "--requests", "6", "--download", "1k"]
    async with open_server(extended_connect=False) as server:
        page = (await cli("demo", "--url", server.url, "--download-path", "/nope", *options)).check().out.decode()
        assert "note: no download: /nope returned 404" in page
        assert "note: no WebSockets: " in page
        assert "Everything else worked, on one connection." in page
    async with open_server(settings={0x3: 20}) as server:
        found = json.loads((await cli("demo", "--url", server.url, *options, "--json")).check().out)
        assert found["websockets"]["opened"] == 12
        assert "12 WebSockets instead of 100: the origin allows 20 streams at once" in found["notes"]
        assert server.stats.tcp_connections == 1
        paths = ["--download-path", "/nope", "--request-path", "/nope", "--websocket-path", "/ws/refuse/404"]
        page = (await cli("demo", "--url", server.url, *paths, *options)).check(1).out.decode()
        assert "problem: nothing left to do: this origin serves no part of the demo" in page


async def test_a_demo_that_fails_exits_with_1(server: Server, trust: list[str], cli: Cli) -> None:
    options = ["--url", server.url, "--timeout", "1", *trust]
    result = (await cli("demo", *options, "--request-path", "/hang")).check(1)
    assert "problem: not finished after 1 s" in result.out.decode()
    result = (await cli("demo", *options, "--websocket-path", "/ws/close/1011")).check()
    assert "note: no WebSockets: WebSocket closed with 1011" in result.out.decode()


async def test_demo_without_the_extra_says_what_to_install(cli: Cli, tmp_path: pathlib.Path) -> None:
    # The working directory comes first on Python's path.
    (tmp_path / "trustme.py").write_text("raise ImportError")
    assert "pip install 'trio_h2ws[testing]'" in (await cli("demo")).check(1).line()
