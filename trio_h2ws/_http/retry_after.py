"""Retry-After (RFC 9110, section 10.2.3), of a response and of a refused handshake."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .headers import Headers

_MAX_DIGITS = 15  # of seconds: nobody waits for thirty million years


def retry_after(headers: Headers) -> float | None:
    """Seconds from now that the server asks to wait; None if it does not say, or says what nobody understands."""
    value = headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        return float(value)
    if not value:
        return None
    from datetime import UTC  # slow to import, and rarely needed
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)  # every form of a date is in UTC (section 5.6.7), and asctime does not say so
    return max(0.0, date.timestamp() - time.time())
