"""Servers that a test scripts, over real sockets and real TLS. They share no code with the client.

- `listener`: accepts, shakes hands, notes what each ClientHello offered, and hands over the transport;
- `http1`: an HTTP/1.1 server of which a test writes every answer, on h11;
- `http2`: an HTTP/2 server with one answer for every extended CONNECT, on h2;
- `app`: an ASGI application, for servers that are separate programs;
- `program`, `process`: where such a program is, and starting it.
"""
