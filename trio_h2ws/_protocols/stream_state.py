"""One stream as the engine sees it: its state, its windows, its bytes that wait to leave.

It is passive: no task, no lock, no await. The engine calls the `on_*` hooks while it handles a frame; the subclass in
`_connection/stream.py` implements them, and wakes the tasks that wait. A hook must not raise; if it does, that is a
bug, and ends this stream alone (`guard.py`).

States (RFC 9113, section 5.1) are three flags:

    local_ended   remote_ended   closed
    no            no             no       open
    yes           no             no       half-closed (local)
    no            yes            no       half-closed (remote)
    any           any            yes      closed: in no table, without a slot, and it stays so

    from                   event                                      to                     hook
    open                   our END_STREAM leaves                      half-closed (local)
    open                   the peer's END_STREAM comes                half-closed (remote)   on_end
    half-closed (local)    the peer's END_STREAM comes                closed                 on_end
    half-closed (remote)   our END_STREAM leaves                      closed
    all but closed         we reset it, because the peer broke        closed                 on_error
                           a rule or a bound
    all but closed         we reset it for any other reason           closed                 none
    open,                  the peer's RST_STREAM or GOAWAY,           closed                 on_error
    half-closed (local)    or the end of the connection
    half-closed (remote)   the same: the response is complete, and    closed                 on_drained
                           only the rest of the request is lost

What the peer sends before its END_STREAM has two phases. While `responded` is false: any number of 1xx
(`on_informational`), then the final response (`on_response`), which makes it true. After that: `on_data`.

What we send waits in `out`. `end_queued` says that no more will be added:

    out         end_queued
    empty       no           nothing to send now
    not empty   no           bytes wait for their turn, or for credit
    not empty   yes          the same, and END_STREAM leaves with the last of them
    empty       yes          END_STREAM has left: `local_ended` is true

`queued` says that the stream is in the send queue's ring. It has joined the ring because it had bytes and credit; a
stream without credit is not in it. One that was closed in the ring stays there until its turn comes.
"""

from __future__ import annotations

from collections import deque

from .._errors import H2WSError
from .._http.headers import RawFields
from .receive_window import ReceiveWindow

# Shared by all streams that hold nothing, and never changed: an empty deque takes 0.7 KB, and most streams are idle.
_NOTHING: deque[bytes | memoryview] = deque()


class StreamState:
    __slots__ = (
        "answered",
        "closed",
        "content_left",
        "end_queued",
        "id",
        "informational",
        "is_connect",
        "is_head",
        "is_open_websocket",
        "local_ended",
        "may_be_truncated",
        "out",
        "out_size",
        "queued",
        "receive_window",
        "remote_ended",
        "responded",
        "reused",
        "send_window",
        "sent_size",
        "trailers",
    )

    # Set by Engine.open, with the id.
    receive_window: ReceiveWindow
    reused: bool  # the connection had answered another request before this one was sent

    def __init__(self, *, is_head: bool = False, is_connect: bool = False) -> None:
        self.id = 0
        self.is_head = is_head
        self.is_connect = is_connect
        self.is_open_websocket = False  # its handshake is done
        self.answered = False  # something of a response has come, if only a byte
        self.responded = False  # the final (not 1xx) response has come
        self.local_ended = False
        self.remote_ended = False
        self.may_be_truncated = False  # the end of the body was not marked
        self.closed = False
        self.informational = 0
        self.content_left: int | None = None  # bytes that content-length still promises
        self.send_window = 0
        self.out: deque[bytes | memoryview] = _NOTHING
        self.out_size = 0
        self.sent_size = 0  # bytes that have left `out`
        self.end_queued = False  # END_STREAM follows the bytes in `out`
        self.trailers: RawFields | None = None
        self.queued = False  # it is in the send queue's ring

    def queue(self, data: bytes | memoryview) -> None:
        """Add to the bytes that wait to leave."""
        if self.out is _NOTHING:
            self.out = deque()
        self.out.append(data)
        self.out_size += len(data)

    def on_informational(self, status: int, fields: RawFields) -> None:
        """A 1xx response."""
        raise NotImplementedError

    def on_response(self, status: int, fields: RawFields) -> None:
        """The final response's header list, without pseudo-headers."""
        raise NotImplementedError

    def on_data(self, data: bytes) -> None:
        """Bytes of the body. The peer gets credit for them when `Engine.consume` is called."""
        raise NotImplementedError

    def on_end(self, trailers: RawFields | None) -> None:
        """The peer has ended its half with END_STREAM."""
        raise NotImplementedError

    def on_error(self, error: H2WSError) -> None:
        """The stream was ended early, and is closed already: reset, broken, or its connection was lost."""
        raise NotImplementedError

    def on_drained(self) -> None:
        """Bytes of `out` have left, or never will."""
        raise NotImplementedError

    def wake_all(self, error: H2WSError) -> None:
        """A hook has raised, and the stream is closed: every task that waits for it gets `error`. It does not rely on
        the hooks, and may be called in any state."""
        raise NotImplementedError
