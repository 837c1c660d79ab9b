"""The workloads, the clients that run them, and the goals. Everything specific to one row of the report is here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .goals import FLOOR, OURS, Goal, cheaper, level, near_floor
from .servers.start import LARGE, RATE

HTTP = (OURS, "httpx", "httpx2", "httpcore2")
SOCKETS = (OURS, "trio_websocket", "websockets_trio", "websockets_asyncio", "aiohttp")


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
    rounds: int = 100
    """The most rounds that are worth the time."""


ROWS: tuple[Row, ...] = (
    Row(
        "requests",
        "32 requests at once, one connection, 1 KiB",
        "requests",
        (*HTTP, FLOOR),
        "files",
        {"n": 3200, "at_once": 32},
        {"n": 640},
        (cheaper("httpx", 10), cheaper("httpx2", 9), cheaper("httpcore2", 6), near_floor(1.3)),
        "request",
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
        (*HTTP, FLOOR),
        "files",
        {"n": 1000, "at_once": 1},
        {"n": 300},
        (cheaper("httpx2", 3),),
        "request",
    ),
    Row(
        "http1-pages",
        "HTTP/1.1: 500 pages that take 0.1 s each, with 50 tasks, dials included",
        "pages",
        (OURS, "httpx_http1", "aiohttp"),
        "pages",
        {"n": 500, "at_once": 50},
        {"n": 200},
        (level("aiohttp", "wall"), cheaper("httpx_http1", 2)),
        "page; wall: all of them",
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
        (*SOCKETS, FLOOR),
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
        (*SOCKETS, FLOOR),
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
        (*SOCKETS, FLOOR),
        "sockets",
        {"n": 20_000, "size": 64},
        {"n": 5000},
        (cheaper("trio_websocket", 5), level("websockets_asyncio"), level("websockets_asyncio", "wall")),
        "echo",
    ),
    Row(
        "large-message",
        "a message of 1 MB, echoed",
        "echo",
        (*SOCKETS, FLOOR),
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
        (*HTTP, FLOOR),
        "files",
        {"size": LARGE, "seconds": 60},
        {},
        (cheaper("httpx2", 3),),
        "download",
        ("cpu", "wall", "rate"),
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
        ("cpu", "quiet_middle", "busy_middle", "quiet", "busy", "slowdown"),
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
