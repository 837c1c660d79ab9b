"""Every field of the options, at the ends of what it accepts: calls work, or raise an error of the library."""

from __future__ import annotations

import dataclasses
import math
import sys
from typing import Any

import pytest
import trio

import trio_h2ws
from trio_h2ws import DeflateOptions, Limits, Timeouts
from trio_h2ws.testing import open_server

FIELDS = [(kind, field.name) for kind in (Limits, Timeouts, DeflateOptions) for field in dataclasses.fields(kind)]
VALUES = [0, 1, 9, 15, 65_535, 2**31 - 1, 2**32, sys.maxsize, 1e-300, 1e300, math.inf, None, True]


def options_with(kind: Any, field: str) -> list[Any]:
    """The options with each value of the field that is accepted; other fields make way for it."""
    made = []
    for value in VALUES:
        given = {"max_retries": 1} if kind is Limits else {}  # some values end every connection
        given[field] = value
        if field == "max_stream_window":
            given["stream_window"] = 1
        if field == "stream_window":
            given["max_stream_window"] = 2**31 - 1
        try:
            made.append(kind(**given))
        except ValueError:
            pass
    assert len(made) >= (1 if kind is DeflateOptions else 2)
    return made


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "field"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
async def test_every_accepted_value_works(kind: Any, field: str) -> None:
    async with open_server(alpn=("h2", "http/1.1")) as server:
        for options in options_with(kind, field):
            deflate = options if kind is DeflateOptions else DeflateOptions(threshold=1)
            given = {"limits": options} if kind is Limits else {"timeouts": options} if kind is Timeouts else {}
            with trio.fail_after(8):
                async with trio_h2ws.open_client(
                    base_url=server.url, ssl_context=server.ssl_context, **given
                ) as client:
                    size = 500 if kind is Limits and options.max_stream_window < 100 else 70_000
                    for http2 in ("auto", "never"):
                        await try_all(client, size, http2, deflate)


async def try_all(client: trio_h2ws.Client, size: int, http2: Any, deflate: DeflateOptions) -> None:
    try:
        assert len((await client.get(f"/bytes/{size}", http2=http2)).content) == size
        assert (await client.post("/echo", content=b"x" * size, http2=http2)).status == 200
    except trio_h2ws.H2WSError:
        pass
    try:
        async with client.websocket("/ws/echo", http2=http2, compression=deflate) as ws:
            for message in ("short", "long " * (size // 5), b"x"):
                await ws.send(message)
                assert await ws.receive() == message
    except trio_h2ws.H2WSError:
        pass
