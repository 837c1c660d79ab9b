"""The Retry-After header (RFC 9110, section 10.2.3) of a response or of a refused handshake."""

from __future__ import annotations

import time

from .headers import Headers

_MAX_DIGITS = 15  # a bound for float(): 15 digits of seconds are thirty million years
_MAX_DATE = 64  # characters; the longest form, of RFC 850, has 33


def retry_after(headers: Headers) -> float | None:
    """The seconds to wait, counted from now; None if the header is missing or can't be parsed."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return float(value)
    if not 0 < len(value) <= _MAX_DATE:
        return None
    from datetime import UTC  # slow to import, and rarely needed
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)  # every date is in UTC (section 5.6.7), but the asctime form does not say so
    return max(0.0, date.timestamp() - time.time())
