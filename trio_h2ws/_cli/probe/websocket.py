"""How the WebSocket of an origin is opened, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import trio

import trio_h2ws

from .connection import HTTP2, ConnectionFindings

_BODY_EXCERPT = 200

NO_ANSWER = "nothing was answered"
ONLY_WITH_REQUIRE = "in clear, --http2 auto takes HTTP/1.1, which was not answered; see --http2 require"


@dataclass
class WebSocketFindings:
    """How a WebSocket would be opened, and how it was, if that was tried."""

    over: str | None
    why: str
    path: str | None = None
    opened: bool | None = None
    stream_id: int | None = None
    subprotocol: str | None = None
    extensions: str | None = None
    seconds: float | None = None
    refusals: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def predict(found: ConnectionFindings, tls: bool, http2: HTTP2) -> WebSocketFindings:
    """By which way, from what is known without trying it."""
    absent = "the server did not send ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441)"
    if http2 == "never":
        return WebSocketFindings("HTTP/1.1", "--http2 never")
    if found.protocol is None:
        return WebSocketFindings(None, NO_ANSWER)
    if found.protocol == "HTTP/2" and found.extended_connect:
        return WebSocketFindings(
            "HTTP/2", "the server sent ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441): on the same connection"
        )
    if http2 == "require":
        return WebSocketFindings(None, f"{absent}, and --http2 is require")
    if not tls:
        return WebSocketFindings("HTTP/1.1", "in clear there is no ALPN to agree on HTTP/2 with")
    if found.protocol == "HTTP/2":
        return WebSocketFindings("HTTP/1.1", f"{absent}: on a connection of its own")
    return WebSocketFindings("HTTP/1.1", "the server did not choose h2 in the TLS handshake")


async def try_websocket(
    client: trio_h2ws.Client, findings: WebSocketFindings, path: str, subprotocols: list[str], tls: bool, http2: HTTP2
) -> None:
    """Really open it, and close it again. It fills `findings`."""
    findings.path, findings.opened = path, False
    start = trio.current_time()
    try:
        ws = await client.connect_websocket(path, subprotocols=subprotocols, http2=http2)
    except trio_h2ws.H2WSError as error:
        if findings.over == "HTTP/2" and http2 == "auto" and tls:
            # It was tried both ways, or once; the error alone does not tell which.
            await _try_each_version(client, findings, path, subprotocols)
        else:
            findings.refusals.append(_refusal(findings.over, error))
        return
    findings.opened = True
    findings.seconds = trio.current_time() - start
    if ws.http_version != findings.over:
        findings.why = _reason(client) if findings.over is not None else "nothing was known, so it was tried"
        findings.over = ws.http_version
    findings.stream_id = ws.stream_id
    findings.subprotocol = ws.subprotocol
    findings.extensions = ws.response.headers.get("sec-websocket-extensions")
    await ws.aclose()


async def _try_each_version(
    client: trio_h2ws.Client, findings: WebSocketFindings, path: str, subprotocols: list[str]
) -> None:
    ways: tuple[tuple[str, HTTP2], ...] = (("HTTP/2", "require"), ("HTTP/1.1", "never"))
    for over, http2 in ways:
        try:
            ws = await client.connect_websocket(path, subprotocols=subprotocols, http2=http2)
        except trio_h2ws.H2WSError as error:
            findings.refusals.append(_refusal(over, error))
        else:
            await ws.aclose()


def _refusal(over: str | None, error: trio_h2ws.H2WSError) -> dict[str, Any]:
    refusal: dict[str, Any] = {"over": over, "error": str(error), "status": None, "body": None}
    if isinstance(error, trio_h2ws.WebSocketRejected):
        refusal["status"] = error.status
        refusal["body"] = error.body[:_BODY_EXCERPT].decode(errors="replace")
    return refusal


def _reason(client: trio_h2ws.Client) -> str:
    """Why it went over HTTP/1.1 although HTTP/2 was expected: the client remembers."""
    for connection in client.connections:
        known = connection.websockets or ""
        if known.startswith("HTTP/1.1 ("):
            return f"the server sent ENABLE_CONNECT_PROTOCOL = 1 and does not do it: {known[len('HTTP/1.1 (') : -1]}"
    return "over HTTP/2 it did not work"
