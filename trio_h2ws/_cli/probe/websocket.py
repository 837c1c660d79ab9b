"""How a WebSocket to an origin is opened, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import trio

import trio_h2ws

from .connection import HTTP2, ConnectionFindings

_BODY_EXCERPT = 200

NO_ANSWER = "the server did not answer"
ONLY_WITH_REQUIRE = "without TLS, --http2 auto uses HTTP/1.1, which the server did not answer; try --http2 require"


@dataclass
class WebSocketFindings:
    """How a WebSocket would be opened and, if that was tried, what happened."""

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
    """How a WebSocket would be opened, from what is known without trying it."""
    absent = "the server did not send ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441)"
    if http2 == "never":
        return WebSocketFindings("HTTP/1.1", "--http2 never")
    if found.protocol is None:
        return WebSocketFindings(None, NO_ANSWER)
    if found.protocol == "HTTP/2" and found.extended_connect:
        return WebSocketFindings(
            "HTTP/2", "the server sent ENABLE_CONNECT_PROTOCOL = 1 (RFC 8441), so on the same connection"
        )
    if http2 == "require":
        return WebSocketFindings(None, f"{absent}, and --http2 is require")
    if not tls:
        return WebSocketFindings("HTTP/1.1", "without TLS there is no ALPN to negotiate HTTP/2")
    if found.protocol == "HTTP/2":
        return WebSocketFindings("HTTP/1.1", f"{absent}, so on a separate connection")
    return WebSocketFindings("HTTP/1.1", "the server did not choose h2 in the TLS handshake")


async def try_websocket(
    client: trio_h2ws.Client, findings: WebSocketFindings, path: str, subprotocols: list[str], tls: bool, http2: HTTP2
) -> None:
    """Open a WebSocket and close it again. Adds the result to `findings`."""
    findings.path, findings.opened = path, False
    start = trio.current_time()
    try:
        ws = await client.connect_websocket(path, subprotocols=subprotocols, http2=http2)
    except trio_h2ws.H2WSError as error:
        if findings.over == "HTTP/2" and http2 == "auto" and tls:
            # The client may have tried one version or both; the error does not say which.
            await _try_each_version(client, findings, path, subprotocols)
        else:
            findings.refusals.append(_refusal(findings.over, error))
        return
    findings.opened = True
    findings.seconds = trio.current_time() - start
    if ws.http_version != findings.over:
        findings.why = (
            _reason(client) if findings.over is not None else "found by trying, since the server did not answer HEAD"
        )
        findings.over = ws.http_version
    findings.stream_id = ws.stream_id
    findings.subprotocol = ws.subprotocol
    findings.extensions = ws.response.headers.get("sec-websocket-extensions")
    await ws.aclose()


async def _try_each_version(
    client: trio_h2ws.Client, findings: WebSocketFindings, path: str, subprotocols: list[str]
) -> None:
    versions: tuple[tuple[str, HTTP2], ...] = (("HTTP/2", "require"), ("HTTP/1.1", "never"))
    for over, http2 in versions:
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
    """Why HTTP/1.1 was used although HTTP/2 was expected, from what the client has learned about the origin."""
    for connection in client.connections:
        known = connection.websockets or ""
        if known.startswith("HTTP/1.1 ("):
            why = known[len("HTTP/1.1 (") : -1]
            return f"the server sent ENABLE_CONNECT_PROTOCOL = 1, but does not support it: {why}"
    return "opening it over HTTP/2 failed"
