"""The workloads, the clients that run them, and the goals. Everything specific to one row of the report is here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .goals import FLOOR, OURS, Goal, cheaper, level, near_floor
from .servers.start import LARGE, RATE

HTTP = (OURS, "httpx", "httpx2", "httpcore2")
OTHERS = ("rnet", "libcurl", "go", "undici", "h2load")
HTTP1 = (OURS, "httpx", "httpx2", "aiohttp", "aiohttp_uvloop", "libcurl", "go", "undici")
SOCKETS = (OURS, "trio_websocket", "websockets_trio", "websockets_asyncio", "aiohttp")
ECHOES = (*SOCKETS, "aiohttp_uvloop", "picows")
BODIES = (OURS, "httpx2", "libcurl", "go", "undici")

# What a feed sends: 330 bytes that do not repeat much.
TICK = json.dumps(
    {"type": "l2update", "product": "BTC-USD", "sequence": 80214417, "time": "2026-11-27T21:08:05.417Z"}
    | {
        "changes": [
            [side, f"{price / 100:.2f}", f"{size / 1e5:.5f}"]
            for side, price, size in (
                ("buy", 6512307, 41873),
                ("buy", 6512291, 250014),
                ("sell", 6512420, 7331),
                ("sell", 6512511, 98110),
            )
        ]
    }
)
TICK = (
    TICK[:-1]
    + ', "checksum": "'
    + "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"[: 330 - len(TICK) - 15]
    + '"}'
)


@dataclass(frozen=True, slots=True)
class Row:
    name: str
    title: str
    load: str
    clients: tuple[str, ...]
    site: str
    options: Mapping[str, Any]
    quick: Mapping[str, Any]
    """The options that `--quick` changes."""
    goals: tuple[Goal, ...]
    unit: str
    """The operation whose cost the numbers are."""
    metrics: tuple[str, ...] = ("cpu", "wall")
    only: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Extra options of single clients, by name."""
    setting: Mapping[str, bool] = field(default_factory=dict)
    """Fields of `kits.kit.Setting` for every client."""
    rounds: int = 100
    """The most rounds that are worth the time."""


# A program's cost is the difference of two runs: with more of the work in it, its start matters less.
MORE: Mapping[str, Mapping[str, Any]] = {name: {"n": 8000} for name in ("go", "undici", "h2load")}

MIXED = ("cpu", "quiet_p50", "busy_p50", "quiet_p99", "busy_p99", "quiet", "busy", "slowdown")

