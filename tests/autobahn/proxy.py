"""HAProxy before the suite: TLS, HTTP/2 and HTTP/1.1 outside; HTTP/1.1 in clear inside."""

from __future__ import annotations

import contextlib
import pathlib
import ssl
import subprocess
from collections.abc import Iterator

import trustme

from ..support.servers.process import free_port, running
from .suite import NotRun, candidates

# The suite compares the port of Host with its own. A case may take eight minutes, and be silent for most of them.
# Streams of WebSockets that are closing still count, and there are many short ones.
_CONFIG = """\
global
    tune.h2.max-concurrent-streams 1000

defaults
    mode http
    timeout connect 10s
    timeout client 30m
    timeout server 30m
    timeout tunnel 30m

frontend tls
    bind 127.0.0.1:{port} ssl crt {certificate} alpn h2,http/1.1
    default_backend suite

backend suite
    http-request set-header Host 127.0.0.1:{suite}
    server suite 127.0.0.1:{suite}
"""


def find() -> str:
    program = next(candidates("HAPROXY", "haproxy"), None)
    if program is None:
        raise NotRun("HAProxy carries the suite over HTTP/2: put haproxy on PATH, or its path into HAPROXY")
    return program


def version(program: str) -> str:
    out = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    return next((word for word in out.split() if word[:1].isdigit()), "?").partition("-")[0]


@contextlib.contextmanager
def serving(program: str, suite: int, directory: pathlib.Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """HAProxy before the port `suite`; gives its URL, and a context that trusts it."""
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    certificate = directory / "certificate.pem"
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    port = free_port()
    config = directory / "haproxy.cfg"
    config.write_text(_CONFIG.format(port=port, suite=suite, certificate=certificate))
    with running([program, "-db", "-f", str(config)], port):
        yield f"wss://localhost:{port}", context
