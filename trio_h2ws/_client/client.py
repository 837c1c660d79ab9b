"""Every verb of a client: its arguments are checked, and it is handed to the module that does it.

The client's nursery runs what is not the caller's own: readers and writers of connections, dials, uploads. None of
them raises into it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext
from typing import Unpack, cast

import trio

from .._connection.info import ConnectionInfo
from .._events import Events
from .._http.headers import HeaderTypes
from .._pool.dial import DialConfig, Dialer
from .._pool.pool import Pool
from .._pool.waiters import OnPhase
from .._protocols.ws.deflate import DeflateOptions
from .._protocols.ws.handshake import check_subprotocols, offer
from .._requests.dispatch import Dispatcher
from .._requests.prepare import HTTP2, Defaults, check_http2
from .._requests.response import Response
from .._util import PrivateConstructor, check_seconds
from .._websockets import log
from .._websockets.connecting import Connecting, check_rate
from .._websockets.fallback import Fallback
from .._websockets.group_opening import OnFailure, OnOpen, OpenGroup, check_functions, check_urls
from .._websockets.opening import Offer
from .._websockets.reconnecting import AtEachAttempt, Given, ReconnectingWebSocket
from .._websockets.recovery import Pauses, StopOn, check_codes
from .._websockets.websocket import WebSocket
from .options import (
    FROM_TIMEOUTS,
    ContentOptions,
    FromTimeouts,
    GroupOptions,
    Handler,
    HandshakeOptions,
    RequestOptions,
    WebSocketOptions,
    made_once,
    split_options,
)


class Client(metaclass=PrivateConstructor):
    """Requests and WebSockets, all of one origin on one HTTP/2 connection. Made by `open_client`.

    Share it between tasks. After the end of its block every call raises `trio.ClosedResourceError`.
    """

    def __init__(self, nursery: trio.Nursery, defaults: Defaults, dial: DialConfig, coalesce: bool) -> None:
        self._timeouts = dial.timeouts
        self._token = trio.lowlevel.current_trio_token()
        self._defaults = defaults
        self._pool = Pool(dial.limits, dial.timeouts, coalesce=coalesce)
        self._pool.start(Dialer(dial, nursery, self._pool.changed, self._pool.capacity.wait_for_file), nursery)
        self._events = Events(log.is_wanted, log.log)
        self._dispatcher = Dispatcher(self._pool, nursery, dial.limits, self._events)
        self._fallback = Fallback(self._dispatcher, dial.limits, dial.timeouts, self._events)

    @property
    def connections(self) -> list[ConnectionInfo]:
        """Snapshots of the connections that are open now."""
        return self._pool.snapshots()

    # Requests.

    async def request(
        self,
        method: str,
        url: str,
        *,
        http2: HTTP2 | None = None,
        follow_redirects: bool = True,
        **options: Unpack[ContentOptions],
    ) -> Response:
        """Send a request (RFC 9113, section 8.1) and wait for the whole response.

        - `url`: absolute, or appended to the client's `base_url`. `user:password@` is sent as Basic authentication
          (RFC 7617), and shown nowhere.
        - `headers`: a mapping or pairs of names and values; they replace the client's of the same name. With a Range
          (RFC 9110, section 14.2), no `accept-encoding` is sent unless you give one.
        - `content`: the body; default: none. Bytes-like; str, sent as UTF-8; a list or tuple of bytes; a binary file,
          blocking (it is read in a worker thread) or async, sent from its position to its end and not closed; an
          iterable or async iterable of bytes. An iterable, and a file that can't seek, has no content-length and
          can't be sent again (after a 307 or 308, or if the server did not process it); all others have and can.
        - `json`: instead of `content`, any value that JSON has.
        - `trailers`: fields that follow the body, given like `headers`. Over HTTP/1.1 the body is then sent in
          chunks, without a content-length (RFC 9112, section 6.2).
        - `http2`: "auto", "require" or "never", for this call. Default: the client's.
        - `follow_redirects`: true by default (RFC 9110, section 15.4); `response.history` are the redirects followed,
          each with the first 8 KiB of its body.

        Raises `ConnectFailed`, `ConnectionLost`, `RequestNotProcessed`, `StreamReset`, `RemoteProtocolError`,
        `LocalProtocolError` (more headers than the server allows), `LimitExceeded` (the body is larger than
        `Limits.max_body_size`: use `stream`), ValueError or TypeError for a bad call, before anything is dialled,
        and what your iterable or file raises. A 4xx or 5xx is a response like any other.

        Cancelled, it resets its stream (RST_STREAM, CANCEL) and leaves the connection intact. Over HTTP/1.1 its
        connection is closed. A read of a file in a thread can't be interrupted: the call returns when it has ended.
        """
        request = self._defaults.prepare_request(method, url, **options)
        mode = self._http2(http2)
        if request.body.file is None:
            return await self._dispatcher.request(request, mode, follow_redirects)
        async with request.using_file():
            return await self._dispatcher.request(request, mode, follow_redirects)

    async def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("GET", url, …)`"""
        return await self.request("GET", url, **options)

    async def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("HEAD", url, …)`"""
        return await self.request("HEAD", url, **options)

    async def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("POST", url, …)`"""
        return await self.request("POST", url, **options)

    async def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("PUT", url, …)`"""
        return await self.request("PUT", url, **options)

    async def patch(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("PATCH", url, …)`"""
        return await self.request("PATCH", url, **options)

    async def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("DELETE", url, …)`"""
        return await self.request("DELETE", url, **options)

    async def options(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        """`request("OPTIONS", url, …)`"""
        return await self.request("OPTIONS", url, **options)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        http2: HTTP2 | None = None,
        follow_redirects: bool = True,
        on_phase: OnPhase | None = None,
        **options: Unpack[ContentOptions],
    ) -> AsyncIterator[Response]:
        """Send a request and give the response as soon as its headers are here: `async for chunk in response`.

        The request's body is sent at the same time, so a streaming echo can't deadlock. Leaving the block before the
        end, in whatever way, resets the stream (RST_STREAM, CANCEL) and frees its slot. Arguments and errors are
        those of `request`; the size of the body is bounded only in `Response.read`.

        `on_phase(phase)` is called each time the call begins to wait for something else, so that a deadline can
        differ by phase: "queue" (for a stream or a connection to come free), "connect" (for a new connection), "head"
        (the request is being sent, and its response has not begun). Without a wait, there is no such phase. It must
        not block or await. What it raises, the call raises.
        """
        request = self._defaults.prepare_request(method, url, **options)
        mode = self._http2(http2)
        async with nullcontext() if request.body.file is None else request.using_file():
            stream, response = await self._dispatcher.start(request, mode, follow_redirects, on_phase)
            try:
                yield response
            except trio.Cancelled:
                stream.give_up()
                raise
            finally:
                stream.close()

    def _http2(self, http2: HTTP2 | None) -> HTTP2:
        if trio.lowlevel.current_trio_token() is not self._token:  # what it would wait for happens in another thread
            raise RuntimeError("this client belongs to another trio.run(): open a client in each of them")
        return self._defaults.http2 if http2 is None else check_http2(http2)

    # WebSockets.

    async def connect_websocket(
        self,
        url: str,
        *,
        subprotocols: Iterable[str] = (),
        headers: HeaderTypes = None,
        origin: str | None = None,
        compression: DeflateOptions | None = DeflateOptions(),  # noqa: B008  # it is frozen
        ping_interval: float | FromTimeouts | None = FROM_TIMEOUTS,
        ping_timeout: float | FromTimeouts | None = FROM_TIMEOUTS,
        http2: HTTP2 | None = None,
        follow_redirects: bool = False,
    ) -> WebSocket:
        """Open a WebSocket: with extended CONNECT (RFC 8441) on the origin's HTTP/2 connection if the server accepts
        that, else by Upgrade (RFC 6455) on a separate HTTP/1.1 connection.

        - `url`: `wss://` or `ws://` (or `https://`, `http://`), absolute or appended to the client's `base_url`.
        - `subprotocols`: what to offer, in the order of preference; `WebSocket.subprotocol` is the server's choice.
        - `headers`: a mapping or pairs; they replace the client's of the same name.
        - `origin`: the Origin header (RFC 6455, section 10.2); most servers do not need it.
        - `compression`: the permessage-deflate to offer (RFC 7692); None offers none. By default neither side keeps
          its context, so an idle WebSocket costs no memory for it, and messages below 256 bytes are not compressed.
        - `ping_interval`, `ping_timeout`: seconds, in place of `Timeouts.websocket_ping_interval` and
          `websocket_ping_timeout`. When nothing has come for the interval (None: never), a Ping is sent, and this
          WebSocket ends when nothing comes for the time-out (None: no bound) after the Ping has left. The time does
          not run while bytes wait because your code does not receive.
        - `http2`: "auto", "require" or "never", for this call. Default: the client's.
        - `follow_redirects`: whether a redirect is followed (never wss to ws); else it is a `WebSocketRejected`.

        Its connection belongs to the client; the WebSocket is an `AsyncResource`, and closing it is up to you.
        Raises `WebSocketRejected` (the server refused), `HTTP2NotAvailable` (with `http2="require"`: the origin does
        not accept WebSockets over HTTP/2), `WebSocketError` (no answer within `Timeouts.handshake` seconds),
        `RemoteProtocolError` (the answer agrees to something that was not offered), and what `request` raises.

        Cancelled, it resets the stream and leaves the connection intact.
        """
        mode = self._http2(http2)
        interval = self._timeouts.websocket_ping_interval if ping_interval is FROM_TIMEOUTS else ping_interval
        timeout = self._timeouts.websocket_ping_timeout if ping_timeout is FROM_TIMEOUTS else ping_timeout
        if ping_interval is not FROM_TIMEOUTS:
            check_seconds("ping_interval", ping_interval)
        if ping_timeout is not FROM_TIMEOUTS:
            check_seconds("ping_timeout", ping_timeout)
        names = check_subprotocols(subprotocols) if subprotocols != () else ()
        offered = offer(names, origin, compression)
        request = self._defaults.prepare_handshake(url, headers, offered)
        ws = await self._fallback.open_following(Offer(request, names, compression), mode, follow_redirects)
        if interval is not None:
            ws._channel.keep_alive(interval, timeout)
        return ws

    @asynccontextmanager
    async def websocket(self, url: str, **options: Unpack[WebSocketOptions]) -> AsyncIterator[WebSocket]:
        """`connect_websocket`, closed at the end of the block.

        A block that ends normally closes with 1000 and waits for the peer's Close, at most `Timeouts.close` seconds.
        One that raises sends 1011 and does not wait. A cancelled one resets the stream at once (RST_STREAM, CANCEL).
        """
        ws = await self.connect_websocket(url, **options)
        try:
            yield ws
        except BaseException as error:
            ws._leave(error)
            raise
        await ws.aclose()

    async def run_websocket(
        self,
        url: str,
        handler: Handler,
        *,
        task_status: trio.TaskStatus[WebSocket] = trio.TASK_STATUS_IGNORED,
        **options: Unpack[WebSocketOptions],
    ) -> None:
        """Open a WebSocket, run `await handler(ws)`, close it. For `await nursery.start(client.run_websocket, …)`,
        which gives the WebSocket when it is open. Options and errors are those of `connect_websocket`."""
        if not callable(handler):
            raise TypeError(f"handler must be an async function, not {type(handler).__name__}")
        async with self.websocket(url, **options) as ws:
            task_status.started(ws)
            await handler(ws)

    def open_websocket_group(
        self,
        urls: Iterable[str],
        *,
        reconnect: bool = False,
        max_connecting: int | None = None,
        rate: tuple[int, float] | None = None,
        on_open: OnOpen | None = None,
        on_failure: OnFailure | None = None,
        **options: Unpack[GroupOptions],
    ) -> OpenGroup:
        """Open many WebSockets at once, and receive from all of them in one loop:

            async with client.open_websocket_group(urls) as group:
                async for ws, message in group:
                    ...

        They are opened concurrently; if one can't be opened, the others are aborted and its error is raised. Leaving
        the block closes all of them.

        - `reconnect`: the block begins at once, and they are opened in the background. One that can't be opened, or
          ends, comes back as with `reconnecting_websocket`, and does not affect the others.
        - `max_connecting`: how many handshakes may be under way at once. Default: any number.
        - `rate`: `(count, seconds)`: so many handshakes begin in so many seconds at most.
        - `on_open(ws)`: a function, sync or async, that is called for each WebSocket when it is open, before its
          messages are received, to subscribe for example.
        - `on_failure(url, error)`: called for a URL that was added or comes back, when it is given up; without it,
          `receive` raises that error.

        Options and errors are those of `connect_websocket`, and with `reconnect` also those of
        `reconnecting_websocket`; see `WebSocketGroup`.
        """
        check_rate(max_connecting, rate)
        check_functions(on_open=on_open, on_failure=on_failure)
        checked = check_urls(urls, self._defaults.url)
        again, plain, headers = split_options(options)
        if again and not reconnect:
            raise TypeError(f"{next(iter(again))} is an option of reconnect=True")

        async def connect(url: str) -> WebSocket:
            return await self.connect_websocket(url, headers=headers, **plain)

        def keep(url: str, connecting: Connecting) -> ReconnectingWebSocket:
            return self._reconnecting(url, headers, connecting, plain, **again)

        if reconnect:
            self._reconnecting(lambda: "", headers, None, plain, **again)  # raises for bad options
        return OpenGroup(
            checked,
            connect,
            keep if reconnect else None,
            self._defaults.url,
            self._pool,
            Connecting(max_connecting, rate),
            on_open,
            on_failure,
        )

    def reconnecting_websocket(
        self,
        url: str | AtEachAttempt[str],
        *,
        headers: HeaderTypes | AtEachAttempt[HeaderTypes] = None,
        first_delay: float = 1.0,
        first_backoff: float = 0.25,
        max_backoff: float = 30.0,
        handover: float = 0.5,
        stop_on: StopOn = (),
        **options: Unpack[HandshakeOptions],
    ) -> ReconnectingWebSocket:
        """A WebSocket that comes back: `async for ws in client.reconnecting_websocket(url)`.

        - `url`, `headers`: as in `connect_websocket`, or a function, sync or async, that gives them at each attempt:
          for tokens that can be used once, and for resuming. It may take one argument: this object, with
          `last_error` and `attempts`. What it raises ends the loop, unless it is an `H2WSError`.
        - `first_delay`: the first attempt after an end that was not planned waits a random part of so many seconds.
        - `first_backoff`, `max_backoff`: seconds, of the pauses after failed attempts.
        - `handover`: seconds for which a WebSocket on a draining connection is used when its successor is open.
        - `stop_on`: codes of Close after which the loop ends with that `WebSocketClosed`; or a function of the error
          that says whether it is final.

        Other options are those of `connect_websocket`; see `ReconnectingWebSocket` for when it tries again and when
        it gives up.
        """
        return self._reconnecting(
            url, headers, None, options, first_delay, first_backoff, max_backoff, handover, stop_on
        )

    def _reconnecting(
        self,
        url: str | AtEachAttempt[str],
        headers: HeaderTypes | AtEachAttempt[HeaderTypes],
        connecting: Connecting | None,
        options: HandshakeOptions,
        first_delay: float = 1.0,
        first_backoff: float = 0.25,
        max_backoff: float = 30.0,
        handover: float = 0.5,
        stop_on: StopOn = (),
    ) -> ReconnectingWebSocket:
        """`connecting`: the bound on the handshakes of a group."""
        pauses = Pauses(first_delay, first_backoff, max_backoff)
        if handover != 0:
            check_seconds("handover", handover, optional=False)
        if not callable(stop_on):
            stop_on = check_codes(stop_on)
        urls: Given[str] = Given(url, "url")
        if urls.is_fixed:
            self._defaults.url(cast("str", url))
        fields: Given[HeaderTypes] = Given(headers, "headers")
        fixed: WebSocketOptions = {**options, "headers": None if callable(headers) else headers}
        fixed = made_once(fixed)

        async def connect(sockets: ReconnectingWebSocket) -> WebSocket:
            target = await urls.get(sockets)
            sockets._on_attempt(str(self._defaults.url(target).origin))
            given = fixed
            if not fields.is_fixed:
                given = fixed.copy()
                given["headers"] = await fields.get(sockets)
            if connecting is None:
                return await self.connect_websocket(target, **given)
            async with connecting.place():
                return await self.connect_websocket(target, **given)

        sockets: ReconnectingWebSocket = ReconnectingWebSocket._create(
            connect, self._pool, self._events, pauses, handover, stop_on
        )
        return sockets
