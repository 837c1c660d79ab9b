"""SOCKS5, byte by byte: what we send, and what each answer leads to. The proxies here are scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import trio

import trio_h2ws
from servers.http1 import Peer
from servers.listener import listening

pytestmark = pytest.mark.usefixtures("no_proxies_of_this_machine")

CONNECTED = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"
REFUSED = b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00"


@asynccontextmanager
async def script(*answers: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """The address of a proxy that sends these answers in turn, and what it received before each."""
    received: list[bytes] = []

    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        for answer in answers:
            received.append(bytes(await stream.receive_some(65536)))
            await stream.send_all(answer)

    async with listening(serve, tls=False) as listener:
        yield f"127.0.0.1:{listener.port}", received


async def fails(proxy: str, url: str = "http://a.test") -> str:
    async with trio_h2ws.open_client(proxy=proxy) as client:
        with pytest.raises(trio_h2ws.ConnectFailed) as caught:
            await client.get(url)
    return str(caught.value)


# Credentials.


@pytest.mark.parametrize(
    ("login", "sent"),
    [
        ("us:pw", b"\x01\x02us\x02pw"),
        ("u%40s:p%3Aw", b"\x01\x03u@s\x03p:w"),
        ("u" * 255 + ":" + "p" * 255, b"\x01\xff" + b"u" * 255 + b"\xff" + b"p" * 255),
    ],
)
async def test_credentials_are_sent_decoded(login: str, sent: bytes) -> None:
    async with script(b"\x05\x02", b"\x01\x00", REFUSED) as (place, heard):
        await fails(f"socks5://{login}@{place}")
        assert heard[1] == sent


async def test_no_login_is_offered_without_credentials() -> None:
    async with script(b"\x05\x00", REFUSED) as (place, heard):
        await fails(f"socks5://{place}")
        assert heard[0] == b"\x05\x01\x00"


async def test_a_proxy_may_need_no_login() -> None:
    async with script(b"\x05\x00", REFUSED) as (place, heard):
        assert "refused" in await fails(f"socks5://us:pw@{place}")
        assert heard[1][:2] == b"\x05\x01"


# What is asked for.


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://a.test", b"\x03\x06a.test\x00\x50"),
        ("https://a.test:8443", b"\x03\x06a.test\x20\xfb"),
        ("http://bücher.test", b"\x03\x12xn--bcher-kva.test\x00\x50"),
        ("http://1.2.3.4", b"\x01\x01\x02\x03\x04\x00\x50"),
        ("http://[::1]", b"\x04" + b"\0" * 15 + b"\x01\x00\x50"),
    ],
)
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
async def test_the_name_is_sent_unresolved(scheme: str, url: str, asked: bytes) -> None:
    async with script(b"\x05\x00", REFUSED) as (place, heard):
        await fails(f"{scheme}://{place}", url)
        assert heard[1] == b"\x05\x01\x00" + asked


# Answers.


@pytest.mark.parametrize(
    "answers",
    [
        [b"HTTP/1.1 400 Bad Request\r\n\r\n"],
        [b"\x04\x00"],
        [b"\x05\xff"],
        [b"\x05\x02", b"\x01\x01"],
        [b"\x05\x02", b"\x01\x00", b"\x05\x02"],
        [b"\x05"],
        [b"\x05\x00", b"\x05\x01\x00"],
        [b"\x05\x00", REFUSED],
        [b"\x05\x00", b"\x04\x00\x00\x01"],
    ],
)
async def test_a_refusal_is_an_error_that_names_the_proxy(answers: Sequence[bytes]) -> None:
    async with script(*answers) as (place, _):
        said = await fails(f"socks5://us:secret@{place}")
        assert said.startswith(f"proxy socks5://{place} could not connect to http://a.test: ")
        assert "secret" not in said


@pytest.mark.parametrize("answer", [b"\x05\x02", b"\x05\xff"])
async def test_a_proxy_that_wants_a_login_says_so(answer: bytes) -> None:
    async with script(answer) as (place, _):
        said = await fails(f"socks5://{place}")
        assert said.endswith("it wants credentials: put user:password@ into the proxy URL")


async def test_a_refused_login_is_reported() -> None:
    async with script(b"\x05\x02", b"\x01\x01") as (place, _):
        said = await fails(f"socks5://us:secret@{place}")
        assert said.endswith("it refused the login: check the user and password in the proxy URL")


@pytest.mark.parametrize(
    "bound",
    [
        b"\x01\x01\x02\x03\x04\x00\x50",
        b"\x04" + b"\0" * 16 + b"\x00\x50",
        b"\x03\x05proxy\x00\x50",
    ],
)
async def test_every_kind_of_bound_address_is_skipped(bound: bytes) -> None:
    """The answer contains the address that the proxy has bound, and the origin's bytes follow it."""

    async def serve(stream: trio.abc.Stream, alpn: str | None) -> None:
        await stream.receive_some(65536)
        await stream.send_all(b"\x05\x00")
        await stream.receive_some(65536)
        for byte in b"\x05\x00\x00" + bound:
            await stream.send_all(bytes((byte,)))
        peer = Peer(stream)
        await peer.request()
        await peer.respond(200, b"hello")

    async with listening(serve, tls=False) as listener:
        async with trio_h2ws.open_client(proxy=f"socks5://127.0.0.1:{listener.port}") as client:
            assert (await client.get("http://a.test")).text == "hello"
