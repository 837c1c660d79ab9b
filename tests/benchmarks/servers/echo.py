"""A uWebSockets echo server (socketify) without TLS, to be used through HAProxy.

/echo does not compress; /deflate agrees to permessage-deflate, without context takeover in either direction.

python -m tests.benchmarks.servers.echo PORT
"""

from __future__ import annotations

import sys
from typing import Any

from socketify import App, AppListenOptions, CompressOptions, OpCode

_LARGE = 64 * 1024 * 1024


def main() -> None:
    def echo(ws: Any, message: Any, opcode: OpCode) -> None:
        ws.send(message, opcode)

    def compressed(ws: Any, message: Any, opcode: OpCode) -> None:
        ws.send(message, opcode, True)

    options = {
        "max_payload_length": _LARGE,
        "max_backpressure": _LARGE,
        "idle_timeout": 0,
        "send_pings_automatically": False,
    }
    app = App()
    app.ws("/deflate", {**options, "message": compressed, "compression": CompressOptions.SHARED_COMPRESSOR})
    app.ws("/*", {**options, "message": echo})
    app.listen(AppListenOptions(port=int(sys.argv[1]), host="127.0.0.1"))
    app.run()


if __name__ == "__main__":
    main()
