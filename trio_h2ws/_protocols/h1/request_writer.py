"""What leaves for one request after another: heads and bodies. Simple ones are written directly, the others by h11.

Simple is all but a chunked body: with Content-Length the bytes pass as they are, and are counted. The fields were
checked when the call was prepared (`_http/headers.py`), as h11 would check them.
"""

from __future__ import annotations

from ..._errors import LocalProtocolError
from ..._http.headers import RawFields
from ..engine import RequestHead
from .fast_lane import is_length
from .h11_lane import H11Lane
from .request_head import Forward, request_bytes

_TOO_LONG = "the request's body is longer than its Content-Length"
_TOO_SHORT = "the request's body is shorter than its Content-Length"


class RequestWriter:
    """The methods raise LocalProtocolError for what can't be sent; then the connection must end."""

    __slots__ = ("_forward", "_h11", "_left", "is_simple")

    def __init__(self, h11: H11Lane, forward: Forward | None) -> None:
        self._h11 = h11
        self._forward = forward
        self._left = 0  # bytes that Content-Length still promises
        self.is_simple = True
        """h11 has not seen the request that began last."""

    def head(self, head: RequestHead, *, has_body: bool) -> bytes:
        length = next((value for name, value in head.fields if name == b"content-length"), None)
        chunked = has_body and (length is None or head.trailers)
        self.is_simple = not chunked and (length is None or is_length(length))
        if self.is_simple:
            self._left = int(length) if has_body and length is not None else 0
            return request_bytes(head, self._forward)
        return self._h11.send_head(head, self._forward, chunked=chunked, ends=not has_body)

    def data(self, data: bytes | memoryview) -> bytes | memoryview:
        """A part of the body."""
        if not self.is_simple:
            try:
                return self._h11.send_data(bytes(data))
            except LocalProtocolError:
                raise LocalProtocolError(_TOO_LONG) from None
        self._left -= len(data)
        if self._left < 0:
            raise LocalProtocolError(_TOO_LONG)
        return data

    def end(self, trailers: RawFields) -> bytes:
        """The end of the request."""
        if not self.is_simple:
            try:
                return self._h11.send_end(trailers)
            except LocalProtocolError:
                raise LocalProtocolError(_TOO_SHORT) from None
        if self._left:
            raise LocalProtocolError(_TOO_SHORT)
        return b""
