"""nginx: files over HTTP/1.1, in clear and over TLS, and uploads over both versions of HTTP."""

from __future__ import annotations

import pathlib

# A body is read to its end, in memory, before the request is passed on. What is passed on has no body, only the
# number of bytes that the request had: so an answer means that all has arrived, and says how much.
_CONFIG = """
daemon off;
pid {directory}/nginx.pid;
error_log stderr;
worker_processes 1;
{user}
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    sendfile on;
    keepalive_requests 1000000;
    client_max_body_size 0;
    client_body_buffer_size 128m;
    server {{
        listen 127.0.0.1:{clear};
        listen 127.0.0.1:{tls} ssl http2;
        ssl_certificate {pem};
        ssl_certificate_key {pem};
        root {directory};
        location = /upload {{
            proxy_pass http://127.0.0.1:{clear}/length;
            proxy_method GET;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header X-Length $request_length;
        }}
        location = /length {{ return 200 $http_x_length; }}
    }}
}}
"""


def command(program: str, directory: pathlib.Path, pem: str, clear: int, tls: int) -> list[str]:
    """That starts it; its configuration is written into the directory of the files."""
    path = directory / "nginx.conf"
    # As root, its worker would be another user, who can't read a directory of ours.
    user = "user root;" if directory.owner() == "root" else ""
    path.write_text(_CONFIG.format(directory=directory, pem=pem, clear=clear, tls=tls, user=user))
    return [program, "-p", str(directory), "-c", str(path)]
