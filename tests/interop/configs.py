"""The configuration files of the servers. `{port}`, `{backend}`, `{directory}` and the like are filled in."""

from __future__ import annotations

import os
import pathlib

HAPROXY = """\
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout tunnel 60s

frontend tls
    bind 127.0.0.1:{port} ssl crt {pem} alpn h2,http/1.1
    default_backend app

backend app
    server app 127.0.0.1:{backend}
"""

NGINX = """\
daemon off;
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
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    server {{
        listen 127.0.0.1:{port} ssl http2;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        client_max_body_size 0;
        location / {{
            proxy_pass http://127.0.0.1:{backend};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_request_buffering off;
        }}
    }}
}}
"""

H2O = """\
listen:
  host: 127.0.0.1
  port: {port}
  ssl:
    certificate-file: {certificate}
    key-file: {key}
user: {user}
proxy.timeout.io: 60000
hosts:
  default:
    paths:
      /:
        proxy.reverse.url: http://127.0.0.1:{backend}/
        proxy.websocket: ON
"""

LIGHTTPD = """\
server.modules = ("mod_openssl", "mod_proxy")
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{directory}"
server.upload-dirs = ("{directory}")
server.stream-response-body = 1
server.max-request-size = 0
ssl.engine = "enable"
ssl.pemfile = "{certificate}"
ssl.privkey = "{key}"
proxy.server = ("" => (("host" => "127.0.0.1", "port" => {backend})))
proxy.header = ("upgrade" => "enable")
"""

CADDY = """\
{{
    admin off
    auto_https off
    storage file_system {directory}
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {certificate} {key}
    reverse_proxy 127.0.0.1:{backend}
}}
"""

APACHE = """\
ServerRoot {directory}
ServerName localhost
PidFile {directory}/pid
DefaultRuntimeDir {directory}
ErrorLog {directory}/error
{identity}
{modules}
Listen 127.0.0.1:{port}
SSLEngine on
SSLCertificateFile {certificate}
SSLCertificateKeyFile {key}
Protocols h2 http/1.1
H2WebSockets on
ProxyPass / http://127.0.0.1:{backend}/ upgrade=websocket
"""

ENVOY = """\
admin: {{}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - certificate_chain: {{filename: {certificate}}}
              private_key: {{filename: {key}}}
      filters:
      - name: http
        typed_config:
          "@type": {filters}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          http2_protocol_options: {{allow_connect: true}}
          upgrade_configs: [{{upgrade_type: websocket}}]
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route: {{cluster: app, timeout: 0s}}
          http_filters:
          - name: router
            typed_config:
              "@type": {filters}.http.router.v3.Router
  clusters:
  - name: app
    connect_timeout: 5s
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{socket_address: {{address: 127.0.0.1, port_value: {backend}}}}}
"""

ENVOY_HTTP2_UPSTREAM = (
    ENVOY
    + """\
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{allow_connect: true}}}}
"""
)

_APACHE_MODULES = ["mpm_event", "authz_core", "ssl", "http2", "proxy", "proxy_http"]
_APACHE_DIRECTORIES = ["/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/libexec/apache2"]


def apache_modules() -> str:
    """LoadModule lines for the modules that this system has as files; the others are built in."""
    directory = next((path for path in map(pathlib.Path, _APACHE_DIRECTORIES) if path.is_dir()), None)
    if directory is None:
        return ""
    files = {name: directory / f"mod_{name}.so" for name in _APACHE_MODULES}
    return "\n".join(f"LoadModule {name}_module {path}" for name, path in files.items() if path.exists())


def apache_identity() -> str:
    """The user to switch to when started as root, since Apache does not serve as root."""
    return "User www-data\nGroup www-data" if os.getuid() == 0 else ""
