"""Servers that a test scripts, over real sockets and real TLS. They share no code with the client.

- `listener`: accepts, does the TLS handshake, records what each ClientHello offered, and hands over the transport;
- `http1`: an HTTP/1.1 server, on h11, for which a test writes every answer;
- `redirects`: a site on `http1` that redirects as a test says;
- `http2`: an HTTP/2 server, on h2, with one answer for every extended CONNECT;
- `app`: an ASGI application, for servers that run as separate programs;
- `program`, `process`: find such programs, and start them.
"""
