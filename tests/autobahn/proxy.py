"""HAProxy in front of the suite: HTTP/2 and HTTP/1.1 with TLS outside, HTTP/1.1 without TLS inside."""

from __future__ import annotations

import contextlib
import pathlib
import ssl
import subprocess
from collections.abc import Iterator

import trustme

from ..support.servers.process import free_port, running
from .suite import NotRun, candidates

# Host is rewritten because the suite compares its port with the suite's own. The timeouts are long because a case may
# take eight minutes, silent for most of them; the stream limit is high because closing WebSockets count as well, and
# there are many short ones.
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
        raise NotRun("haproxy was not found, and HTTP/2 needs it: put it on PATH, or set HAPROXY to its path")
    return program


def version(program: str) -> str:
    out = subprocess.run([program, "-v"], capture_output=True, text=True, check=False).stdout
    return next((word for word in out.split() if word[:1].isdigit()), "?").partition("-")[0]


@contextlib.contextmanager
def serving(program: str, suite: int, directory: pathlib.Path) -> Iterator[tuple[str, ssl.SSLContext]]:
    """Run HAProxy in front of port `suite`; yield its URL and a context that trusts it."""
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
