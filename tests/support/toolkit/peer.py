"""A scripted peer: an HTTP/2 server that does what the test says, frame by frame, and nothing else.

A test with it reads like a dialogue:

    async with scripted_peer() as peer, peer.open_client() as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.get, "/a")
            request = await peer.expect_headers()
            await peer.rst(request, REFUSED_STREAM)
            again = await peer.expect_headers()
            await peer.respond(again, 200, body=b"done")

What the peer does by itself, so that tests need not repeat it (each can be switched off):
- with `settings=…` it sends SETTINGS when a client connects (`settings=None`: the test writes every byte);
- `auto_ack`: it acknowledges the client's SETTINGS;
- `auto_pong`: it answers PING (the client sends one after the first SETTINGS, to measure the round trip);
- `auto_credit`: it gives back the credit for DATA that it has received.

Everything that the client sends is parsed as it arrives, kept in `frames`, and summed up in `requests`. An `expect_…`
takes the first frame of its kind that has not been taken yet, or waits for one; after `SECONDS` it fails and shows
what came instead. `peer.another()` is the peer that the client's next dial will reach.
"""

from __future__ import annotations

import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeVar

import hpack
import hyperframe.frame as hf
import trio
from trio.testing import lockstep_stream_pair, memory_stream_pair

import trio_h2ws

from . import frames as ff
from .calls import Call, T

SECONDS = 5.0
F = TypeVar("F", bound=hf.Frame)

READY: dict[int, int] = {ff.MAX_CONCURRENT_STREAMS: 100, ff.ENABLE_CONNECT_PROTOCOL: 1}
"""The settings of a server that accepts WebSockets."""


class Request:
    """What the client has sent on one stream so far."""

    def __init__(self, stream: int, fields: list[tuple[bytes, bytes]]) -> None:
        self.stream = stream
        self.fields = fields
        self.body = bytearray()
        self.trailers: list[tuple[bytes, bytes]] | None = None
        self.ended = False
        self.reset: int | None = None

    def __getitem__(self, name: str) -> str:
        return next(value.decode() for key, value in self.fields if key == name.encode())

    def get(self, name: str) -> str | None:
        return next((value.decode() for key, value in self.fields if key == name.encode()), None)

    @property
    def path(self) -> str:
        return self[":path"]

    def __repr__(self) -> str:
        return f"<Request {self.stream} {self[':method']} {self.get(':path')}>"


def _id(stream: int | Request | PeerSocket) -> int:
    return stream if isinstance(stream, int) else stream.stream


class Frame:
    """A WebSocket frame from the client, unmasked."""

    def __init__(self, first: int, payload: bytes, masked: bool) -> None:
        self.fin = bool(first & 0x80)
        self.rsv = first >> 4 & 7
        self.opcode = first & 15
        self.payload = payload
        self.masked = masked

    @property
    def code(self) -> int | None:
        """The code of a Close frame."""
        return struct.unpack(">H", self.payload[:2])[0] if len(self.payload) >= 2 else None

    def __repr__(self) -> str:
        return f"<ws frame opcode {self.opcode} {self.payload[:40]!r}>"


