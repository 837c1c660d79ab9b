"""Whether a request is sent again after one try of it failed: one decision for all reasons, and one budget (pure).

    what became of the try                        sent again, if the body can be
    NOT_PROCESSED: REFUSED_STREAM, or it could    after a pause that grows; the first retry at once
    not be sent
    SHUT_OUT: a GOAWAY below it                   the same
    CUT_OFF: the same, with an error code         at once, on a new connection
    MISDIRECTED: 421 on another origin's          at once, on a connection of its origin
    connection
    HTTP1_REQUIRED, and it was not processed      at once, over HTTP/1.1
    NO_WEBSOCKET: a handshake that HTTP/2         at once, over HTTP/1.1
    failed to carry (`_websockets/fallback.py`)
    TERMINATED_FOR_HTTP1: the connection ended    at once, over HTTP/1.1, if it is repeatable and unanswered
    with GOAWAY(HTTP_1_1_REQUIRED)
    LOST: the connection ended, and the server    at once, on a new connection, if it is repeatable and
    did not say what it has processed             unanswered, and the connection had answered others before
    CALM_NOT_PROCESSED: a GOAWAY below it that    after a pause that grows, when the origin's gate lets it in
    asks for calm (ENHANCE_YOUR_CALM)             (`_pool/admission.py`)
    CALM: reset with ENHANCE_YOUR_CALM            the same, if it is repeatable and unanswered
    AFTER_CALM: lost in any other way, when the   the same, if it is repeatable; in the middle of the body only once
    server had just asked for calm
    SILENT: the connection has not answered       at once, on another connection, if it is repeatable and
    a PING (`_connection/keepalive.py`)           unanswered
    TERMINATED: the connection ended after a      at once, on a new connection, if it is repeatable and
    GOAWAY that promised to process the request   not in the middle of the body
    FINAL: anything else                          never

Repeatable: processing it twice does no harm (an idempotent method, RFC 9110, section 9.2.2; the handshake of a
WebSocket). Unanswered: not a byte of its response has come. A connection that was new, and ended, is not worth
another try: most likely the next one ends as well. One that was used before may have been closed while it was idle,
or just before the request arrived. After a GOAWAY the server has said that it went on purpose. There are servers that
drop what is under way with it, whatever they have promised: a response that is due, its body, or only its END_STREAM.
The caller has seen nothing of that: a call that is given its response before the body (`Client.stream`) is over then.

Alone. A request may be what ends its connection: HAProxy and nginx do that if its header list is too large for them.
After the first end it goes to the connection to which its neighbours go. After the second, or at once if it was the
newest on its connection and has a large header list, it goes to a connection that carries nothing else, so that it
can't end another one for others. If that ends as well, it is not sent again. (A GOAWAY that is not an error may come
for any other reason. After that a request that was shut out is sent again, but alone, if it had met such an end
before.) HTTP/1.1 carries nothing else anyway: there a lost request is sent again once. Handshakes of WebSockets never
go alone: where they fail over HTTP/2, they are tried over HTTP/1.1.

The budget (`Limits.max_retries`) counts every retry of one call, whatever its reason, the redirects that it follows
included. So a call sends at most `1 + max_redirects + max_retries` requests, and one more if it was under way when
the server first asked for calm: the retry after that is not counted.
"""

from __future__ import annotations

import random
from enum import Enum
from typing import NamedTuple

from .._errors import (
    ConnectionLost,
    ConnectionSilent,
    ConnectionTerminated,
    ConnectionTimedOut,
    ErrorCode,
    H2WSError,
    HTTP1Required,
    HTTP2NotAvailable,
    RequestNotProcessed,
    StreamReset,
)
from .._http.backoff import backoff

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 2.0  # seconds


class Failure(Enum):
    """What became of one try."""

    NOT_PROCESSED = "not processed"
    MISDIRECTED = "misdirected"
    HTTP1_REQUIRED = "HTTP/1.1 required"
    NO_WEBSOCKET = "no WebSocket over HTTP/2"
    TERMINATED_FOR_HTTP1 = "terminated for HTTP/1.1"
    SHUT_OUT = "shut out"
    CUT_OFF = "cut off"
    CALM_NOT_PROCESSED = "calm, not processed"
    CALM = "calm"
    AFTER_CALM = "after a call for calm"
    LOST = "connection lost"
    SILENT = "connection silent"
    TERMINATED = "connection terminated"
    FINAL = "final"


