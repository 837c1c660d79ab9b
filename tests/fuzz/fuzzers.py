"""All fuzzers by their names. Each is a function of a seed that raises if something does not hold."""

from __future__ import annotations

from collections.abc import Callable

from . import arguments, cancellation, http1, http2, misuse, websocket

FUZZERS: dict[str, Callable[[int], None]] = {
    "http2": http2.case,
    "websocket": websocket.case,
    "http1": http1.case,
    "cancellation": cancellation.case,
    "misuse": misuse.case,
    "arguments": arguments.case,
}
