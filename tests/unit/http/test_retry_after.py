"""Retry-After: seconds, or one of three forms of date, all of them in UTC (RFC 9110, section 5.6.7)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import trio_h2ws
from trio_h2ws._http.retry_after import retry_after


@pytest.fixture(params=["America/New_York", "UTC", "Asia/Tokyo"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def headers(value: str) -> trio_h2ws.Headers:
    return trio_h2ws.Headers([(b"Retry-After", value.encode())])


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the zone of a process can't be set")
@pytest.mark.parametrize(
    "form",
    [
        "%a, %d %b %Y %H:%M:%S GMT",  # RFC 5322
        "%A, %d-%b-%y %H:%M:%S GMT",  # RFC 850
        "%a %b %d %H:%M:%S %Y",  # asctime, which must not be taken for local time
        "%a, %d %b %Y %H:%M:%S -0000",
        "%a, %d %b %Y %H:%M:%S",
    ],
)
@pytest.mark.usefixtures("zone")
def test_a_date_is_utc_in_every_form(form: str) -> None:
    seconds = retry_after(headers(time.strftime(form, time.gmtime(time.time() + 60))))
    assert seconds is not None
    assert 50 < seconds <= 60


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("9" * 400, None),  # not infinity
        ("Mon, 01 Jan 99999999999999999999 00:00:00 GMT", None),  # not an OverflowError
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("１２", None),
        ("soon", None),
        ("120, 130", None),
        ("Mon, 99 Jan 2020 00:00:00 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
        ("Sun Nov 22 25:61:00 2026", None),
        ("Sat, 01 Jan 0001 00:00:00 +2359", 0.0),
    ],
)
def test_seconds_and_dates_are_read_and_others_ignored(value: str, seconds: float | None) -> None:
    assert retry_after(headers(value)) == seconds


def test_a_missing_header_gives_none() -> None:
    assert retry_after(trio_h2ws.Headers()) is None
