"""`python -m trio_h2ws probe`, against servers that differ in what they speak."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from trio_h2ws.testing import Server, open_server

from .processes import ENVIRONMENT

pytestmark = pytest.mark.slow

BOTH = ("h2", "http/1.1")


HTTP_1_1_REQUIRED = 13


Probe = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def run(tmp_path: pathlib.Path) -> Probe:
    """Exit code, stdout and stderr of a probe. If `target` is a server, its certificate is trusted."""

    async def run(target: Server | str, *args: str, path: str = "") -> tuple[int, str, str]:
        if isinstance(target, Server):
            if target.ca_pem is not None:
                (tmp_path / "ca.pem").write_bytes(target.ca_pem)
                args = (*args, "--cafile", "ca.pem")
            target = target.url + path
        done = await trio.run_process(
            [sys.executable, "-m", "trio_h2ws", "probe", target, *args],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=tmp_path,
            env=ENVIRONMENT,
        )
        err = done.stderr.decode()
        assert "Traceback" not in err
        return done.returncode, done.stdout.decode(), err

    return run


@pytest.fixture
def found(run: Probe) -> Callable[..., Awaitable[dict[str, Any]]]:
    """The JSON object of a probe, whose exit code must agree with `ok`."""

    async def found(target: Server | str, *args: str, path: str = "") -> dict[str, Any]:
        code, out, err = await run(target, "--json", *args, path=path)
        result: dict[str, Any] = json.loads(out)
        assert result["ok"] is (code == 0)
        assert (err == "") is (result["error"] is None)
        return result

    return found


Found = Callable[..., Awaitable[dict[str, Any]]]


async def test_probe_prints_a_page_for_people(run: Probe) -> None:
    async with open_server(alpn=BOTH) as server:
        code, out, err = await run(server, "--websocket", "/ws/echo", "--subprotocol", "v2")
        assert (code, err) == (0, "")
        assert out.startswith("trio_h2ws ")
        for line in (
            r"protocol    HTTP/2",
            r"TLS         TLSv1\.[23], \S+",
            r"ALPN        offered h2, http/1\.1; the server chose h2",
            r"answer      200 to HEAD, after [0-9.]+ ms",
            r"round trip  [0-9.]+ ms",
            r"streams     256 at once",
            r"settings    ENABLE_CONNECT_PROTOCOL 1",
            r"            HEADER_TABLE_SIZE 4096, the initial value",
            r"            MAX_CONCURRENT_STREAMS 256",
            r"RFC 8441    yes",
            r"HTTP/1\.1    yes: 200 to HEAD",
            r"WebSocket   over HTTP/2: the server sent ENABLE_CONNECT_PROTOCOL = 1 \(RFC 8441\), so on the same .*",
            r"            /ws/echo opened in [0-9.]+ ms, stream 3, subprotocol v2, permessage-deflate.*",
        ):
            assert re.search(rf"^  {line}$", out, re.MULTILINE), (line, out)
        assert "\x1b" not in out
        assert server.stats.tcp_connections == 2  # one for each protocol
        assert server.stats.errors == []
        assert server.stats.protocol_errors == []


async def test_a_websocket_is_opened_over_http2_with_the_setting(found: Found) -> None:
    async with open_server(settings={0x3: 20}) as server:
        result = await found(server, "--websocket", "/ws/echo")
        assert result["url"] == server.url
        connection, websocket = result["connection"], result["websocket"]
        assert connection["offered"] == ["h2", "http/1.1"]
        assert (connection["chosen"], connection["protocol"], connection["speaks"]) == ("h2", "HTTP/2", True)
        assert connection["settings"]["MAX_CONCURRENT_STREAMS"] == connection["streams_allowed"] == 20
        assert connection["extended_connect"] is True
        assert 0 < connection["round_trip"] < 5
        assert 0 < connection["seconds"] < 5
        assert (result["other"]["offered"], result["other"]["speaks"]) == (["http/1.1"], False)
        assert (websocket["opened"], websocket["over"], websocket["stream_id"]) == (True, "HTTP/2", 3)
        assert websocket["subprotocol"] is None
        assert websocket["extensions"].startswith("permessage-deflate")
        assert websocket["refusals"] == []


async def test_no_websocket_is_opened_unasked(found: Found) -> None:
    async with open_server() as server:
        result = await found(server.ws_url, "--insecure")
        assert result["url"] == server.url
        assert (result["websocket"]["over"], result["websocket"]["opened"]) == ("HTTP/2", None)
        assert server.stats.extended_connects == 0


async def test_a_websocket_is_opened_over_http1_without_the_setting(found: Found) -> None:
    async with open_server(alpn=BOTH, extended_connect=False) as server:
        result = await found(server, "--websocket", "/ws/echo")
        assert result["connection"]["protocol"] == "HTTP/2"
        assert result["connection"]["extended_connect"] is False
        assert result["other"]["speaks"] is True
        websocket = result["websocket"]
        assert (websocket["opened"], websocket["over"], websocket["stream_id"]) == (True, "HTTP/1.1", None)
        assert "did not send ENABLE_CONNECT_PROTOCOL = 1" in websocket["why"]

        result = await found(server, "--websocket", "/ws/echo", "--http2", "require")
        assert result["other"] is None
        assert (result["websocket"]["over"], result["websocket"]["opened"]) == (None, False)
        assert "setting-absent" in result["websocket"]["refusals"][0]["error"]
        assert server.stats.extended_connects == 0


async def test_a_server_with_only_http1_is_reported(found: Found, run: Probe) -> None:
    async with open_server(alpn=("http/1.1",)) as server:
        result = await found(server, "--websocket", "/ws/echo", "--subprotocol", "v1")
        connection, websocket = result["connection"], result["websocket"]
        assert (connection["chosen"], connection["protocol"]) == ("http/1.1", "HTTP/1.1")
        assert connection["settings"] == {}
        assert connection["round_trip"] is connection["streams_allowed"] is result["other"] is None
        assert (websocket["opened"], websocket["over"], websocket["subprotocol"]) == (True, "HTTP/1.1", "v1")
        assert websocket["why"] == "the server did not choose h2 in the TLS handshake"

        code, out, err = await run(server, "--http2", "require")
        assert (code, out) == (1, "")
        assert err.startswith("error: HTTP/2 is not available (alpn)")


async def test_http2_never_is_given_as_the_reason(found: Found) -> None:
    async with open_server(alpn=BOTH) as server:
        result = await found(server, "--http2", "never", "--websocket", "/ws/echo")
        assert result["connection"]["offered"] == ["http/1.1"]
        assert result["connection"]["protocol"] == result["websocket"]["over"] == "HTTP/1.1"
        assert result["websocket"]["why"] == "--http2 never"


async def test_a_server_in_clear_is_reported(found: Found, run: Probe) -> None:
    async with open_server(tls=False) as server:
        result = await found(server, "--websocket", "/ws/echo")
        assert result["connection"]["offered"] == []
        assert result["connection"]["tls"] is None
        assert result["connection"]["protocol"] == result["websocket"]["over"] == "HTTP/1.1"
        assert (result["other"]["protocol"], result["other"]["extended_connect"]) == ("HTTP/2", True)

        result = await found(server, "--websocket", "/ws/echo", "--http2", "require")
        assert result["connection"]["protocol"] == result["websocket"]["over"] == "HTTP/2"
        assert result["websocket"]["opened"] is True

        code, out, _ = await run(server)
        assert code == 0
        assert "protocol    HTTP/1.1, in clear\n" in out
        assert "HTTP/2      yes with prior knowledge: 200 to HEAD\n" in out


@pytest.mark.parametrize(
    ("does", "words"),
    [(400, "refused with 400"), (HTTP_1_1_REQUIRED, "refused"), (2, "reset"), ("silent", "silent")],
)
async def test_an_unkept_setting_is_reported(does: Any, words: str, found: Found) -> None:
    async with open_server(alpn=BOTH, websocket_over_http2=does) as server:
        result = await found(server, "--websocket", "/ws/echo", "--timeout", "0.5")
        websocket = result["websocket"]
        assert (websocket["opened"], websocket["over"]) == (True, "HTTP/1.1")
        assert websocket["why"].startswith("the server sent ENABLE_CONNECT_PROTOCOL = 1, but does not support it: ")
        assert words in websocket["why"]


async def test_refusals_over_both_versions_are_reported(found: Found, run: Probe) -> None:
    async with open_server(alpn=BOTH) as server:
        result = await found(server, "--websocket", "/ws/refuse/403")
        assert result["websocket"]["opened"] is False
        refusals = [
            (refusal["over"], refusal["status"], refusal["body"]) for refusal in result["websocket"]["refusals"]
        ]
        assert refusals == [("HTTP/2", 403, "refused with 403\n"), ("HTTP/1.1", 403, "refused with 403\n")]

        code, out, err = await run(server, "--websocket", "/ws/refuse/403", "--http2", "require")
        assert (code, err) == (1, "")
        refusal = "not opened over HTTP/2: the server refused the WebSocket with status 403 (refused with 403)"
        assert f"/ws/refuse/403 {refusal}\n" in out
        assert "over HTTP/1.1" not in out


@pytest.mark.parametrize(
    ("path", "words"), [("/hang", "no answer within 0.3 s"), ("/reset/2", "reset the stream with INTERNAL_ERROR")]
)
async def test_the_connection_is_reported_without_an_answer(path: str, words: str, found: Found, run: Probe) -> None:
    async with open_server() as server:
        result = await found(server, "--timeout", "0.3", path=path)
        connection = result["connection"]
        assert words in connection["error"]
        assert connection["speaks"] is False
        assert (connection["protocol"], connection["status"]) == ("HTTP/2", None)
        assert connection["extended_connect"] is True
        _, out, _ = await run(server, "--timeout", "0.3", path=path)
        assert re.search(rf"^  answer      .*{words}", out, re.MULTILINE)


async def test_an_unreachable_server_is_an_error(found: Found, run: Probe) -> None:
    code, out, err = await run("https://localhost:9")
    assert (code, out) == (1, "")
    assert err.startswith("error: https://localhost:9: could not connect")
    result = await found("https://localhost:9")
    assert result["error"].startswith("https://localhost:9: could not connect")
    assert result["connection"] is result["other"] is result["websocket"] is None
    async with open_server() as server:
        code, out, err = await run(server.url)
        assert (code, out) == (1, "")
        assert "certificate was not accepted" in err
    async with open_server(settings_delay=60) as server:
        code, _, err = await run(server, "--timeout", "0.3")
        assert code == 1
        why = "the server did not start HTTP/2: no SETTINGS came within 0.3 s (Timeouts.connect)"
        assert err == f"error: {server.url}: {why}\n"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([], "URL"),
        (["ftp://localhost/"], "scheme 'ftp' is not supported"),
        (["https:///path"], "no host"),
        (["https://localhost:99999"], "ort"),
        (["localhost", "--websocket", "ws"], "does not begin with a slash"),
        (["localhost", "--websocket"], "--websocket"),
        (["localhost", "--http2", "maybe"], "maybe"),
        (["localhost", "--timeout", "soon"], "'soon' is not a number of seconds"),
        (["localhost", "--cafile", "nothing"], "--cafile nothing: No such file"),
    ],
)
async def test_bad_usage_of_probe_exits_with_2(args: list[str], words: str, run: Probe) -> None:
    code, out, err = await run(*(args or ["--json"]))
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert words in err
