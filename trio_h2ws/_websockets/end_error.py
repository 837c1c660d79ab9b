"""What ended a WebSocket, as the exception of each later call."""

from __future__ import annotations

from typing import Protocol

import trio

from .._errors import (
    H2WSError,
    LocalProtocolError,
    RequestNotProcessed,
    StreamReset,
    WebSocketClosed,
    WebSocketError,
    fresh,
)
from .._protocols.ws.receiver import FrameReceiver

HANDED_OVER = "handed over: the next turn of the loop gives the successor"
# These end one WebSocket and not its connection. "Not processed" is not true any more once it was accepted.
_OF_ONE_WEBSOCKET = (StreamReset, RequestNotProcessed, WebSocketError)


class EndedChannel(Protocol):
    receiver: FrameReceiver
    closed: bool
    error: H2WSError | None
    handed_over: bool

    @property
    def initiator(self) -> str | None: ...


def end_error(channel: EndedChannel) -> BaseException:
    """A new exception object. Only when the channel is over, or our Close was sent."""
    receiver = channel.receiver
    if channel.closed:
        return trio.ClosedResourceError("this WebSocket was closed here")
    if channel.handed_over:
        return WebSocketClosed(1000, HANDED_OVER, receiver.close_received, "local")
    if isinstance(channel.error, LocalProtocolError):  # a bug, which may have made the rest unreliable
        return fresh(channel.error)
    if receiver.close_received:
        return WebSocketClosed(receiver.close_code or 1005, receiver.close_reason, True, channel.initiator)
    if receiver.failure is not None:
        return WebSocketClosed(*receiver.failure, False, "local")
    if channel.error is not None and not isinstance(channel.error, _OF_ONE_WEBSOCKET):
        return fresh(channel.error)
    reason = str(channel.error) if isinstance(channel.error, WebSocketError) else ""  # why we have ended it
    closed = WebSocketClosed(1006, reason, False, channel.initiator)
    closed.__cause__ = channel.error
    return closed