ROWS: tuple[Row, ...] = (
    Row(
        "requests",
        "32 requests at once, one connection, 1 KiB",
        "requests",
        (*HTTP, *OTHERS, FLOOR),
        "files",
        {"n": 3200, "at_once": 32},
        {"n": 640},
        (cheaper("httpx", 10), cheaper("httpx2", 9), cheaper("httpcore2", 6), near_floor(1.3)),
        "request",
        only=MORE,
    ),
    Row(
        "distinct",
        "the same, each request of another URL",
        "requests",
        (*HTTP, FLOOR),
        "files",
        {"n": 3200, "at_once": 32, "distinct": True},
        {"n": 640},
        (),
        "request",
    ),
    Row(
        "one-request",
        "one request at a time, 1 KiB",
        "requests",
        (*HTTP, *OTHERS, FLOOR),
        "files",
        {"n": 1000, "at_once": 1},
        {"n": 300},
        (cheaper("httpx2", 3),),
        "request",
        only=MORE,
    ),
    Row(
        "http1-requests",
        "HTTP/1.1: 32 requests at once over 32 connections, 1 KiB, in clear",
        "requests",
        HTTP1,
        "clear",
        {"n": 3200, "at_once": 32},
        {"n": 640},
        (),
        "request",
        only=MORE,
        setting={"http1": True},
    ),
    Row(
        "http1-one-request",
        "HTTP/1.1: one request at a time, 1 KiB, in clear",
        "requests",
        HTTP1,
        "clear",
        {"n": 1000, "at_once": 1},
        {"n": 300},
        (),
        "request",
        only=MORE,
        setting={"http1": True},
    ),
    Row(
        "round-trips",
        "a client's first request over a link of 100 ms: how many round trips it takes after TCP's",
        "first",
        (OURS, "httpx2", "libcurl"),
        "link",
        {},
        {},
        (),
        "first request",
        ("cpu", "wall", "trips"),
        rounds=3,
    ),
    Row(
        "http1-pages",
        "HTTP/1.1: 500 pages that take 0.1 s each, with 50 tasks, dials included",
        "pages",
        (OURS, "httpx", "aiohttp"),
        "pages",
        {"n": 500, "at_once": 50},
        {"n": 200},
        (level("aiohttp", "wall"), cheaper("httpx", 2)),
        "page; wall: all of them",
        setting={"http1": True},
    ),
    Row(
        "opening",
        "opening 1,000 WebSockets over TLS, 50 at a time; the memory of each while idle",
        "opening",
        (*SOCKETS, FLOOR),
        "sockets",
        {"n": 1000, "at_once": 50},
        {"n": 300},
        (
            cheaper("trio_websocket", 12),
            cheaper("websockets_trio", 12),
            cheaper("websockets_asyncio", 12),
            Goal("8× less memory than trio_websocket", "memory", "trio_websocket", at_least=8),
            Goal("40× less memory than websockets_asyncio", "memory", "websockets_asyncio", at_least=40),
            Goal("memory of an idle WebSocket, at most 8 KB", "memory", at_most=8, unit=1000),
        ),
        "WebSocket",
        ("cpu", "wall", "memory"),
    ),
    Row(
        "opening-http1",
        "opening WebSockets over HTTP/1.1 and TLS, one after the other, from the second on",
        "opening",
        (*SOCKETS[:2], *SOCKETS[3:], "aiohttp_uvloop", "picows", "go"),
        "sockets",
        {"n": 200, "at_once": 1, "first": 1},
        {"n": 50},
        (),
        "WebSocket",
        setting={"http1": True},
    ),
    Row(
        "allocated",
        "an idle WebSocket (1,000 open): what Python allocates for it (tracemalloc)",
        "allocated",
        (OURS, "trio_websocket", "websockets_trio", "websockets_asyncio"),
        "sockets",
        {"n": 1000},
        {"n": 300},
        (Goal("at most 8 KB", "memory", at_most=8, unit=1000),),
        "WebSocket",
        ("memory",),
        rounds=1,
    ),
    Row(
        "growth",
        "opening the 5,000th WebSocket, against the 100th",
        "growth",
        (OURS,),
        "sockets",
        {"n": 5000},
        {"n": 2000},
        (Goal("at most 1.2× the 100th", "growth", at_most=1.2),),
        "WebSocket",
        ("early", "cpu", "growth"),
        rounds=5,
    ),
    Row(
        "echo-100",
        "100 WebSockets echoing 64 bytes",
        "echo",
        (*ECHOES, FLOOR),
        "sockets",
        {"n": 10_000, "sockets": 100, "size": 64},
        {"n": 3000},
        (cheaper("trio_websocket", 3), cheaper("websockets_trio", 3.5), level("websockets_asyncio")),
        "echo",
    ),
    Row(
        "echo-1",
        "one WebSocket, one echo of 64 bytes at a time",
        "echo",
        (*ECHOES, FLOOR),
        "sockets",
        {"n": 3000, "sockets": 1, "size": 64},
        {"n": 1000},
        (
            level("trio_websocket"),
            level("websockets_trio"),
            level("trio_websocket", "wall"),
            level("websockets_trio", "wall"),
        ),
        "echo",
    ),
    Row(
        "pipelined",
        "one WebSocket, 64 bytes, pipelined",
        "pipelined",
        (*ECHOES, FLOOR),
        "sockets",
        {"n": 20_000, "size": 64},
        {"n": 5000},
        (cheaper("trio_websocket", 5), level("websockets_asyncio"), level("websockets_asyncio", "wall")),
        "echo",
    ),
    Row(
        "compressed",
        "50 WebSockets echoing JSON of 330 bytes, with permessage-deflate",
        "echo",
        (OURS, "websockets_asyncio", "aiohttp", "aiohttp_isal", "picows"),
        "deflate",
        {"n": 5000, "sockets": 50, "size": 330, "text": TICK},
        {"n": 1000},
        (),
        "echo",
        setting={"deflate": True},
    ),
    Row(
        "large-message",
        "a message of 1 MB, echoed",
        "echo",
        (OURS, "ours_speedups", *ECHOES[1:], FLOOR),
        "sockets",
        {"n": 60, "sockets": 1, "size": 1_000_000},
        {"n": 20},
        (near_floor(1.5),),
        "echo",
    ),
    Row(
        "download",
        "a download of 100 MB",
        "download",
        (*HTTP, *BODIES[2:], FLOOR),
        "files",
        {"size": LARGE, "seconds": 60},
        {},
        (cheaper("httpx2", 3),),
        "download",
        ("cpu", "wall", "rate"),
        rounds=5,
    ),
    Row(
        "download-http1",
        "a download of 100 MB over HTTP/1.1 and TLS",
        "download",
        (*BODIES, "aiohttp", "aiohttp_uvloop"),
        "bodies",
        {"size": LARGE, "seconds": 60},
        {},
        (),
        "download",
        ("cpu", "wall", "rate"),
        setting={"http1": True},
        rounds=5,
    ),
    Row(
        "upload",
        "an upload of 100 MB",
        "upload",
        BODIES,
        "bodies",
        {"size": LARGE},
        {},
        (),
        "upload",
        ("cpu", "wall", "rate"),
        rounds=5,
    ),
    Row(
        "upload-http1",
        "an upload of 100 MB over HTTP/1.1 and TLS",
        "upload",
        (*BODIES, "aiohttp", "aiohttp_uvloop"),
        "bodies",
        {"size": LARGE},
        {},
        (),
        "upload",
        ("cpu", "wall", "rate"),
        setting={"http1": True},
        rounds=5,
    ),
    Row(
        "link",
        "a download over a link of 100 ms (round trip) and 100 Mbit/s",
        "download",
        (OURS, "httpx2"),
        "link",
        {"size": LARGE, "seconds": 20},
        {"size": LARGE // 4, "seconds": 5},
        (Goal("at least 80 % of the link", "rate", at_least=80, unit=RATE / 100),),
        "100 MB",
        ("cpu", "rate"),
        rounds=2,
    ),
    Row(
        "mixed",
        "100 WebSockets echoing while a download of 100 MB runs: the slowest echo",
        "mixed",
        (OURS, "separate"),
        "sockets",
        {"sockets": 100, "size": LARGE, "seconds": 2},
        {"seconds": 1},
        (Goal("the slowest echo at most 5× the quiet one", "slowdown", at_most=5),),
        "run",
        MIXED,
        rounds=5,
    ),
    Row(
        "mixed-upload",
        "100 WebSockets echoing while an upload of 100 MB runs: the slowest echo",
        "mixed",
        (OURS, "separate"),
        "sockets",
        {"sockets": 100, "size": LARGE, "seconds": 2, "uploading": True},
        {"seconds": 1},
        (),
        "run",
        MIXED,
        rounds=5,
    ),
    Row(
        "import",
        "import trio_h2ws, against import trio, h2.connection and wsproto",
        "imports",
        (OURS, "its parts", "its parts, h2 bare"),
        "",
        {},
        {},
        (Goal("at most 1.5× its parts", "cpu", "its parts", at_most=1.5),),
        "import",
        only={
            OURS: {"modules": "trio_h2ws"},
            "its parts": {"modules": "trio, h2.connection, wsproto"},
            "its parts, h2 bare": {"modules": "trio, h2, wsproto"},
        },
    ),
)
