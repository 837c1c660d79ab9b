"""Which try is followed by another one: the table of `retries.py`, row by row."""

from __future__ import annotations

from typing import Any

import pytest

import trio_h2ws
from trio_h2ws._errors import HTTP1Required
from trio_h2ws._requests.retries import Action, Attempt, Budget, Failure, Wish, decide, failure_of

NO, AGAIN, ALONE, OVER_HTTP1 = Action.NO, Action.AGAIN, Action.ALONE, Action.OVER_HTTP1
ENDS = [Failure.SHUT_OUT, Failure.CUT_OFF, Failure.LOST, Failure.TERMINATED]
CALM_ENDS = [Failure.CALM_NOT_PROCESSED, Failure.AFTER_CALM]
EAGER = Wish(even_if_new=True)
HTTP2_ALONE = Wish(http1=False)
FEW = Wish(max_refusals=2)
MOVES = [Failure.HTTP1_REQUIRED, Failure.NO_WEBSOCKET, Failure.TERMINATED_FOR_HTTP1]


def attempt(failure: Failure, **facts: Any) -> Attempt:
    """A GET of which nothing came back, on a connection that was used before."""
    return Attempt(failure, **({"repeatable": True, "replayable": True, "reused": True} | facts))


def shut_out_with(code: int) -> trio_h2ws.RequestNotProcessed:
    """The error of a request above the last stream id of a GOAWAY."""
    error = trio_h2ws.RequestNotProcessed("GOAWAY")
    error.error_code = code
    return error


@pytest.mark.parametrize(
    ("failure", "facts", "wish", "action"),
    [
        (Failure.NOT_PROCESSED, {}, Wish(), AGAIN),
        (Failure.NOT_PROCESSED, {"repeatable": False}, Wish(), AGAIN),
        (Failure.NOT_PROCESSED, {"reused": False}, Wish(), AGAIN),
        (Failure.NOT_PROCESSED, {"refusals": 1}, FEW, AGAIN),
        (Failure.NOT_PROCESSED, {"refusals": 2}, FEW, NO),
        (Failure.NOT_PROCESSED, {"refusals": 2}, Wish(), AGAIN),
        (Failure.MISDIRECTED, {}, Wish(), AGAIN),
        (Failure.MISDIRECTED, {"repeatable": False, "answered": True}, Wish(), AGAIN),
        (Failure.HTTP1_REQUIRED, {}, Wish(), OVER_HTTP1),
        (Failure.HTTP1_REQUIRED, {"repeatable": False}, Wish(), OVER_HTTP1),
        (Failure.HTTP1_REQUIRED, {}, HTTP2_ALONE, NO),
        (Failure.NO_WEBSOCKET, {}, Wish(), OVER_HTTP1),
        (Failure.TERMINATED_FOR_HTTP1, {}, Wish(), OVER_HTTP1),
        (Failure.TERMINATED_FOR_HTTP1, {}, HTTP2_ALONE, NO),
        (Failure.TERMINATED_FOR_HTTP1, {"repeatable": False}, Wish(), NO),
        (Failure.TERMINATED_FOR_HTTP1, {"answered": True}, Wish(), NO),
        (Failure.LOST, {}, Wish(), AGAIN),
        (Failure.LOST, {"repeatable": False}, Wish(), NO),
        (Failure.LOST, {"repeatable": False}, EAGER, NO),
        (Failure.LOST, {"answered": True}, Wish(), NO),
        (Failure.LOST, {"answered": True}, EAGER, NO),
        (Failure.LOST, {"reused": False}, Wish(), NO),
        (Failure.LOST, {"reused": False}, EAGER, AGAIN),
        (Failure.LOST, {"losses": 1}, Wish(), NO),
        (Failure.LOST, {"losses": 1}, EAGER, NO),
        (Failure.LOST, {"retries": 3}, Wish(), AGAIN),
        (Failure.TERMINATED, {}, Wish(), AGAIN),
        (Failure.TERMINATED, {"reused": False}, Wish(), AGAIN),
        (Failure.TERMINATED, {"answered": True}, Wish(), AGAIN),
        (Failure.TERMINATED, {"answered": True, "in_body": True}, Wish(), NO),
        (Failure.TERMINATED, {"repeatable": False}, EAGER, NO),
        (Failure.TERMINATED, {"losses": 1}, EAGER, NO),
        (Failure.CALM, {}, Wish(), AGAIN),
        (Failure.CALM, {"reused": False}, Wish(), AGAIN),
        (Failure.CALM, {"answered": True}, Wish(), NO),
        (Failure.CALM, {"repeatable": False}, EAGER, NO),
        (Failure.AFTER_CALM, {"answered": True, "in_body": True}, Wish(), AGAIN),
        (Failure.AFTER_CALM, {"answered": True, "in_body": True, "losses": 1}, Wish(), NO),
        (Failure.AFTER_CALM, {"losses": 1}, Wish(), AGAIN),
        (Failure.AFTER_CALM, {"repeatable": False}, EAGER, NO),
        (Failure.CALM_NOT_PROCESSED, {"repeatable": False}, Wish(), AGAIN),
        (Failure.FINAL, {}, EAGER, NO),
    ],
)
def test_each_failure_has_its_answer(failure: Failure, facts: dict[str, Any], wish: Wish, action: Action) -> None:
    assert decide(attempt(failure, **facts), 6, wish).action is action


