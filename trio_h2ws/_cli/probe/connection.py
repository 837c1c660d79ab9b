"""What one connection to an origin shows about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import trio

import trio_h2ws

from .tls_sessions import TLSSession, recorded_tls_sessions

HTTP2 = Literal["auto", "require", "never"]

_ROUND_TRIP_WAIT = 1.0
_NOT_SUPPORTED = 505  # HTTP Version Not Supported


@dataclass
class ConnectionFindings:
    """The facts that one connection has shown."""

    offered: list[str]
    chosen: str | None = None
    tls: str | None = None
    cipher: str | None = None
    protocol: str | None = None
    status: int | None = None
    seconds: float | None = None
    round_trip: float | None = None
    streams_allowed: int | None = None
    extended_connect: bool = False
    settings: dict[str, int] = field(default_factory=dict)
    error: str | None = None

    @property
    def speaks(self) -> bool:
        return self.error is None and self.status != _NOT_SUPPORTED

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "speaks": self.speaks}

    def add_tls(self, session: TLSSession) -> None:
        self.chosen, self.tls, self.cipher = session

    def add_connection(self, connection: trio_h2ws.ConnectionInfo) -> None:
        self.protocol = connection.protocol
        self.round_trip = connection.round_trip_time
        self.streams_allowed = connection.streams_allowed if connection.protocol == "HTTP/2" else None
        self.extended_connect = connection.extended_connect
        self.settings = dict(sorted(connection.settings.items()))


async def examine(client: trio_h2ws.Client, tls: bool, http2: HTTP2, timeout: float) -> ConnectionFindings:
    """Make one HEAD request, and collect what its connection shows. Raises ConnectFailed."""
    found = ConnectionFindings([] if not tls else ["http/1.1"] if http2 == "never" else ["h2", "http/1.1"])
    start = trio.current_time()
    with recorded_tls_sessions() as sessions:
        try:
            # Connecting has its own deadline (Timeouts.connect) of `timeout` seconds.
            with trio.fail_after(2 * timeout):
                async with client.stream("HEAD", "", http2=http2, follow_redirects=False) as response:
                    found.status = response.status
                    found.seconds = trio.current_time() - start
                    found.add_connection(response.connection)
                    if found.protocol == "HTTP/2":
                        with trio.move_on_after(_ROUND_TRIP_WAIT):
                            while response.connection.round_trip_time is None:  # noqa: ASYNC110  # no event for it
                                await trio.sleep(0.002)
                    found.add_connection(response.connection)
        except trio_h2ws.ConnectFailed:
            raise
        except trio.TooSlowError:
            found.error = f"no answer within {timeout:g} s"
        except trio_h2ws.H2WSError as error:
            found.error = str(error)
    if found.protocol is None and client.connections:
        found.add_connection(client.connections[-1])
    if sessions:
        found.add_tls(sessions[-1])  # the last one: a proxy's session comes first
    if found.status is None and found.protocol != "HTTP/2":
        # HTTP/2 is certain once the server's SETTINGS have arrived. Without a response, HTTP/1.1 is certain only if
        # ALPN has chosen it.
        found.protocol = "HTTP/1.1" if found.chosen == "http/1.1" else None
    return found