class Peer:
    """The server's end of one connection."""

    def __init__(self, network: Network, settings: Mapping[int, int] | None) -> None:
        self.network = network
        self._first_settings = settings
        self.connected = trio.Event()
        self.stream: trio.abc.Stream | None = None
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.frames: list[hf.Frame] = []
        self.requests: dict[int, Request] = {}
        self.client_settings: dict[int, int] = {}
        self.acks = 0  # of our SETTINGS
        self.eof = False
        self.auto_ack = True
        self.auto_pong = True
        self.auto_credit = True
        # Credit, as this side of the connection counts it: what the client lets us send, and what we let it send.
        self.may_send = 65535
        self.may_send_on: dict[int, int] = {}
        self.sent_on: dict[int, int] = {}
        self.let_send = 65535
        self._pending: list[hf.Frame] = []
        self._buffer = b""
        self._preface = False
        self._block: tuple[hf.HeadersFrame, bytearray] | None = None
        self._changed = trio.lowlevel.ParkingLot()
        self._sending = trio.StrictFIFOLock()
        self._reading = trio.Event()
        self._reading.set()
        self.crash: BaseException | None = None
        self._replies: list[bytes] = []
        self._settings_sent = False

    # The client, and other peers.

    def open_client(self, **options: Any) -> Any:
        """`trio_h2ws.open_client`, with all its connections made to these peers, and relative URLs resolved here."""
        return self.network.open_client(**options)

    @property
    def url(self) -> str:
        return self.network.url

    @property
    def dials(self) -> int:
        """How often clients have dialled, counting the other peers as well."""
        return self.network.dials

    def another(self) -> Peer:
        """The peer that the client's next dial will reach (or has reached already)."""
        return self.network.peer_after(self)

    # Reading.

    async def serve_stream(self, stream: trio.abc.Stream) -> None:
        self.stream = stream
        self.connected.set()
        try:
            if self._first_settings is not None:
                await self.settings(self._first_settings)
            while True:
                await self._reading.wait()
                data = await stream.receive_some(65536)
                if not data:
                    break
                await self._reading.wait()
                self._replies += self._parse(bytes(data))
                try:
                    await self._reply()
                except trio.BrokenResourceError:
                    self._replies.clear()  # the client has closed; what it sent before that is still read
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        except Exception as error:
            self.crash = error
        self.eof = True
        self._changed.unpark_all()

    async def _reply(self) -> None:
        # Nothing may precede our SETTINGS; if the test writes them, replies wait for that.
        while self._replies and self._settings_sent:
            await self.raw(self._replies.pop(0))

    def _parse(self, data: bytes) -> list[bytes]:
        self._buffer += data
        replies: list[bytes] = []
        if not self._preface:
            if len(self._buffer) < len(ff.PREFACE):
                return []
            assert self._buffer.startswith(ff.PREFACE), f"no preface: {self._buffer[:40]!r}"
            self._preface = True
            self._buffer = self._buffer[len(ff.PREFACE) :]
        view = memoryview(self._buffer)
        at = 0
        while len(view) - at >= 9:
            frame, length = hf.Frame.parse_frame_header(view[at : at + 9], strict=True)
            if len(view) - at - 9 < length:
                break
            frame.parse_body(view[at + 9 : at + 9 + length])
            at += 9 + length
            self._record(frame, length, replies)
        self._buffer = self._buffer[at:]
        self._changed.unpark_all()
        return replies

    def _record(self, frame: hf.Frame, length: int, replies: list[bytes]) -> None:
        self.frames.append(frame)
        # Trailers belong to an earlier HEADERS, so `expect_headers` must not take them.
        if not (isinstance(frame, hf.HeadersFrame) and frame.stream_id in self.requests):
            self._pending.append(frame)
        match frame:
            case hf.SettingsFrame():
                if "ACK" in frame.flags:
                    self.acks += 1
                else:
                    self.client_settings.update(frame.settings)
                    if self.auto_ack:
                        replies.append(ff.settings(ack=True))
            case hf.PingFrame() if "ACK" not in frame.flags and self.auto_pong:
                replies.append(ff.ping(frame.opaque_data, ack=True))
            case hf.WindowUpdateFrame():
                assert frame.window_increment > 0, "a WINDOW_UPDATE of 0"
                if frame.stream_id == 0:
                    self.may_send += frame.window_increment
                else:
                    self.may_send_on[frame.stream_id] = self.room(frame.stream_id) + frame.window_increment
            case hf.HeadersFrame() | hf.ContinuationFrame():
                if isinstance(frame, hf.HeadersFrame):
                    self._block = (frame, bytearray())
                assert self._block is not None, "CONTINUATION without HEADERS"
                assert self._block[0].stream_id == frame.stream_id, "another frame inside a header block"
                self._block[1].extend(frame.data)
                if "END_HEADERS" in frame.flags:
                    first, block = self._block
                    self._block = None
                    self._header_list(first, bytes(block))
            case hf.DataFrame():
                request = self.requests[frame.stream_id]
                assert not request.ended, "DATA after END_STREAM"
                assert request.reset is None, "DATA after RST_STREAM"
                request.body += frame.data
                request.ended = "END_STREAM" in frame.flags
                self.let_send -= length
                if self.auto_credit and length:
                    self.let_send += length
                    replies.append(ff.window_update(0, length))
                    if not request.ended:
                        replies.append(ff.window_update(frame.stream_id, length))
            case hf.RstStreamFrame():
                request = self.requests[frame.stream_id]
                assert request.reset is None, "RST_STREAM twice"
                request.reset = frame.error_code

    def _header_list(self, first: hf.HeadersFrame, block: bytes) -> None:
        fields = [(bytes(name), bytes(value)) for name, value in self.decoder.decode(block, raw=True)]
        request = self.requests.get(first.stream_id)
        if request is None:
            assert first.stream_id == 2 * len(self.requests) + 1, f"stream {first.stream_id} out of order"
            request = self.requests[first.stream_id] = Request(first.stream_id, fields)
        else:
            assert "END_STREAM" in first.flags, "trailers without END_STREAM"
            request.trailers = fields
        request.ended = "END_STREAM" in first.flags

    def pause(self) -> None:
        """Stop reading. How much the transport still takes depends on its kind (`lockstep`: nothing)."""
        self._reading = trio.Event()

    def resume(self) -> None:
        self._reading.set()

    # Expecting.

    async def until(self, condition: Callable[[], Any], what: str = "", *, within: float = SECONDS) -> None:
        """Wait until something that the client sent makes the condition true."""
        with trio.move_on_after(within):
            while not condition():
                if self.crash is not None:
                    raise self.crash
                if self.eof:
                    raise AssertionError(
                        f"the client has closed; expected {what or condition}; it sent {self.frames}"
                    )
                await self._changed.park()
            return
        raise AssertionError(
            f"not within {within} s: {what or condition}; not yet taken: {self._pending}; calls: {self.network.calls}"
        )

    async def expect(
        self,
        kind: type[F],
        stream: int | Request | PeerSocket | None = None,
        *,
        where: Callable[[F], bool] = lambda frame: True,
        within: float = SECONDS,
    ) -> F:
        """Take the next frame of a kind, on that stream if one is given."""
        wanted = None if stream is None else _id(stream)

        def find() -> F | None:
            for frame in self._pending:
                if isinstance(frame, kind) and wanted in (None, frame.stream_id) and where(frame):
                    return frame
            return None

        await self.until(find, f"{kind.__name__} on {wanted}", within=within)
        found = find()
        assert found is not None
        self._pending.remove(found)
        return found

    async def expect_preface(self) -> hf.SettingsFrame:
        """The client's preface, which ends with its SETTINGS."""
        return await self.expect(hf.SettingsFrame, where=lambda frame: "ACK" not in frame.flags)

    async def expect_settings_ack(self) -> None:
        await self.expect(hf.SettingsFrame, where=lambda frame: "ACK" in frame.flags)

    async def expect_headers(self, stream: int | Request | None = None, *, within: float = SECONDS) -> Request:
        """The next HEADERS, with any CONTINUATION; returns everything known about that stream.

        The client may send them before it has our SETTINGS. What follows in the test comes after that."""
        frame = await self.expect(hf.HeadersFrame, stream, within=within)
        await self.until(lambda: self._block is None and frame.stream_id in self.requests)
        if self._first_settings is not None:
            await self.until(lambda: self.acks > 0 or self.eof, "an acknowledgement of our SETTINGS")
        return self.requests[frame.stream_id]

    async def exchange(self, client: trio_h2ws.Client) -> None:
        """One request and its response. After the first one, nothing of the connection's beginning is under way."""
        call = self.call(client.get, "/exchange")
        await self.respond(await self.expect_headers())
        await call.result()
        await self.settle()

    async def expect_end(self, stream: int | Request | PeerSocket, *, within: float = SECONDS) -> Request:
        """Wait for the client's END_STREAM: its request is complete."""
        request = self.requests[_id(stream)]
        await self.until(lambda: request.ended, f"END_STREAM on {request}", within=within)
        return request

    async def expect_data(
        self, stream: int | Request | PeerSocket, size: int = 1, *, within: float = SECONDS
    ) -> bytes:
        """Wait for at least `size` bytes of the client's body; returns them from its beginning."""
        request = self.requests[_id(stream)]
        await self.until(lambda: len(request.body) >= size, f"{size} bytes on {request}", within=within)
        return bytes(request.body)

    async def expect_rst(
        self, stream: int | Request | PeerSocket, code: int | None = None, *, within: float = SECONDS
    ) -> int:
        frame = await self.expect(hf.RstStreamFrame, stream, within=within)
        if code is not None:
            assert frame.error_code == code, f"RST_STREAM with {frame.error_code}, not {code}"
        return int(frame.error_code)

    async def expect_goaway(self, code: int | None = None, *, within: float = SECONDS) -> hf.GoAwayFrame:
        frame = await self.expect(hf.GoAwayFrame, within=within)
        if code is not None:
            assert frame.error_code == code, f"GOAWAY with {frame.error_code}, not {code}: {frame.additional_data!r}"
        return frame

    async def expect_ping(self, *, within: float = SECONDS) -> bytes:
        frame = await self.expect(hf.PingFrame, where=lambda frame: "ACK" not in frame.flags, within=within)
        return bytes(frame.opaque_data)

    async def expect_pong(self) -> bytes:
        frame = await self.expect(hf.PingFrame, where=lambda frame: "ACK" in frame.flags)
        return bytes(frame.opaque_data)

    async def expect_eof(self, *, within: float = SECONDS) -> None:
        """Wait until the client has closed the transport."""
        with trio.move_on_after(within):
            while not self.eof:
                await self._changed.park()
            return
        raise AssertionError(f"the client did not close within {within} s")

    async def settle(self) -> None:
        """Wait until both sides have done all they can for now (memory streams only)."""
        await trio.testing.wait_all_tasks_blocked(0.01)
        if self.crash is not None:
            raise self.crash

    def sent(self, kind: type[F], stream: int | Request | PeerSocket | None = None) -> list[F]:
        """All frames of a kind that the client has sent so far, taken or not."""
        wanted = None if stream is None else _id(stream)
        return [f for f in self.frames if isinstance(f, kind) and wanted in (None, f.stream_id)]

    # Sending.

    async def raw(self, data: bytes) -> None:
        """Send these bytes."""
        with trio.move_on_after(SECONDS):
            await self.connected.wait()
        assert self.stream is not None, f"no client has dialled within {SECONDS} s"
        async with self._sending:
            await self.stream.send_all(data)

    async def settings(self, values: Mapping[int, int] | None = None, *, ack: bool = False) -> None:
        await self.raw(ff.settings(values or {}, ack=ack))
        self._settings_sent = True
        await self._reply()

    async def headers(
        self,
        stream: int | Request,
        fields: ff.Fields | Mapping[str, str],
        *,
        end: bool = False,
    ) -> None:
        """HEADERS with these fields, unchecked."""
        await self.raw(ff.headers(_id(stream), ff.encode(self.encoder, fields), end=end))

    async def respond(
        self,
        stream: int | Request,
        status: int | str = 200,
        headers: ff.Fields | Mapping[str, str] = (),
        *,
        body: bytes = b"",
        end: bool = True,
        trailers: ff.Fields | Mapping[str, str] | None = None,
    ) -> None:
        """A response: its headers, its body if there is one, and its end unless `end=False`.

        The body is sent as the client's windows allow.
        """
        await self.headers(
            stream, [(":status", str(status)), *ff.pairs(headers)], end=end and not body and trailers is None
        )
        if body:
            await self.data(stream, body, end=end and trailers is None)
        if trailers is not None:
            await self.headers(stream, trailers, end=True)

    async def data(
        self,
        stream: int | Request | PeerSocket,
        content: bytes = b"",
        *,
        end: bool = False,
        size: int = ff.FRAME_SIZE,
        pad: int | None = None,
        within: float = SECONDS,
    ) -> None:
        """DATA, as the client's windows allow. Bytes sent with `raw` are not counted."""
        number = _id(stream)
        left = memoryview(content)
        extra = 0 if pad is None else pad + 1
        while True:
            if len(left) or extra:
                await self.until(
                    lambda: min(self.may_send, self.room(number)) > extra, f"credit on {number}", within=within
                )
            room = min(self.may_send, self.room(number), size + extra) - extra
            piece, left = bytes(left[:room]), left[room:]
            self.may_send -= len(piece) + extra
            self.may_send_on[number] = self.room(number) - len(piece) - extra
            await self.raw(ff.data(number, piece, end=end and not left, pad=pad))
            if not left:
                return

    def room(self, stream: int | Request | PeerSocket) -> int:
        """What the client lets us send on that stream now."""
        number = _id(stream)
        return self.may_send_on.setdefault(number, self.client_settings.get(ff.INITIAL_WINDOW_SIZE, 65535))

    async def rst(self, stream: int | Request | PeerSocket, code: int = ff.CANCEL) -> None:
        await self.raw(ff.rst(_id(stream), code))

    async def goaway(self, last: int | Request = 2**31 - 1, code: int = 0, debug: bytes = b"") -> None:
        await self.raw(ff.goaway(_id(last), code, debug))

    async def ping(self, payload: bytes = b"pingpong", *, ack: bool = False) -> None:
        await self.raw(ff.ping(payload, ack=ack))

    async def window_update(self, stream: int | Request | PeerSocket, increment: int) -> None:
        await self.raw(ff.window_update(_id(stream), increment))

    async def close(self) -> None:
        """Close the transport without GOAWAY or close_notify."""
        assert self.stream is not None
        await trio.aclose_forcefully(self.stream)

    # WebSockets, and whole conversations.

    async def accept_websocket(
        self, headers: ff.Fields | Mapping[str, str] = (), *, status: int = 200, within: float = SECONDS
    ) -> PeerSocket:
        """The next HEADERS must be an extended CONNECT (RFC 8441); accept it."""
        request = await self.expect_headers(within=within)
        assert request[":method"] == "CONNECT", request
        assert request[":protocol"] == "websocket", request
        await self.respond(request, status, headers, end=False)
        return PeerSocket(self, request)

    def start_soon(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run a part of the script in the background until the peer is closed. Its failure fails the test."""
        self.network.start_soon(function, *args)

    def call(self, function: Callable[..., Awaitable[T]], *args: Any, **options: Any) -> Call[T]:
        """Begin a call of the client; ask for its result or its error later."""
        call = Call(function, *args, **options)
        self.network.calls.append(call)
        self.start_soon(call.run)
        return call

    def serve(self) -> None:
        """From now on, answer each request with its path and body, and echo each WebSocket's messages."""
        self.start_soon(self._serve_all)

    async def _serve_all(self) -> None:
        while True:
            await self.until(
                lambda: self.eof or any(isinstance(f, hf.HeadersFrame) for f in self._pending), within=10**9
            )
            if self.eof:
                return
            request = await self.expect_headers()
            self.start_soon(self._answer, request)

    async def _answer(self, request: Request) -> None:
        try:
            if request.get(":protocol"):
                await self.respond(request, end=False)
                await PeerSocket(self, request).echo()
                return
            await self.until(lambda: request.ended or request.reset is not None, within=10**9)
            if request.reset is None:
                await self.respond(request, 200, body=request.path.encode() + bytes(request.body))
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the client has closed
        except AssertionError:
            if not self.eof:
                raise


class PeerSocket:
    """The server's end of one WebSocket."""

    def __init__(self, peer: Peer, request: Request) -> None:
        self.peer = peer
        self.request = request
        self.stream = request.stream
        self._at = 0

    def _frame(self) -> tuple[Frame, int] | None:
        """The next frame in the request's body, and where it ends."""
        rest = bytes(self.request.body[self._at :])
        if len(rest) < 2:
            return None
        masked, length, at = bool(rest[1] & 128), rest[1] & 127, 2
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(rest) < 2 + width:
                return None
            length, at = int.from_bytes(rest[2 : 2 + width], "big"), 2 + width
        key = rest[at : at + 4] if masked else b"\0\0\0\0"
        at += 4 if masked else 0
        if len(rest) < at + length:
            return None
        payload = bytes(byte ^ key[i & 3] for i, byte in enumerate(rest[at : at + length]))
        return Frame(rest[0], payload, masked), self._at + at + length

    async def expect_frame(self, opcode: int | None = None, *, within: float = SECONDS) -> Frame:
        """The client's next frame."""
        await self.peer.until(
            lambda: self._frame() is not None or self.request.reset is not None,
            f"a WebSocket frame on {self.stream}",
            within=within,
        )
        found = self._frame()
        assert found is not None, f"stream {self.stream} was reset with {self.request.reset}"
        frame, self._at = found
        assert frame.masked, "a client's frame without a mask"
        if opcode is not None:
            assert frame.opcode == opcode, frame
        return frame

    async def expect_message(self) -> str | bytes:
        frame = await self.expect_frame()
        assert frame.fin, frame
        assert frame.opcode in (ff.TEXT, ff.BINARY), frame
        return frame.payload.decode() if frame.opcode == ff.TEXT else frame.payload

    async def expect_close(self, code: int | None = 1000, *, within: float = SECONDS) -> Frame:
        frame = await self.expect_frame(ff.CLOSE, within=within)
        assert frame.code == code, f"Close with {frame.code}, not {code}: {frame.payload!r}"
        return frame

    async def expect_rst(self, code: int = ff.CANCEL, *, within: float = SECONDS) -> None:
        await self.peer.expect_rst(self, code, within=within)

    async def raw(self, data: bytes, *, end: bool = False) -> None:
        """Send these bytes as DATA, as the client's windows allow."""
        await self.peer.data(self, data, end=end)

    async def frame(self, opcode: int, payload: bytes | str = b"", **how: Any) -> None:
        await self.raw(ff.ws(opcode, payload, **how))

    async def send(self, message: str | bytes) -> None:
        await self.frame(ff.TEXT if isinstance(message, str) else ff.BINARY, message)

    async def close(self, code: int | None = 1000, reason: str = "", *, end: bool = False) -> None:
        await self.raw(ff.ws_close(code, reason), end=end)

    async def echo(self) -> None:
        """Send back every message until the client closes or resets."""
        while True:
            await self.peer.until(
                lambda: self._frame() is not None or self.request.reset is not None or self.peer.eof, within=10**9
            )
            if self._frame() is None:
                return
            frame = await self.expect_frame()
            if frame.opcode == ff.CLOSE:
                await self.frame(ff.CLOSE, frame.payload)
                return
            await self.frame(ff.PONG if frame.opcode == ff.PING else frame.opcode, frame.payload)


class Network:
    """What the clients dial: the n-th dial reaches the n-th peer."""

    def __init__(
        self,
        nursery: trio.Nursery,
        settings: Mapping[int, int] | None,
        transport: Literal["memory", "lockstep", "socket", "tls"],
    ) -> None:
        self._nursery = nursery
        self._settings = settings
        self._transport = transport
        self.peers: list[Peer] = []
        self._listener: trio.SocketListener | None = None
        self._contexts: tuple[ssl.SSLContext, ssl.SSLContext] | None = None
        self.failure: BaseException | None = None
        self.calls: list[Call[Any]] = []
        self.dials = 0
        self.url = "https://localhost" if transport == "tls" else "http://peer.test"
        self.before_dial: Callable[[], Awaitable[None]] | None = None

    async def prepare(self) -> None:
        if self._transport in ("socket", "tls"):
            (self._listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        if self._transport == "tls":
            import trustme

            authority = trustme.CA()
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.set_alpn_protocols(["h2"])
            authority.issue_cert("localhost").configure_cert(server)
            client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            authority.configure_trust(client)
            self._contexts = (server, client)

    def peer(self, index: int) -> Peer:
        while len(self.peers) <= index:
            self.peers.append(Peer(self, self._settings))
        return self.peers[index]

    def peer_after(self, peer: Peer) -> Peer:
        return self.peer(self.peers.index(peer) + 1)

    def open_client(self, **options: Any) -> Any:
        options.setdefault("base_url", self.url)
        options.setdefault("http2", "require")
        # Peers answer no Ping by themselves, and tests sleep for hours of virtual time.
        options.setdefault("timeouts", trio_h2ws.Timeouts(websocket_ping_interval=None))
        if self._contexts is not None:
            options.setdefault("ssl_context", self._contexts[1])
        return trio_h2ws.open_client(open_stream=self.open_stream, **options)

    async def open_stream(self, host: str, port: int) -> trio.abc.Stream:
        peer = self.peer(self.dials)
        self.dials += 1
        if self.before_dial is not None:
            await self.before_dial()
        ours: trio.abc.Stream
        theirs: trio.abc.Stream
        if self._listener is None:
            await trio.lowlevel.checkpoint()
            ours, theirs = memory_stream_pair() if self._transport == "memory" else lockstep_stream_pair()
        else:
            theirs = await trio.open_tcp_stream(*self._listener.socket.getsockname()[:2])
            ours = await self._listener.accept()
            if self._contexts is not None:
                ours = trio.SSLStream(ours, self._contexts[0], server_side=True, https_compatible=True)
        self._nursery.start_soon(peer.serve_stream, ours)
        return theirs

    def start_soon(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        self._nursery.start_soon(self._run, function, *args)

    async def _run(self, function: Callable[..., Awaitable[None]], *args: Any) -> None:
        try:
            await function(*args)
        except Exception as error:
            self.failure = self.failure or error

    async def aclose(self) -> None:
        for peer in self.peers:
            if peer.stream is not None:
                await trio.aclose_forcefully(peer.stream)
        if self._listener is not None:
            await self._listener.aclose()


@asynccontextmanager
async def scripted_peer(
    settings: Mapping[int, int] | None = READY,
    *,
    transport: Literal["memory", "lockstep", "socket", "tls"] = "memory",
) -> AsyncIterator[Peer]:
    """A peer for the next client. The test's own exception leaves the block unchanged.

    `transport`: "memory" takes any number of bytes; "lockstep" takes bytes only once those before have been read, so
    nothing is in flight; "socket" and "tls" are real sockets on the loopback interface.
    """
    manager = trio.open_nursery()
    nursery = await manager.__aenter__()
    network = Network(nursery, settings, transport)
    try:
        await network.prepare()
        yield network.peer(0)
        for peer in network.peers:
            if peer.crash is not None:
                raise peer.crash
        if network.failure is not None:
            raise network.failure
    finally:
        with trio.CancelScope(shield=True):
            await network.aclose()
        nursery.cancel_scope.cancel()
        await manager.__aexit__(None, None, None)
