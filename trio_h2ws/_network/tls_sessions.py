"""TLS sessions that further connections resume (RFC 8446, section 2.2; RFC 5077).

A full handshake costs the client about 0.8 ms of CPU, most of it for the certificate, and a resumed one a third. It
is for every connection after the first to an origin: over HTTP/1.1, fallback WebSockets, after GOAWAY.

A session is resumed only where nothing has changed that the first handshake has checked: the context and how it
verifies, the name, what ALPN offers, and the proxy that leads there. Each is used once (RFC 8446, appendix C.4: the
ticket would let an observer link the two connections), and a connection gives another one. With TLS 1.3 the server
sends it after the handshake, so a connection has one when something was read. A ticket that the server does not
accept leads to a full handshake, and costs nothing.

Python copies a session, certificate and all, when it is asked for it, and this takes a third as long as a full
handshake. So it is asked for only when another dial needs the session, or when its connection ends before the client.

No data is sent before the handshake is done (0-RTT): it could be replayed.
"""

from __future__ import annotations

import ssl
from collections import OrderedDict
from typing import TypeAlias

Key: TypeAlias = tuple[object, ...]

_KEYS = 256  # names; a session takes a few kilobytes
_EACH = 8  # sessions of one name


def key_of(context: ssl.SSLContext, host: str, alpn: list[str], via: str) -> Key | None:
    """What must be the same in both handshakes. None: sessions of this context are not kept."""
    if type(context) is not ssl.SSLContext:
        return None  # truststore verifies after the handshake, by the chain, which a resumed one does not have
    verification = (
        context.verify_mode,
        context.check_hostname,
        context.verify_flags,
        context.hostname_checks_common_name,
    )
    return (context, *verification, host, *alpn, via)


class TLSSessions:
    """Those of one client."""

    __slots__ = ("_closed", "_kept")

    def __init__(self) -> None:
        # The names that were used last at the end. Of a connection that is open it is the connection.
        self._kept: OrderedDict[Key, list[ssl.SSLObject | ssl.SSLSession]] = OrderedDict()
        self._closed = False

    def offer(self, key: Key, connection: ssl.SSLObject) -> None:
        """The connection has a session that another one may resume."""
        if self._closed:
            return
        sessions = self._kept.setdefault(key, [])
        self._kept.move_to_end(key)
        sessions.append(connection)
        if len(sessions) > _EACH:
            del sessions[0]
        if len(self._kept) > _KEYS:
            self._kept.popitem(last=False)

    def take(self, key: Key | None) -> ssl.SSLSession | None:
        """The newest, which is forgotten."""
        sessions = self._kept.get(key) if key is not None else None
        while sessions:
            newest = sessions.pop()
            session = newest if isinstance(newest, ssl.SSLSession) else newest.session
            if session is not None and (session.has_ticket or session.id):
                return session
        return None

    def on_end(self, key: Key, connection: ssl.SSLObject) -> None:
        """The connection ends: keep its session, if no other has resumed it."""
        sessions = self._kept.get(key, [])
        if connection in sessions and (session := connection.session) is not None:
            sessions[sessions.index(connection)] = session

    def close(self) -> None:
        """The client ends: nothing will be dialled."""
        self._closed = True
        self._kept.clear()