@pytest.mark.parametrize("failure", ENDS)
def test_the_second_end_leads_to_a_try_alone(failure: Failure) -> None:
    assert decide(attempt(failure, multiplexed=True), 6).action is AGAIN
    second = {"multiplexed": True, "ends": 1, "losses": 1}
    assert decide(attempt(failure, **second), 6).action is ALONE
    assert decide(attempt(failure, **second, reused=False), 6).action is ALONE
    assert decide(attempt(failure, **second, alone=True), 6).action is (ALONE if failure is Failure.SHUT_OUT else NO)
    # HTTP/1.1 carries nothing else anyway, and a WebSocket does not stay alone.
    expected = AGAIN if failure in (Failure.SHUT_OUT, Failure.CUT_OFF) else NO
    assert decide(attempt(failure, ends=1, losses=1), 6).action is expected
    assert decide(attempt(failure, **second), 6, Wish(alone=False)).action is expected


@pytest.mark.parametrize("failure", [*ENDS, *CALM_ENDS])
def test_a_suspect_goes_alone_once(failure: Failure) -> None:
    suspect = attempt(failure, multiplexed=True, suspect=True)
    assert decide(suspect, 6).action is ALONE
    assert decide(attempt(failure, multiplexed=True, suspect=True, alone=True), 6).action is NO
    assert decide(suspect, 6, Wish(alone=False)).action is AGAIN


def test_a_second_call_for_calm_is_no_reason_to_go_alone() -> None:
    for failure in CALM_ENDS:
        assert decide(attempt(failure, multiplexed=True, ends=1), 6).action is AGAIN


@pytest.mark.parametrize("failure", Failure)
def test_no_reason_exceeds_the_budget(failure: Failure) -> None:
    assert decide(attempt(failure, retries=6), 6, EAGER).action is NO
    assert decide(attempt(failure), 0, EAGER).action is NO


@pytest.mark.parametrize("failure", Failure)
def test_no_reason_sends_half_a_body(failure: Failure) -> None:
    assert decide(attempt(failure, replayable=False), 6, EAGER).action is NO


