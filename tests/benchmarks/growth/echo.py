"""A server of WebSockets over HTTP/2 in clear that echoes small messages, however many sockets there are.

    python -m tests.benchmarks.growth.echo PORT

It knows what its only client sends: every HEADERS opens a WebSocket, and every DATA holds one whole frame of less
than 126 bytes. So it decodes no headers, and keeps nothing for a socket.
"""

from __future__ import annotations

import asyncio
import sys

_DATA, _HEADERS, _SETTINGS, _PING = 0, 1, 4, 6
_PREFACE = len(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
_STREAMS, _WINDOW, _CONNECT = 3, 4, 8  # codes of settings
_MOST = 2**31 - 1


def _frame(kind: int, flags: int, stream: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream + payload


def _settings() -> bytes:
    values = {_STREAMS: _MOST, _WINDOW: _MOST, _CONNECT: 1}
    payload = b"".join(code.to_bytes(2, "big") + value.to_bytes(4, "big") for code, value in values.items())
    return _frame(_SETTINGS, 0, bytes(4), payload)


def _echo(message: bytes) -> bytes:
    """The frame, without its mask."""
    mask, masked = message[2:6], message[6:]
    key = int.from_bytes((mask * (len(masked) // 4 + 1))[: len(masked)], "big")
    plain = int.from_bytes(masked, "big") ^ key
    return bytes((message[0], len(masked))) + plain.to_bytes(len(masked), "big")


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._received = bytearray()
        self._begun = False
        more = (_MOST - 65535).to_bytes(4, "big")
        transport.write(_settings() + _frame(8, 0, bytes(4), more))

    def data_received(self, data: bytes) -> None:
        self._received += data
        at, out = 0, []
        if not self._begun:
            if len(self._received) < _PREFACE:
                return
            at, self._begun = _PREFACE, True
        while len(self._received) >= at + 9:
            size = int.from_bytes(self._received[at : at + 3], "big")
            end = at + 9 + size
            if end > len(self._received):
                break
            kind, flags = self._received[at + 3], self._received[at + 4]
            stream, payload = bytes(self._received[at + 5 : at + 9]), bytes(self._received[at + 9 : end])
            at = end
            if kind == _HEADERS:
                out.append(_frame(_HEADERS, 4, stream, b"\x88"))  # :status 200
            elif kind == _DATA and payload:
                out.append(_frame(_DATA, 0, stream, _echo(payload)))
            elif kind in (_SETTINGS, _PING) and not flags & 1:
                out.append(_frame(kind, 1, stream, payload if kind == _PING else b""))
        del self._received[:at]
        self._transport.write(b"".join(out))


async def _main(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Connection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1])))
