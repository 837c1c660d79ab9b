"""An engine without a connection: everything it reports is recorded."""

from __future__ import annotations

from typing import Any

from trio_h2ws import Limits
from trio_h2ws._protocols.engine import Engine, RequestHead
from trio_h2ws._protocols.h1.engine import H1Engine
from trio_h2ws._protocols.h2.engine import H2Engine
from trio_h2ws._protocols.stream_state import StreamState

from . import frames

GET = RequestHead(b"GET", b"https", b"example.org", b"/", [])
CONNECT = RequestHead(b"CONNECT", b"https", b"example.org", b"/", [], b"websocket")


class Log(list[Any]):
    """What was reported, in order. Adjacent pieces of one body are one entry: how they were split does not matter."""

    def data(self, stream: int, data: bytes) -> None:
        if self and self[-1][:2] == ("data", stream):
            self[-1] = ("data", stream, self[-1][2] + data)
        else:
            self.append(("data", stream, data))


class RecordedStream(StreamState):
    """Records its callbacks. With `greedy` it consumes everything at once."""

    def __init__(self, engine: Engine, log: Log, *, greedy: bool = True, **options: Any) -> None:
        super().__init__(**options)
        self.engine = engine
        self.log = log
        self.greedy = greedy
        self.unread = 0

    def on_informational(self, status: int, fields: Any) -> None:
        self.log.append(("informational", self.id, status, fields))

    def on_response(self, status: int, fields: Any) -> None:
        self.log.append(("response", self.id, status, fields))

    def on_data(self, data: bytes) -> None:
        self.log.data(self.id, data)
        if self.greedy:
            self.engine.consume(self, len(data))
        else:
            self.unread += len(data)

    def on_end(self, trailers: Any) -> None:
        self.log.append(("end", self.id, trailers))

    def on_error(self, error: Exception) -> None:
        self.log.append(("error", self.id, type(error).__name__, getattr(error, "error_code", None)))

    def on_drained(self) -> None:
        pass

    def wake_all(self, error: Exception) -> None:
        self.log.append(("bug", self.id, repr(error.__cause__)))


class Recorder:
    """An engine and its observer in one."""

    engine: Engine

    def __init__(self, limits: Limits | None = None, *, settings: bytes | None = frames.settings({})) -> None:
        self.log = Log()
        self.now = 0.0
        self.engine = H2Engine(self, limits or Limits(), lambda: self.now)
        self.engine.start()
        self.preface = self.take()
        if settings is not None:
            self.engine.receive(settings)
            self.log.clear()

    def on_settings(self) -> None:
        self.log.append(("settings",))

    def on_ping_ack(self, payload: bytes) -> None:
        self.log.append(("ping ack", payload))

    def on_goaway(self, last_stream_id: int, code: int, debug: bytes) -> None:
        self.log.append(("goaway", last_stream_id, code, debug))

    def on_calm(self, stream: StreamState) -> None:
        self.log.append(("calm", stream.id))

    def on_reset(self) -> None: ...

    def on_slot_free(self, stream: StreamState) -> None:
        self.log.append(("free", stream.id))

    def on_unusable(self, error: Exception) -> None:
        self.log.append(("unusable",))

    def on_resume(self) -> None:
        self.log.append(("resume",))

    def end_with_bug(self, bug: Exception) -> None:
        raise bug

    def take(self) -> bytes:
        """Everything that the engine has to send now."""
        data = b""
        while self.engine.has_output:
            data += self.engine.produce(65_536)[0]
        return data

    def open(self, head: RequestHead = GET, *, end: bool = True, greedy: bool = True) -> RecordedStream:
        stream = RecordedStream(
            self.engine,
            self.log,
            greedy=greedy,
            is_head=head.method == b"HEAD",
            is_connect=head.protocol is not None,
        )
        self.engine.open(stream, head, end)
        return stream

    def heard(self) -> list[Any]:
        """What was reported since the last call."""
        heard = list(self.log)
        self.log.clear()
        return heard


class H1Recorder(Recorder):
    """The same for HTTP/1.1."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.log = Log()
        self.engine = H1Engine(self, limits or Limits())