class Attempt(NamedTuple):
    """One try that failed, and what was tried before it."""

    failure: Failure
    repeatable: bool
    """Processing the request twice does no harm."""
    replayable: bool
    """Its body can be sent again from the beginning."""
    reused: bool = False
    """The connection had answered another request before."""
    answered: bool = False
    """A byte of the response has come."""
    in_body: bool = False
    """A part of its body has come, and not all of it."""
    retries: int = 0
    """How often the call was sent again before, for any reason."""
    losses: int = 0
    """How many connections have ended under this request before, without a word on whether it was processed."""
    ends: int = 0
    """How many connections have ended under this request before, in any way."""
    refusals: int = 0
    """How often it was refused on a connection that stayed open, this try included."""
    multiplexed: bool = False
    """It was sent over HTTP/2, where others share the connection."""
    suspect: bool = False
    """It was the newest on its connection, and has a large header list."""
    alone: bool = False
    """The connection carried nothing else."""
    free: bool = False
    """The next retry is not counted: the server asked for calm, and had not done so when this try was sent."""


class Wish(NamedTuple):
    """What a caller wants otherwise than the table says."""

    even_if_new: bool = False
    """One more try after LOST, even if the connection was new."""
    http1: bool = True
    """It may be sent over HTTP/1.1."""
    alone: bool = True
    """It may be sent on a connection that carries nothing else."""
    max_refusals: int | None = None
    """No further try after that many refusals on connections that stay open."""


class Action(Enum):
    NO = "no"
    AGAIN = "again"
    ALONE = "again, on a connection that carries nothing else"
    OVER_HTTP1 = "again, over HTTP/1.1"


class Decision(NamedTuple):
    action: Action
    seconds: float = 0.0
    """To wait before."""


_CALLS_FOR_CALM = frozenset((Failure.CALM_NOT_PROCESSED, Failure.CALM, Failure.AFTER_CALM))
# The connection has ended under the request, or has shut it out and ends soon.
_ENDS = frozenset((Failure.SHUT_OUT, Failure.CUT_OFF, Failure.LOST, Failure.TERMINATED))
_ENDS |= {Failure.CALM_NOT_PROCESSED, Failure.AFTER_CALM}
_NO = Decision(Action.NO)
_AT_ONCE = Decision(Action.AGAIN)
_OVER_HTTP1 = Decision(Action.OVER_HTTP1)
DEFAULT = Wish()


def decide(attempt: Attempt, max_retries: int, wish: Wish = DEFAULT, jitter: float = 0.0) -> Decision:
    """The table at the top of this module. `jitter` is a random number from 0 to 1."""
    failure = attempt.failure
    if failure is Failure.FINAL or not attempt.replayable:
        return _NO
    if attempt.retries >= max_retries and not (attempt.free and max_retries):
        return _NO
    decision = _by_table(attempt, wish, jitter)
    if decision.action is Action.AGAIN and failure in _ENDS and attempt.multiplexed and wish.alone:
        return _where(attempt, decision)
    return decision


def _by_table(attempt: Attempt, wish: Wish, jitter: float) -> Decision:
    failure = attempt.failure
    goes_alone = attempt.multiplexed and wish.alone
    if failure is Failure.CUT_OFF and goes_alone:
        return _AT_ONCE
    if failure in (Failure.NOT_PROCESSED, Failure.SHUT_OUT, Failure.CUT_OFF):
        if wish.max_refusals is not None and attempt.refusals >= wish.max_refusals:
            return _NO
        return Decision(Action.AGAIN, backoff(attempt.retries, _FIRST_PAUSE, _LONGEST_PAUSE, jitter))
    if failure is Failure.MISDIRECTED:
        return _AT_ONCE
    if failure in (Failure.HTTP1_REQUIRED, Failure.NO_WEBSOCKET):
        return _OVER_HTTP1 if wish.http1 else _NO
    calm = Decision(Action.AGAIN, backoff(attempt.retries + 1, _FIRST_PAUSE / 2, _LONGEST_PAUSE, jitter))
    if failure is Failure.CALM_NOT_PROCESSED:
        return calm
    if not attempt.repeatable:
        return _NO
    if failure is Failure.AFTER_CALM:
        return _NO if attempt.in_body and attempt.losses else calm
    again = _AT_ONCE if goes_alone or not attempt.losses else _NO
    if failure is Failure.TERMINATED:
        return _NO if attempt.in_body else again
    if attempt.answered:
        return _NO
    if failure is Failure.SILENT:
        return _AT_ONCE
    if failure is Failure.CALM:
        return calm
    if failure is Failure.TERMINATED_FOR_HTTP1:
        return _OVER_HTTP1 if wish.http1 else _NO
    return again if attempt.reused or attempt.ends or wish.even_if_new else _NO


def _where(attempt: Attempt, decision: Decision) -> Decision:
    """A connection has ended under it. It goes to the next one, or alone, or nowhere."""
    failure = attempt.failure
    if attempt.alone and (attempt.suspect or failure is not Failure.SHUT_OUT):
        return _NO
    if attempt.suspect or (attempt.ends and failure not in _CALLS_FOR_CALM):
        return decision._replace(action=Action.ALONE)
    return decision


