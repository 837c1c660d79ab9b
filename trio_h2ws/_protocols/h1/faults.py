"""What is wrong with a response, as the error that ends the connection."""

from __future__ import annotations

import h11

from ..._config import Limits
from ..._errors import H2WSError, LimitExceeded, RemoteProtocolError
from ..._http.response_heads import HeadTooLarge, MalformedHead

HeadError = h11.RemoteProtocolError | MalformedHead | HeadTooLarge


def fault_of(error: HeadError, limits: Limits) -> H2WSError:
    too_large = isinstance(error, HeadTooLarge)
    if too_large or (isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431):
        return LimitExceeded("max_header_list_size", limits.max_header_list_size)
    return RemoteProtocolError(f"the server broke HTTP/1.1: {error}")
