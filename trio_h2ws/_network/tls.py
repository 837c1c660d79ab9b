"""TLS over any transport, with OpenSSL reading from and writing to memory BIOs.

trio.SSLStream returns one TLS record a call, and a busy server sends one record a message: with a hundred busy
WebSockets, most of the time would be spent on calls. Here one read of the socket takes every record that has arrived,
and the engine gets their contents in one piece.

Writing never waits: OpenSSL encrypts into a memory BIO, and the transport below accepts what is in it. Bytes that
OpenSSL produces by itself while reading (a KeyUpdate) leave the same way.
"""

from __future__ import annotations

import os
import ssl
import sys
from typing import Any

import trio

from .._http.first_bytes import is_tls, wrong_protocol
from .tls_records import RecordBoundary
from .tls_sessions import TLSSessions, key_of
from .transport import NotConnected, Transport

_TOO_OLD_FOR_HTTP2 = ("SSLv3", "TLSv1", "TLSv1.1")  # RFC 9113, section 9.2
_MAX_RECORD = 16384  # RFC 8446, section 5.1: the bytes that one record carries at most
# Alerts about the client's certificate (RFC 8446, section 6.2), as the ends of what OpenSSL calls them.
_ABOUT_CERTIFICATE = (
    "ALERT_CERTIFICATE_REQUIRED",
    "ALERT_BAD_CERTIFICATE",
    "ALERT_UNSUPPORTED_CERTIFICATE",
    "ALERT_CERTIFICATE_REVOKED",
    "ALERT_CERTIFICATE_EXPIRED",
    "ALERT_CERTIFICATE_UNKNOWN",
    "ALERT_UNKNOWN_CA",
    "ALERT_ACCESS_DENIED",
    "ALERT_DECRYPT_ERROR",
    "ALERT_HANDSHAKE_FAILURE",
)


def _has_system_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    return paths.cafile is not None or (paths.capath is not None and bool(os.listdir(paths.capath)))


def default_context() -> ssl.SSLContext:
    """A context that trusts what the system trusts, requires TLS 1.2 (RFC 9113, section 9.2) and honours
    SSLKEYLOGFILE.

    On Windows and macOS, the system verifies certificates (by truststore). Elsewhere OpenSSL does, with its default
    store, or with the one of certifi if that is empty (a slim container, a Python built on another machine).
    """
    context = ssl.create_default_context()
    if sys.platform == "win32" or sys.platform == "darwin":  # the only form that type checkers understand
        import truststore

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if (keys := os.environ.get("SSLKEYLOGFILE")) and not sys.flags.ignore_environment:
            context.keylog_filename = keys
    elif not _has_system_certificates():
        import certifi

        context.load_verify_locations(cafile=certifi.where())
    elif (cafile := ssl.get_default_verify_paths().cafile) and not context.cert_store_stats()["x509"]:
        with open(cafile, "rb"):
            pass  # OpenSSL does not report that it could not open this file (too many files): this does
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9110, section 4.3.4: names are in subjectAltName. Python still looks into CN where that is missing.
    context.hostname_checks_common_name = False
    return context


class NotTLS(OSError):
    """The peer's first bytes are not TLS."""


def _clear_alpn(context: ssl.SSLContext) -> None:
    try:
        context.set_alpn_protocols([])
    except MemoryError:
        pass  # OpenSSL 1.1.1 has cleared the list, but reports an empty one as a lack of memory


