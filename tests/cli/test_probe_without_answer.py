"""`probe` where no request is answered: its page, its object and its exit code must still be right."""

from __future__ import annotations

import json
import pathlib
import re
import sys
from typing import Any

import pytest
import trio

from servers.http1 import Peer, open_http1
from servers.http2 import open_both, status
from servers.listener import authority, listening
from trio_h2ws.testing import open_server

from .processes import ENVIRONMENT

pytestmark = pytest.mark.slow


class Probe:
    """A probe's exit code and output, for a person and for a machine."""

    code: int
    out: str
    err: str
    found: dict[str, Any]


@pytest.fixture
def probe(tmp_path: pathlib.Path) -> Any:
    authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    async def run(url: str, *args: str) -> tuple[int, str, str]:
        done = await trio.run_process(
            [sys.executable, "-m", "trio_h2ws", "probe", url, "--cafile", "ca.pem", "--timeout", "0.5", *args],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=tmp_path,
            env=ENVIRONMENT,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    async def probe(url: str, *args: str) -> Probe:
        both = Probe()
        both.code, both.out, both.err = await run(url, *args)
        code, out, err = await run(url, "--json", *args)
        both.found = json.loads(out)
        assert (code, both.found["ok"]) == (both.code, both.code == 0)
        assert (both.found["error"] is None) == (err == "") == (both.err == "")
        assert "Traceback" not in both.err
        return both

    return probe


async def silence(stream: trio.abc.Stream, alpn: str | None) -> None:
    while await stream.receive_some():
        pass


async def hang_up(stream: trio.abc.Stream, alpn: str | None) -> None:
    await stream.receive_some()


def was_not_answered(done: Probe, url: str) -> None:
    assert done.code == 1
    assert re.fullmatch(rf"error: {url}: .*\n", done.err)
    assert done.found["connection"]["error"] in done.found["error"]
    assert done.found["connection"]["protocol"] is None
    assert done.found["websocket"]["over"] is None
    assert "protocol" not in done.out
    assert re.search(r"^  WebSocket   not known: the server did not answer$", done.out, re.MULTILINE)


async def test_a_tls_server_asked_in_clear_is_an_error(probe: Any) -> None:
    async with open_server() as server:
        url = server.url.replace("https", "http")
        was_not_answered(await probe(url), url)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_silent_server_is_an_error(tls: bool, probe: Any) -> None:
    async with listening(silence, tls=tls, alpn=[]) as server:
        done = await probe(server.url)
        was_not_answered(done, server.url)
        assert "no answer within 0.5 s" in done.err


@pytest.mark.parametrize("tls", [False, True])
async def test_a_server_that_hangs_up_is_an_error(tls: bool, probe: Any) -> None:
    async with listening(hang_up, tls=tls, alpn=[]) as server:
        was_not_answered(await probe(server.url), server.url)


async def test_the_choice_of_alpn_is_known_without_an_answer(probe: Any) -> None:
    for serve in (silence, hang_up):
        async with listening(serve, alpn=["http/1.1"]) as server:
            done = await probe(server.url)
            assert (done.code, done.found["connection"]["protocol"]) == (0, "HTTP/1.1")
            assert done.found["connection"]["error"] is not None
            assert done.found["websocket"]["over"] == "HTTP/1.1"


async def test_a_server_with_only_h2c_is_reported(probe: Any) -> None:
    """The page must not say "HTTP/2 yes" and then that WebSockets are impossible."""
    async with open_both(request=status(200), tls=False, prior_knowledge=True) as server:
        done = await probe(server.url)
        assert done.code == 0
        assert re.search(r"^  HTTP/2      yes with prior knowledge: 200 to HEAD$", done.out, re.MULTILINE)
        line = "without TLS, --http2 auto uses HTTP/1.1, which the server did not answer; try --http2 require"
        assert re.search(rf"^  WebSocket   not in this mode: {line}$", done.out, re.MULTILINE)
        assert (done.found["connection"]["speaks"], done.found["other"]["speaks"]) == (False, True)
        assert done.found["websocket"] == {**done.found["websocket"], "over": None, "why": line, "opened": None}

        # A WebSocket that was asked for is tried, and is not opened.
        done = await probe(server.url, "--websocket", "/")
        assert (done.code, done.found["websocket"]["opened"], done.found["websocket"]["why"]) == (1, False, line)
        assert server.connects == 0

        done = await probe(server.url, "--http2", "require")
        assert (done.code, done.found["websocket"]["over"]) == (0, "HTTP/2")


async def test_a_websocket_may_open_where_no_request_is_answered(probe: Any) -> None:
    """The reason must not be HTTP/2, which was not spoken."""

    async def serve(peer: Peer) -> None:
        request = await peer.request()
        if request is not None and "upgrade" in request.headers:
            await (await peer.accept_websocket(request)).echo()

    async with open_http1(serve, tls=False) as server:
        done = await probe(server.url, "--websocket", "/")
        websocket = done.found["websocket"]
        assert (done.code, websocket["opened"], websocket["over"]) == (0, True, "HTTP/1.1")
        assert websocket["why"] == "found by trying, since the server did not answer HEAD"


@pytest.mark.parametrize(
    ("url", "args", "words"),
    [
        ("http://", [], "no host"),
        ("https://a..test", [], "empty label"),
        ("ftp://a.test", [], "'ftp' is not supported"),
        ("https://a.test:99999", [], "99999"),
        ("https://a.test", ["--websocket", "ws"], "does not begin with a slash"),
        ("https://a.test", ["--cafile", "nothing"], "--cafile nothing"),
    ],
)
async def test_bad_usage_with_json_prints_an_object(url: str, args: list[str], words: str, probe: Any) -> None:
    done = await probe(url, *args)
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert words in done.found["error"]
    assert done.found["url"] == url
    assert done.found["connection"] is done.found["other"] is done.found["websocket"] is None


async def test_an_untrusted_certificate_suggests_cafile(probe: Any) -> None:
    async with open_server() as server:  # of another authority
        done = await probe(server.url)
        assert done.found["error"] == done.err.removeprefix("error: ").strip()
        assert "--cafile" in done.found["error"]