def test_only_unprocessed_requests_wait() -> None:
    pauses = [decide(attempt(Failure.NOT_PROCESSED, retries=n), 10, jitter=1.0).seconds for n in range(7)]
    assert pauses == [0, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    for failure in (Failure.MISDIRECTED, Failure.LOST, Failure.TERMINATED, *MOVES):
        assert decide(attempt(failure, retries=3), 6, jitter=1.0).seconds == 0


def test_calm_begins_with_a_pause() -> None:
    for failure in (Failure.CALM, Failure.AFTER_CALM, Failure.CALM_NOT_PROCESSED):
        pauses = [decide(attempt(failure, retries=n), 10, jitter=1.0).seconds for n in range(6)]
        assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0]


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (trio_h2ws.RequestNotProcessed("refused"), Failure.NOT_PROCESSED),
        (shut_out_with(0), Failure.SHUT_OUT),
        (shut_out_with(9), Failure.CUT_OFF),
        (shut_out_with(11), Failure.CALM_NOT_PROCESSED),
        (HTTP1Required("HTTP/1.1"), Failure.HTTP1_REQUIRED),
        (trio_h2ws.HTTP2NotAvailable("refused"), Failure.HTTP1_REQUIRED),
        (trio_h2ws.HTTP2NotAvailable("alpn"), Failure.FINAL),
        (trio_h2ws.ConnectionLost("closed"), Failure.LOST),
        (trio_h2ws.ConnectionTerminated("GOAWAY", 2), Failure.TERMINATED),
        (trio_h2ws.ConnectionTerminated("GOAWAY", 13), Failure.TERMINATED_FOR_HTTP1),
        (trio_h2ws.ConnectionTimedOut("silent"), Failure.FINAL),
        (trio_h2ws.ConnectFailed("no route"), Failure.FINAL),
        (trio_h2ws.ConnectionTerminated("GOAWAY", 11), Failure.AFTER_CALM),
        (trio_h2ws.StreamReset(11), Failure.CALM),
        (trio_h2ws.StreamReset(2), Failure.FINAL),
        (trio_h2ws.RemoteProtocolError("broken"), Failure.FINAL),
    ],
)
def test_errors_are_failures(error: trio_h2ws.H2WSError, failure: Failure) -> None:
    assert failure_of(error) is failure


def test_what_follows_a_call_for_calm_is_part_of_it() -> None:
    for error in (
        trio_h2ws.StreamReset(2),
        trio_h2ws.ConnectionLost("closed"),
        trio_h2ws.ConnectionTerminated("", 2),
    ):
        assert failure_of(error, calm=True) is Failure.AFTER_CALM
    for final in (trio_h2ws.ConnectionTimedOut("silent"), trio_h2ws.RemoteProtocolError("broken")):
        assert failure_of(final, calm=True) is Failure.FINAL
    assert failure_of(trio_h2ws.RequestNotProcessed("refused"), calm=True) is Failure.NOT_PROCESSED


# The budget of a call.


def test_one_budget_counts_every_reason() -> None:
    budget = Budget(4)
    for failure in (Failure.LOST, Failure.NOT_PROCESSED, Failure.MISDIRECTED, Failure.HTTP1_REQUIRED):
        assert budget.decide(failure, repeatable=True, reused=True).action is not NO
    for failure in Failure:
        assert budget.decide(failure, repeatable=True, reused=True, bounded=True).action is NO


def test_the_first_call_for_calm_is_free() -> None:
    budget = Budget(1)
    assert budget.decide(Failure.CALM, repeatable=True).action is AGAIN
    assert budget.decide(Failure.CALM, repeatable=True).action is AGAIN
    assert budget.decide(Failure.CALM, repeatable=True).action is NO
    budget = Budget(1)
    assert budget.decide(Failure.CALM, repeatable=True, bounded=True).action is AGAIN
    assert budget.decide(Failure.CALM_NOT_PROCESSED).action is NO
    assert Budget(0).decide(Failure.CALM, repeatable=True).action is NO


def test_a_redirect_shares_the_budget() -> None:
    budget = Budget(2)
    assert budget.decide(Failure.LOST, repeatable=True, reused=True).action is AGAIN
    assert budget.decide(Failure.LOST, repeatable=True, reused=True).action is NO
    budget.next_request()  # which may meet an idle connection as well
    assert budget.decide(Failure.LOST, repeatable=True, reused=True).action is AGAIN
    assert budget.decide(Failure.NOT_PROCESSED).action is NO


def test_the_last_error_speaks_for_all_tries() -> None:
    budget = Budget(6)
    first, last = trio_h2ws.RequestNotProcessed("refused"), trio_h2ws.RequestNotProcessed("refused")
    budget.note(first)
    assert not first.may_have_been_processed
    budget.note(trio_h2ws.ConnectionLost("closed"))
    budget.note(last)
    assert last.may_have_been_processed
    assert not trio_h2ws.RequestNotProcessed("another").may_have_been_processed


def test_a_redirected_call_was_processed() -> None:
    budget = Budget(6)
    budget.next_request()
    error = trio_h2ws.ConnectFailed("no route")
    budget.note(error)
    assert error.may_have_been_processed