class TLSTransport:
    """The client side of TLS. Call `await handshake()` first; after that, it is a transport like any other."""

    __slots__ = (
        "_accepted",
        "_broken",
        "_ended",
        "_incoming",
        "_inner",
        "_key",
        "_outgoing",
        "_records",
        "_sessions",
        "_tls",
        "truncated",
    )

    def __init__(
        self,
        inner: Transport,
        context: ssl.SSLContext,
        host: str,
        alpn: list[str],
        sessions: TLSSessions | None = None,
        via: str = "",
    ) -> None:
        """With `sessions`, one of them is resumed, and the new one is kept: of the same `via`, a proxy perhaps."""
        self._inner = inner
        self._sessions = sessions
        self._key = key_of(context, host, alpn, via) if sessions is not None else None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._ended = False
        self._broken: ssl.SSLError | None = None
        self._accepted = False  # the server has sent something after the handshake, so it has accepted ours
        self.truncated = False  # TCP ended without a close_notify from the peer (RFC 8446, section 6.1)
        self._records: RecordBoundary | None = RecordBoundary()
        # ALPN is set on the context and read when an SSLObject is made from it, so nothing may await in between.
        # It is cleared again because others may use the same context, and may not speak what we offer.
        context.set_alpn_protocols(alpn)
        try:
            session = sessions.take(self._key) if sessions is not None else None
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host, session=session)
        finally:
            _clear_alpn(context)

    @property
    def blocked(self) -> bool:
        return self._inner.blocked

    @property
    def written(self) -> int:
        return self._inner.written

    @property
    def acknowledged(self) -> int:
        return self._inner.acknowledged

    @property
    def has_pending_input(self) -> bool:
        return self._incoming.pending > 0 or self._inner.has_pending_input

    @property
    def inside_record(self) -> bool:
        return self._records is not None and self._records.inside

    @property
    def alpn(self) -> str | None:
        """The protocol that the server chose (RFC 7301), or None."""
        return self._tls.selected_alpn_protocol()

    @property
    def too_old_for_http2(self) -> bool:
        return self._tls.version() in _TOO_OLD_FOR_HTTP2

    @property
    def certificate(self) -> dict[str, Any] | None:
        """The server's certificate as `getpeercert` returns it; None if it was not verified."""
        certificate = self._tls.getpeercert()
        return dict(certificate) if certificate else None

    async def handshake(self) -> None:
        """The TLS handshake. Raises ssl.SSLError, ssl.CertificateError or OSError."""
        first = b""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._send_pending()
                data = await self._inner.receive()
                first = first or data
                self._arrived(data)
            except ssl.SSLError as error:
                # Which of the two it is depends on the version of Python.
                if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) and not first:
                    hint = "if this port is not for TLS, use http:// (or ws://)"
                    raise OSError(f"the server closed the connection without an answer; {hint}") from error
                if len(first) > 1 and not is_tls(first):
                    # No alert is sent, which the server would not understand.
                    reason = (
                        f"the server does not speak TLS on this port (http:// is without TLS): it sent {first[:40]!r}"
                    )
                    raise NotTLS(wrong_protocol(first, "TLS") or reason) from error
                await self._send_pending()  # the alert that says why
                raise
            else:
                await self._send_pending()
                if self.alpn == "h2":
                    self._records = None  # HTTP/2 marks the end of every body itself
                return

    async def _send_pending(self) -> None:
        if self._outgoing.pending:
            self._inner.write(self._outgoing.read())
        if self._inner.blocked:
            await self._inner.drain()

    async def receive(self) -> bytes:
        while not self._ended:
            data = self._decrypt()
            if data:
                return data
            if self._ended:
                break
            arrived = await self._inner.receive_view()
            self._arrived(arrived)
            if not arrived and self._broken is None:
                # All that came is decrypted, and close_notify was not among it. OpenSSL would not say so in some
                # versions of Python, which let it take this for a clean end.
                self._ended = self.truncated = True
        await trio.lowlevel.checkpoint()
        return b""

    async def receive_view(self) -> bytes:
        return await self.receive()

    def _arrived(self, data: bytes | memoryview) -> None:
        if data:
            self._incoming.write(data)
            if self._records is not None:
                self._records.feed(data)
        else:
            self._incoming.write_eof()

    def _decrypt(self) -> bytes:
        """The contents of every complete record that has arrived."""
        if self._broken is not None:
            raise self._broken
        records: list[bytes] = []
        read, incoming, tls = self._tls.read, self._incoming, self._tls
        try:
            while incoming.pending or incoming.eof or tls.pending():
                record = read(_MAX_RECORD)
                if not record:
                    self._ended = True
                    break
                records.append(record)
        except ssl.SSLWantReadError:
            pass  # the rest of a record has not arrived yet
        except ssl.SSLZeroReturnError:
            self._ended = True
        except ssl.SSLEOFError:
            self._ended = self.truncated = True
        except ssl.SSLError as error:
            if not records:
                if not self._accepted and (error.reason or "").endswith(_ABOUT_CERTIFICATE):
                    # With TLS 1.3 the client has finished the handshake before the server looks at its certificate.
                    reason = f"the server requires another client certificate, or any: {error}"
                    raise NotConnected(f"{reason}; load one into open_client's ssl_context") from error
                raise
            self._broken = error  # first return what came before the broken record; the next read raises
        if records and not self._accepted:
            self._accepted = True
            if self._sessions is not None and self._key is not None:
                self._sessions.offer(self._key, self._tls)
        if self._outgoing.pending and not self._inner.blocked:
            self._inner.write(self._outgoing.read())
        return records[0] if len(records) == 1 else b"".join(records)

    def write(self, data: bytes | memoryview) -> None:
        self._tls.write(data)
        self._inner.write(self._outgoing.read())

    async def drain(self) -> None:
        await self._inner.drain()
        await self._send_pending()

    def limit_unacknowledged(self, seconds: float | None) -> None:
        self._inner.limit_unacknowledged(seconds)

    def send_close_notify(self) -> None:
        """Queue a close_notify (RFC 8446, section 6.1), which distinguishes a proper end from a cut connection."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass  # our close_notify is in the BIO; `unwrap` then waits for the peer's, which is not needed
        if self._outgoing.pending and not self._inner.blocked:
            self._inner.write(self._outgoing.read())

    async def aclose(self) -> None:
        try:
            await self._inner.aclose()
        finally:
            if hasattr(self, "_tls"):
                if self._sessions is not None and self._key is not None:
                    self._sessions.on_end(self._key, self._tls)
                del self._tls  # and OpenSSL's buffers: nothing is read or written any more
