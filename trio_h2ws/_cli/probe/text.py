"""The probe's report as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import trio_h2ws

from ..stdout import Output, visible
from ..text import milliseconds
from .connection import ConnectionFindings
from .websocket import NO_ANSWER, WebSocketFindings

# The initial values: RFC 9113, section 6.5.2, and RFC 8441, section 3. ENABLE_PUSH is that of a server.
_INITIAL = {
    "HEADER_TABLE_SIZE": 4096,
    "ENABLE_PUSH": 0,
    "INITIAL_WINDOW_SIZE": 65535,
    "MAX_FRAME_SIZE": 16384,
    "ENABLE_CONNECT_PROTOCOL": 0,
}


def render(
    out: Output,
    url: str,
    found: ConnectionFindings | None,
    other: ConnectionFindings | None,
    websocket: WebSocketFindings | None,
) -> str:
    lines = [f"{out.bold('trio_h2ws')} {trio_h2ws.__version__} probe: {visible(url)}", ""]
    if found is not None:
        lines += [f"  {name:<12}{text}" for name, text in _connection(out, found)]
        if other is not None:
            lines.append(f"  {_name(other):<12}{_also(out, other)}")
    if websocket is not None:
        lines += [f"  {name:<12}{text}" for name, text in _websocket(out, websocket)]
    return "\n".join(lines) + "\n"


def _connection(out: Output, found: ConnectionFindings) -> Iterator[tuple[str, str]]:
    if found.protocol is not None:
        yield "protocol", out.bold(found.protocol) + ("" if found.tls else ", in clear")
    if found.tls is not None:
        yield "TLS", f"{found.tls}, {found.cipher}"
        chosen = f"the server chose {found.chosen}" if found.chosen is not None else "the server chose none"
        yield "ALPN", f"offered {', '.join(found.offered)}; {chosen}"
    if found.error is not None:
        yield "answer", out.bad(visible(found.error))
    elif found.seconds is not None:
        yield "answer", f"{found.status} to HEAD, after {milliseconds(found.seconds)}"
    if found.protocol != "HTTP/2":
        return
    if found.round_trip is not None:
        yield "round trip", milliseconds(found.round_trip)
    yield "streams", f"{found.streams_allowed} at once"
    name = "settings"
    for setting, value in found.settings.items():
        note = out.dim(", the initial value") if _INITIAL.get(setting) == value else ""
        yield name, f"{setting} {value}{note}"
        name = ""
    yield "RFC 8441", out.good("yes") if found.extended_connect else "no"


def _name(other: ConnectionFindings) -> str:
    return "HTTP/1.1" if other.offered else "HTTP/2"


def _also(out: Output, other: ConnectionFindings) -> str:
    how = "" if other.offered else " with prior knowledge"
    if other.error is not None:
        return f"no{how}: {visible(other.error)}"
    return f"{out.good('yes') if other.speaks else 'no'}{how}: {other.status} to HEAD"


def _websocket(out: Output, findings: WebSocketFindings) -> Iterator[tuple[str, str]]:
    over = (
        f"over {findings.over}" if findings.over else "not known" if findings.why == NO_ANSWER else "not in this mode"
    )
    yield "WebSocket", f"{out.bold(over)}: {visible(findings.why)}"
    if findings.opened:
        assert findings.seconds is not None
        parts = [f"opened in {milliseconds(findings.seconds)}"]
        if findings.stream_id is not None:
            parts.append(f"stream {findings.stream_id}")
        if findings.subprotocol is not None:
            parts.append(f"subprotocol {visible(findings.subprotocol)}")
        parts.append(visible(findings.extensions) if findings.extensions is not None else "no extension")
        yield "", f"{visible(findings.path or '')} {out.good(parts[0])}, {', '.join(parts[1:])}"
    for refusal in findings.refusals:
        yield "", f"{visible(findings.path or '')} {_refusal(out, refusal)}"


def _refusal(out: Output, refusal: dict[str, Any]) -> str:
    over = f" over {refusal['over']}" if refusal["over"] is not None else ""
    body = " ".join(visible(refusal["body"] or "").split())
    return out.bad(f"not opened{over}") + f": {visible(refusal['error'])}" + (f" ({body})" if body else "")
