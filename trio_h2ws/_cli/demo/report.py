"""The demo's results: whether everything worked, and the JSON object of `--json`.

The keys of the object are stable; new ones may be added. Times are in seconds, sizes in bytes; null means unknown, or
left out.

| key           | value                                                                                        |
|---------------|----------------------------------------------------------------------------------------------|
| `version`     | the version of trio_h2ws                                                                     |
| `url`         | the origin                                                                                   |
| `ok`          | true if everything worked, on one connection                                                 |
| `problems`    | what failed, as a list of sentences                                                          |
| `notes`       | what was left out, and why, as a list of sentences                                           |
| `protocol`    | "HTTP/2"                                                                                     |
| `connections` | `client`: connections that the client used; `server`, `tls_handshakes`: counted by the       |
|               | server, if the demo has started it                                                           |
| `streams`     | `opened`; `at_once`: the most at the same time; `allowed`: by the server                     |
| `bytes`       | `received`, `sent`: on the client's connections, without the overhead of TLS                 |
| `seconds`     | until all WebSockets were open, all requests answered and the download finished              |
| `websockets`  | `asked`, `opened`, `closed` (with 1000), `seconds` until the last was open                   |
| `requests`    | `asked`, `answered`, `seconds` until the last answer                                         |
| `download`    | `asked`, `received`, `seconds`                                                               |
| `echo`        | `beside_download` and `alone`: `count`, `median`, `slowest`                                  |
| `round_trip`  | of an HTTP/2 PING                                                                            |

If no connection could be opened, there is only an error on stderr.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import Protocol

import trio_h2ws

from ..text import without_login
from .load import Outcome, Plan


class ServerStats(Protocol):
    """The counters of the testing server that the report uses."""

    tcp_connections: int
    tls_handshakes: int
    protocol_errors: list[str]
    errors: list[BaseException]


@dataclass
class Report:
    plan: Plan
    outcome: Outcome
    notes: list[str]
    tcp_connections: int | None = None
    tls_handshakes: int | None = None

    def add_server(self, stats: ServerStats) -> None:
        self.tcp_connections, self.tls_handshakes = stats.tcp_connections, stats.tls_handshakes
        for error in [*stats.protocol_errors, *stats.errors]:
            self.outcome.problems[f"the server: {error}"] += 1

    @property
    def problems(self) -> list[str]:
        plan, outcome = self.plan, self.outcome
        problems = [what if times == 1 else f"{what} ({times} times)" for what, times in outcome.problems.items()]
        if not (plan.websockets or plan.requests or plan.download):
            problems.append("nothing left to do: this origin serves no part of the demo")
        elif len(outcome.connections) != 1:
            problems.append(f"{len(outcome.connections)} connections were used, not one")
        if self.tcp_connections not in (None, 1):
            problems.append(f"the server counted {self.tcp_connections} connections, not one")
        if "{bytes}" in plan.download_path and plan.download and outcome.downloaded != plan.download:
            problems.append(f"the download ended after {outcome.downloaded:,} of {plan.download:,} bytes")
        return problems

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def connections(self) -> list[trio_h2ws.ConnectionInfo]:
        return list(self.outcome.connections.values())

    def as_json(self) -> str:
        plan, outcome, connections = self.plan, self.outcome, self.connections
        found = {
            "version": trio_h2ws.__version__,
            "url": without_login(plan.url),
            "ok": self.ok,
            "problems": self.problems,
            "notes": self.notes,
            "protocol": connections[0].protocol if connections else None,
            "connections": {
                "client": len(connections),
                "server": self.tcp_connections,
                "tls_handshakes": self.tls_handshakes,
            },
            "streams": {
                "opened": outcome.streams,
                "at_once": outcome.streams_at_once,
                "allowed": outcome.streams_allowed,
            },
            "bytes": {
                "received": sum(connection.bytes_in for connection in connections),
                "sent": sum(connection.bytes_out for connection in connections),
            },
            "seconds": _rounded(outcome.work_seconds),
            "websockets": {
                "asked": plan.websockets,
                "opened": outcome.opened,
                "closed": outcome.closed,
                "seconds": _rounded(outcome.open_seconds),
            },
            "requests": {
                "asked": plan.requests,
                "answered": outcome.answered,
                "seconds": _rounded(outcome.request_seconds),
            },
            "download": {
                "asked": plan.download,
                "received": outcome.downloaded,
                "seconds": _rounded(outcome.download_seconds),
            },
            "echo": {
                "beside_download": _summary(outcome.echoes_with_download),
                "alone": _summary(outcome.echoes_alone),
            },
            "round_trip": _rounded(connections[0].round_trip_time) if connections else None,
        }
        return json.dumps(found, indent=2) + "\n"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _summary(waits: list[float]) -> dict[str, float | None]:
    return {
        "count": len(waits),
        "median": _rounded(statistics.median(waits)) if waits else None,
        "slowest": _rounded(max(waits, default=None)),
    }
