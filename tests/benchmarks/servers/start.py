"""The servers of one run, and the sites that they serve.

    files     client ── TLS, h2 ──► nghttpd
    sockets   client ── TLS, h2 or HTTP/1.1 ──► HAProxy ─┬─► uWebSockets echo
                                                         ├─► nginx (uploads)
                                                         └─ h2c ─► nghttpd
    deflate   the same, where the echo compresses
    clear     client ── HTTP/1.1 in clear ──► nginx
    bodies    client ── TLS, h2 or HTTP/1.1 ──► nginx (downloads and uploads of 100 MB)
    pages     client ── HTTP/1.1 in clear ──► pages (0.1 s each)
    link      client ──► link (100 ms, 100 Mbit/s) ──► nghttpd

Each is a separate process, so none of their CPU time is counted as the client's.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field

import trustme

from ...support.servers.process import free_port, running
from ...support.servers.program import find
from . import nginx
from .site import Site

LARGE = 100_000_000
PAGE_SECONDS = 0.1
ROUND_TRIP = 0.1  # seconds
RATE = 100e6 / 8  # bytes a second

_REPLACEMENT = "Hypercorn, written in Python, is used instead: compare CPU time, not wall time"

_HAPROXY = """
global
    maxconn 7000
    nbthread 1
    tune.h2.max-concurrent-streams 6000
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
frontend all
    bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
    use_backend echo if {{ path /echo /deflate }}
    use_backend bodies if {{ path /upload }}
    default_backend files
backend echo
    server echo 127.0.0.1:{echo}
backend bodies
    server bodies 127.0.0.1:{clear}
backend files
    server files 127.0.0.1:{files} proto h2
"""


@dataclass
class Sites:
    """The sites by name, the versions of the servers, and notes on servers that had to be replaced."""

    sites: dict[str, Site] = field(default_factory=dict)
    versions: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def _version(program: str, option: str) -> str:
    out = subprocess.run([program, option], capture_output=True, text=True).stdout
    found = re.search(r"\d+\.\d+[.\d]*", out)
    return f"{program} {found.group() if found else '?'}"


def _certificate(directory: pathlib.Path) -> tuple[str, str]:
    """The file of a throw-away authority, and a file with a certificate and its key."""
    ca = trustme.CA()
    cafile, pem = directory / "ca.pem", directory / "server.pem"
    ca.cert_pem.write_to_path(cafile)
    ca.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(pem)
    return str(cafile), str(pem)


def _site(cafile: str, port: int, *, echo: str = "echo", tls: str = "s") -> Site:
    base = f"127.0.0.1:{port}"
    http = f"http{tls}://{base}"
    return Site(cafile, f"{http}/small", f"{http}/large", f"ws{tls}://{base}/{echo}", f"{http}/upload")


@contextlib.contextmanager
def serving() -> Iterator[Sites]:
    """Start everything; stop it at the end of the block."""
    sites = Sites()
    with contextlib.ExitStack() as stack:
        directory = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cafile, pem = _certificate(directory)
        (directory / "small").write_bytes(b"x" * 1024)
        with (directory / "large").open("wb") as large:
            large.truncate(LARGE)
        files = _files(stack, sites, directory, pem)
        clear, bodies = _bodies(stack, sites, directory, pem)
        sockets = _sockets(stack, sites, directory, pem, clear)
        link, pages = free_port(), free_port()
        _start(stack, "link", link, str(files), str(ROUND_TRIP), str(RATE))
        _start(stack, "pages", pages, str(PAGE_SECONDS))
        ports = {"files": files, "sockets": sockets, "link": link, "bodies": bodies}
        sites.sites = {name: _site(cafile, port) for name, port in ports.items()}
        sites.sites["deflate"] = _site(cafile, sockets, echo="deflate")
        sites.sites["clear"] = _site(cafile, clear, tls="")
        sites.sites["pages"] = Site(cafile, f"http://127.0.0.1:{pages}/", "", "")
        yield sites


def _start(stack: contextlib.ExitStack, module: str, port: int, *options: str) -> None:
    """A server of this package."""
    command = [sys.executable, "-m", f"tests.benchmarks.servers.{module}", str(port), *options]
    stack.enter_context(running(command, port))


def _files(stack: contextlib.ExitStack, sites: Sites, directory: pathlib.Path, pem: str) -> int:
    port = free_port()
    if shutil.which("nghttpd"):
        stack.enter_context(running(["nghttpd", "-a", "127.0.0.1", "-d", str(directory), str(port), pem, pem], port))
        sites.versions.append(_version("nghttpd", "--version"))
    else:
        sites.notes.append(f"not installed: nghttpd. {_REPLACEMENT}")
        stack.enter_context(running(_hypercorn(port, pem), port))
    return port


def _bodies(stack: contextlib.ExitStack, sites: Sites, directory: pathlib.Path, pem: str) -> tuple[int, int]:
    """The port in clear, and the one with TLS."""
    clear, tls = free_port(), free_port()
    program = find("nginx")
    if program is not None:
        stack.enter_context(running(nginx.command(program, directory, pem, clear, tls), tls))
        done = subprocess.run([program, "-v"], capture_output=True, text=True)
        sites.versions.append("nginx " + done.stderr.strip().rpartition("/")[2])
    else:
        sites.notes.append(f"not installed: nginx. {_REPLACEMENT}")
        stack.enter_context(running([*_hypercorn(tls, pem), str(clear)], tls))
    return clear, tls


def _sockets(stack: contextlib.ExitStack, sites: Sites, directory: pathlib.Path, pem: str, clear: int) -> int:
    port = free_port()
    missing = [name for name in ("haproxy", "nghttpd") if not shutil.which(name)]
    if importlib.util.find_spec("socketify") is None:
        missing.append("socketify")
    if missing:
        sites.notes.append(f"not installed: {', '.join(missing)}. {_REPLACEMENT}")
        stack.enter_context(running(_hypercorn(port, pem), port))
        return port
    echo, files = free_port(), free_port()
    _start(stack, "echo", echo)
    stack.enter_context(running(["nghttpd", "--no-tls", "-a", "127.0.0.1", "-d", str(directory), str(files)], files))
    config = directory / "haproxy.cfg"
    config.write_text(_HAPROXY.format(port=port, pem=pem, echo=echo, files=files, clear=clear))
    stack.enter_context(running(["haproxy", "-db", "-f", str(config)], port))
    sites.versions += [_version("haproxy", "-v"), "socketify " + importlib.metadata.version("socketify")]
    return port


def _hypercorn(port: int, pem: str) -> list[str]:
    return [sys.executable, "-m", "tests.benchmarks.servers.fallback", str(port), pem]
