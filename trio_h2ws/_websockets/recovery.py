"""When a WebSocket that has ended, or could not be opened, is tried again, and when not (pure).

what happened                                       the next attempt
the connection is draining (GOAWAY), or the         at once
server closed with 1000, 1001 or 1012
it ended in any other way                           after a random part of `first_delay` (RFC 6455, 7.2.3): a server
                                                    that has lost thousands must not get all of them at once
an attempt failed                                   after a pause that doubles, with jitter
it ended, or began to drain, soon after it was      the same: else a server that drains each new connection, or
opened                                              closes each new WebSocket, would be asked without end
429 or 503 with Retry-After                         not before that, within reason
what another attempt can't change, or the caller    never: the loop raises the error
names as final
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from .._errors import (
    ConnectFailed,
    H2WSError,
    HTTP2NotAvailable,
    LimitExceeded,
    LocalProtocolError,
    RemoteProtocolError,
    WebSocketClosed,
    WebSocketRejected,
)
from .._http.backoff import backoff
from .._network.tls import NotTLS
from .._util import check_seconds

StopOn: TypeAlias = "Iterable[int] | Callable[[H2WSError], bool]"

_MAY_CHANGE = frozenset((408, 421, 425, 429))  # refusals below 500 after which another try may succeed
_PLANNED = frozenset((1000, 1001, 1012))  # closed on purpose: RFC 6455, section 7.4.1; 1012 is "service restart"
_LIVED = 10.0  # seconds: one that lived longer was a success
_LIVED_UNTIL_DRAINING = 1.0  # the same, if its server has only restarted
MAX_RETRY_AFTER = 300.0  # seconds


def is_final(error: H2WSError) -> bool:
    """Whether another attempt can't change it."""
    if isinstance(error, WebSocketRejected):
        return error.status < 500 and error.status not in _MAY_CHANGE
    if isinstance(error, (HTTP2NotAvailable, LimitExceeded, LocalProtocolError)):
        return True
    if isinstance(error, RemoteProtocolError):
        return _speaks_otherwise(error)
    if isinstance(error, ConnectFailed):
        cause = error.__cause__
        return isinstance(cause, (ssl.SSLCertVerificationError, NotTLS)) or _speaks_otherwise(cause)
    return False


def _speaks_otherwise(error: BaseException | None) -> bool:
    """The server answers a handshake with what was not offered, or does not speak HTTP."""
    return isinstance(error, RemoteProtocolError) and (error.of_handshake or not error.may_have_been_processed)


def check_codes(codes: Iterable[int]) -> frozenset[int]:
    """Raises TypeError or ValueError for what is not a close code."""
    if isinstance(codes, (str, bytes, int)) or not isinstance(codes, Iterable):
        raise TypeError(f"stop_on must be close codes, or a function of an error, not {type(codes).__name__}")
    found = frozenset(codes)
    for code in found:
        if isinstance(code, bool) or not isinstance(code, int):
            raise TypeError(f"stop_on: a close code is an int, not {type(code).__name__}")
        if not 1000 <= code < 5000:
            raise ValueError(f"stop_on: {code} is not a close code: they are 1000 to 4999 (RFC 6455, section 7.4)")
    return found


def stops(stop_on: StopOn, error: H2WSError) -> bool:
    """Whether the caller has named it as final."""
    if callable(stop_on):
        return bool(stop_on(error))
    return isinstance(error, WebSocketClosed) and error.code in stop_on  # it is a frozenset: see check_codes


@dataclass(slots=True)
class Pauses:
    """How long one WebSocket waits before each attempt."""

    first_delay: float
    first_backoff: float
    max_backoff: float
    failures: int = 0

    def __post_init__(self) -> None:
        """Raises TypeError or ValueError."""
        check_seconds("first_backoff", self.first_backoff, optional=False)
        check_seconds("max_backoff", self.max_backoff, optional=False)
        if self.first_backoff > self.max_backoff:
            raise ValueError("first_backoff must not be greater than max_backoff")
        if self.first_delay != 0:
            check_seconds("first_delay", self.first_delay, optional=False)

    def after_end(self, error: H2WSError | None, lived: float, jitter: float) -> float:
        """It has ended with this error; None: by the caller, who wants another one."""
        if lived > _LIVED:
            self.failures = 0
        pause = self._next(jitter) if self.failures else 0.0
        self.failures += 1
        planned = error is None or (isinstance(error, WebSocketClosed) and error.code in _PLANNED)
        return pause if planned else max(pause, self.first_delay * jitter)

    def after_draining(self, lived: float, jitter: float) -> float:
        """Its connection began to drain so many seconds after it was opened."""
        if lived > _LIVED_UNTIL_DRAINING:
            self.failures = 0
            return 0.0
        self.failures += 1
        return self._next(jitter)

    def after_failure(self, error: H2WSError, jitter: float) -> float:
        """An attempt failed."""
        self.failures += 1
        pause = self._next(jitter)
        wanted = error.retry_after if isinstance(error, WebSocketRejected) and error.status in (429, 503) else None
        return pause if wanted is None else max(pause, min(wanted, MAX_RETRY_AFTER))

    def _next(self, jitter: float) -> float:
        return backoff(self.failures, self.first_backoff, self.max_backoff, jitter)
