"""Real servers that answer in the middle of an upload: 413 when it becomes too large, 401 at once.

Each listens on two ports, TLS (HTTP/2 and HTTP/1.1) and clear. `/limited` accepts bodies up to LIMIT bytes, `/secret`
wants credentials, and `/` answers 200.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import pathlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

from .listener import authority
from .process import free_port, running
from .program import need

LIMIT = 100_000

_NGINX = """\
daemon off;
{user}
pid {directory}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    lingering_close {lingering};
    server {{
        listen 127.0.0.1:{tls} ssl http2;
        listen 127.0.0.1:{clear};
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        client_max_body_size {limit};
        location / {{ return 200 "fine"; }}
        location /limited {{ proxy_pass http://127.0.0.1:{clear}/; }}
        location /secret {{ client_max_body_size 0; auth_basic here; auth_basic_user_file {directory}/none; }}
    }}
}}
"""

_HAPROXY = """\
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s

frontend front
    bind 127.0.0.1:{tls} ssl crt {certificate} alpn h2,http/1.1
    bind 127.0.0.1:{clear}
    http-request deny deny_status 413 if {{ path /limited }}
    http-request deny deny_status 401 if {{ path /secret }}
    http-request return status 200 content-type text/plain string fine
"""

_APACHE = """\
ServerRoot {directory}
ServerName localhost
PidFile {directory}/pid
DefaultRuntimeDir {directory}
DocumentRoot {directory}/www
ErrorLog {directory}/error
{user}
{modules}
Listen 127.0.0.1:{tls}
Listen 127.0.0.1:{clear}
Protocols h2 http/1.1
LimitRequestBody 0
<Directory />
    Require all granted
</Directory>
<Location /limited>
    LimitRequestBody {limit}
</Location>
<Location /secret>
    AuthType Basic
    AuthName here
    AuthUserFile {directory}/none
    Require valid-user
</Location>
<VirtualHost 127.0.0.1:{tls}>
    SSLEngine on
    SSLCertificateFile {certificate}
</VirtualHost>
"""
_APACHE_MODULES = "mpm_event authn_core authn_file authz_core authz_user auth_basic ssl http2 dir"


@dataclass(frozen=True)
class Ports:
    name: str
    tls: int
    clear: int


def _apache_modules() -> str:
    folder = pathlib.Path("/usr/lib/apache2/modules")
    return "\n".join(
        f"LoadModule {name}_module {folder}/mod_{name}.so"
        for name in _APACHE_MODULES.split()
        if (folder / f"mod_{name}.so").exists()
    )


@contextlib.contextmanager
def early_server(name: str) -> Iterator[Ports]:
    """One of SERVERS; a test is skipped if it is not installed."""
    # Not pytest's directory, which Apache's user may not enter.
    with tempfile.TemporaryDirectory() as directory, _running(name, pathlib.Path(directory)) as ports:
        yield ports


@contextlib.contextmanager
def _running(name: str, directory: pathlib.Path) -> Iterator[Ports]:
    ports = Ports(name, free_port(), free_port())
    certificate = directory / "certificate.pem"
    authority().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    (directory / "none").touch()
    (directory / "www").mkdir()
    for page in ("index.html", "limited", "secret"):
        (directory / "www" / page).write_text("fine")
    os.chmod(directory, 0o755)
    config = directory / "config"
    fields = {"directory": directory, "certificate": certificate, "limit": LIMIT, **vars(ports)}
    if name.startswith("nginx"):
        command = [need("nginx", "nginx-light"), "-p", str(directory), "-c", str(config)]
        user = "user root;" if getpass.getuser() == "root" else ""  # workers of another user see no temporary files
        text = _NGINX.format(user=user, lingering="off" if name == "nginx, no lingering" else "on", **fields)
    elif name == "haproxy":
        command = [need("haproxy", "haproxy"), "-db", "-f", str(config)]
        text = _HAPROXY.format(**fields)
    else:
        command = [need("apache2", "apache2"), "-DFOREGROUND", "-f", str(config)]
        user = "User www-data\nGroup www-data" if getpass.getuser() == "root" else ""
        text = _APACHE.format(user=user, modules=_apache_modules(), **fields)
    config.write_text(text)
    with running(command, ports.tls):
        yield ports


SERVERS = ("nginx", "nginx, no lingering", "haproxy", "apache")
