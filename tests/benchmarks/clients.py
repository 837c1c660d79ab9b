"""The clients by the names that rows use: which adapter runs each, how it is set, and what reports call it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .goals import FLOOR, OURS


@dataclass(frozen=True, slots=True)
class Client:
    title: str
    kit: str = ""
    """The module in `kits`. An adapter whose library has a plain name ends in "_", so that it does not shadow it."""
    program: str = ""
    """Instead of a kit: the name in `programs.PROGRAMS` of another process that does the work."""
    setting: Mapping[str, bool] = field(default_factory=dict)
    """Fields of `kits.kit.Setting`, in addition to the row's."""


CLIENTS: Mapping[str, Client] = {
    OURS: Client("trio_h2ws", "ours"),
    "ours_speedups": Client("trio_h2ws[speedups]", "ours", setting={"speedups": True}),
    "httpx": Client("httpx", "httpx_"),
    "httpx2": Client("httpx2", "httpx2_"),
    "httpcore2": Client("httpcore2", "httpcore2_"),
    "trio_websocket": Client("trio-websocket", "trio_websocket_"),
    "websockets_trio": Client("websockets (trio)", "websockets_trio"),
    "websockets_asyncio": Client("websockets (asyncio)", "websockets_asyncio"),
    "aiohttp": Client("aiohttp", "aiohttp_"),
    "aiohttp_uvloop": Client("aiohttp (uvloop)", "aiohttp_", setting={"uvloop": True}),
    "aiohttp_isal": Client("aiohttp (isal)", "aiohttp_", setting={"isal": True}),
    "picows": Client("picows (uvloop)", "picows_", setting={"uvloop": True}),
    "rnet": Client("rnet (uvloop)", "rnet_", setting={"uvloop": True}),
    "libcurl": Client("libcurl", "libcurl_"),
    "separate": Client("trio-ws + httpx2", "separate"),
    "go": Client("Go", program="go"),
    "undici": Client("undici", program="undici"),
    "h2load": Client("h2load (C)", program="h2load"),
    FLOOR: Client("floor"),
}


def title(client: str) -> str:
    return CLIENTS[client].title if client in CLIENTS else client
