"""Seeded fuzzers: `python -m tests.fuzz --seconds N`, or `nox -s fuzz -- --seconds N`.

| name         | what a case is                                                                                      |
|--------------|-----------------------------------------------------------------------------------------------------|
| http2        | a server's half of an HTTP/2 connection with calls on it, whole or mutated, cut in three ways       |
| websocket    | frames of a WebSocket, whole or mutated, against a reference parser                                 |
| http1        | a response in HTTP/1.1, whole or mutated, cut in three ways                                         |
| cancellation | a call, or two at once, cancelled at each checkpoint in turn, beside another one                    |
| misuse       | several tasks that use one response, WebSocket or client in ways that the documentation forbids     |
| arguments    | calls with odd arguments, and what of them reaches the wire                                         |

A case is a function of its seed. One that fails prints the seed, which repeats it: `--only NAME --seed S --cases 1`.
`test_fuzz.py` runs the first few of each in CI.
"""

from __future__ import annotations

import sys
from pathlib import Path

_SUPPORT = str(Path(__file__).parents[1] / "support")
if _SUPPORT not in sys.path:  # pytest has put it there already
    sys.path.insert(0, _SUPPORT)