_SHUT_OUT: dict[int | None, Failure] = {  # by the code of the GOAWAY
    None: Failure.NOT_PROCESSED,
    ErrorCode.NO_ERROR: Failure.SHUT_OUT,
    ErrorCode.ENHANCE_YOUR_CALM: Failure.CALM_NOT_PROCESSED,
}


def asks_for_calm(error: H2WSError) -> bool:
    """Whether the server said ENHANCE_YOUR_CALM."""
    says_code = isinstance(error, (StreamReset, ConnectionTerminated, RequestNotProcessed))
    return says_code and getattr(error, "error_code", None) == ErrorCode.ENHANCE_YOUR_CALM


def failure_of(error: H2WSError, calm: bool = False) -> Failure:
    """What an error of one try says about it. `calm`: the server has just asked for calm on the same connection."""
    if isinstance(error, HTTP1Required):
        return Failure.HTTP1_REQUIRED
    if isinstance(error, RequestNotProcessed):
        return _SHUT_OUT.get(error.error_code, Failure.CUT_OFF)
    if isinstance(error, StreamReset):
        return Failure.CALM if asks_for_calm(error) else Failure.AFTER_CALM if calm else Failure.FINAL
    if asks_for_calm(error):
        return Failure.AFTER_CALM
    if isinstance(error, HTTP2NotAvailable):  # "refused": HTTP/2 with prior knowledge, answered in HTTP/1.1
        return Failure.HTTP1_REQUIRED if error.reason == "refused" else Failure.FINAL
    if isinstance(error, ConnectionTerminated):
        for_http1 = error.error_code == ErrorCode.HTTP_1_1_REQUIRED
        return Failure.TERMINATED_FOR_HTTP1 if for_http1 else Failure.AFTER_CALM if calm else Failure.TERMINATED
    if isinstance(error, ConnectionSilent):
        return Failure.SILENT
    # After ConnectionTimedOut the caller has waited for long already; the next call finds a new connection.
    if isinstance(error, ConnectionLost) and not isinstance(error, ConnectionTimedOut):
        return Failure.AFTER_CALM if calm else Failure.LOST
    return Failure.FINAL


def ended_a_connection(failure: Failure) -> bool:
    """The connection has ended under the request, or has shut it out."""
    return failure in _ENDS


class Budget:
    """The retries of one call: how many are left, and what has happened so far."""

    __slots__ = ("_calmed", "_ends", "_losses", "_max_retries", "_refusals", "_retries", "may_have_been_processed")

    def __init__(self, max_retries: int) -> None:
        self._max_retries = max_retries
        self._calmed = False
        self._retries = 0
        self._losses = 0
        self._ends = 0
        self._refusals = 0
        self.may_have_been_processed = False
        """The server may have acted on an earlier try, or has answered an earlier request of the call."""

    def decide(
        self,
        failure: Failure,
        *,
        repeatable: bool = False,
        replayable: bool = True,
        reused: bool = False,
        answered: bool = False,
        in_body: bool = False,
        refused_while_open: bool = False,
        bounded: bool = False,
        multiplexed: bool = False,
        suspect: bool = False,
        alone: bool = False,
        wish: Wish = DEFAULT,
    ) -> Decision:
        """`decide` for the latest try, which is counted. `bounded`: it was sent after the server asked for calm."""
        self._refusals += refused_while_open and failure is Failure.NOT_PROCESSED
        is_calm = failure in _CALLS_FOR_CALM
        free = is_calm and not (bounded or self._calmed)
        self._calmed |= is_calm
        counts = (self._retries, self._losses, self._ends, self._refusals)
        attempt = Attempt(
            *(failure, repeatable, replayable, reused, answered, in_body, *counts), multiplexed, suspect, alone, free
        )
        decision = decide(attempt, self._max_retries, wish, random.random())
        self._losses += failure in (Failure.LOST, Failure.TERMINATED) or (is_calm and in_body)
        self._ends += failure in _ENDS
        self._retries += decision.action is not Action.NO and not free
        return decision

    @property
    def is_left(self) -> bool:
        """There is a retry left."""
        return self._retries < self._max_retries

    def allows(self, failure: Failure, *, replayable: bool) -> bool:
        """Whether `decide` will send the request again after this failure. It is not counted."""
        attempt = Attempt(failure, False, replayable, retries=self._retries)
        return decide(attempt, self._max_retries).action is not Action.NO

    def note(self, error: H2WSError) -> None:
        """The latest try failed with `error`, which the caller sees if it is the last one: then it speaks for all."""
        if self.may_have_been_processed:
            error.may_have_been_processed = True
        elif error.may_have_been_processed:
            self.may_have_been_processed = True

    def next_request(self) -> None:
        """A redirect is followed: another request, of the same call."""
        self._losses = self._ends = self._refusals = 0
        self.may_have_been_processed = True
